-- The five countries with the most revenue, every two seconds.
-- The inner SELECT runs as events come in. What stands above it runs once per window, when it closes.
SELECT window_start, place, country, orders, round(revenue, 2) AS revenue
FROM (
    SELECT *, row_number() OVER (PARTITION BY window_start, window_end ORDER BY revenue DESC, country) AS place
    FROM (
        SELECT window_start, window_end, country, count(*) AS orders, sum(amount) AS revenue
        FROM tumble(orders, INTERVAL '2 seconds')
        WHERE type = 'order'
        GROUP BY window_start, window_end, country
    )
)
WHERE place <= 5
ORDER BY window_start, place
