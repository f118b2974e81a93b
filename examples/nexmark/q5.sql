-- Nexmark 5: the auctions with the most bids of the last ten seconds, every two seconds.
-- Nexmark joins the counts of a window with their maximum. Said by a window function, they are counted once.
SELECT window_start, window_end, auction, bids
FROM (
    SELECT *, max(bids) OVER (PARTITION BY window_start, window_end) AS most
    FROM (
        SELECT window_start, window_end, auction, count(*) AS bids
        FROM hop(bid, INTERVAL '2 seconds', INTERVAL '10 seconds')
        GROUP BY window_start, window_end, auction
    )
)
WHERE bids = most
