-- Nexmark 11: how often each one bid while never silent for ten seconds.
SELECT window_start, window_end, bidder, count(*) AS bids
FROM session(bid, INTERVAL '10 seconds', bidder)
GROUP BY window_start, window_end, bidder
