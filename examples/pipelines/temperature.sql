-- Temperature of each machine over one minute, anew every ten seconds.
-- hop(source, slide, size): every reading is in size / slide = 6 windows.
SELECT
    window_start,
    window_end,
    machine,
    count(*) AS readings,
    avg(temperature) AS average,
    max(temperature) AS highest,
    approx_percentile_cont(0.99) WITHIN GROUP (ORDER BY temperature) AS p99
FROM hop(sensors, INTERVAL '10 seconds', INTERVAL '1 minute')
GROUP BY window_start, window_end, machine
