-- Events and amounts by country and type, every ten seconds.
SELECT
    window_start,
    window_end,
    country,
    type,
    count(*) AS events,
    sum(amount) AS amount,
    max(amount) AS greatest
FROM tumble(orders, INTERVAL '10 seconds')
GROUP BY window_start, window_end, country, type
