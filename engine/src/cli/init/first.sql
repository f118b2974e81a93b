-- Orders and revenue by country, for each second of event time.
-- Windows are table functions: tumble(source, size), hop(source, slide, size), session(source, gap, keys...).
SELECT
    window_start,
    window_end,
    country,
    count(*) AS orders,
    sum(amount) AS revenue
FROM tumble(orders, INTERVAL '1 second')
GROUP BY window_start, window_end, country
