-- Nexmark 8: who came and sold something within the same ten seconds.
SELECT p.window_start, p.window_end, p.id, p.name
FROM (
    SELECT window_start, window_end, id, name
    FROM tumble(person, INTERVAL '10 seconds')
    GROUP BY window_start, window_end, id, name
) AS p
JOIN (
    SELECT window_start, window_end, seller
    FROM tumble(auction, INTERVAL '10 seconds')
    GROUP BY window_start, window_end, seller
) AS a
    ON p.window_start = a.window_start AND p.window_end = a.window_end AND p.id = a.seller
