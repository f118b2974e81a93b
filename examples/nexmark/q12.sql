-- Nexmark 12: how often each one bid in ten seconds.
-- Nexmark's ten seconds are those of the clock on the wall, and its rows others in every run. Here they are of event time.
SELECT window_start, window_end, bidder, count(*) AS bids
FROM tumble(bid, INTERVAL '10 seconds')
GROUP BY window_start, window_end, bidder
