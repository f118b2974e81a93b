-- The ten products with the most revenue of each minute.
-- A second key in ORDER BY breaks ties, so that every run gives the same ten.
SELECT window_start, window_end, place, product_id, orders, revenue
FROM (
    SELECT *, row_number() OVER (PARTITION BY window_start, window_end ORDER BY revenue DESC, product_id) AS place
    FROM (
        SELECT window_start, window_end, product_id, count(*) AS orders, sum(amount) AS revenue
        FROM tumble(orders, INTERVAL '1 minute')
        WHERE type = 'order'
        GROUP BY window_start, window_end, product_id
    )
)
WHERE place <= 10
