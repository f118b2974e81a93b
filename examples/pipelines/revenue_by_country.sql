-- Revenue by country and minute. Refunds are negative amounts, so they are part of the sum.
SELECT
    window_start,
    window_end,
    c.name AS country,
    c.continent,
    count(*) FILTER (WHERE o.type = 'order') AS orders,
    count(*) FILTER (WHERE o.type = 'refund') AS refunds,
    sum(o.amount) AS revenue
FROM tumble(orders, INTERVAL '1 minute') AS o
JOIN countries AS c ON c.code = o.country
WHERE o.type IN ('order', 'refund')
GROUP BY window_start, window_end, c.name, c.continent
