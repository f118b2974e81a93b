-- Nexmark 7: the highest bids of every ten seconds.
-- Nexmark takes a bid at the very end of a window into both; here it is in the second alone, as windows are half-open.
SELECT b.window_start, b.window_end, b.auction, b.bidder, b.price, b.date_time, b.extra
FROM tumble(bid, INTERVAL '10 seconds') AS b
JOIN (
    SELECT window_start, window_end, max(price) AS most
    FROM tumble(bid, INTERVAL '10 seconds')
    GROUP BY window_start, window_end
) AS m
    ON b.window_start = m.window_start AND b.window_end = m.window_end AND b.price = m.most
