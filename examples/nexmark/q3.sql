-- Nexmark 3: who sells something of category 10 in three states.
-- Nexmark joins all auctions with all people, which would have to be kept for ever. Here both have come in the same minute:
-- it misses those who came in one minute and sold in the next.
SELECT a.window_start, a.window_end, p.name, p.city, p.state, a.id
FROM tumble(auction, INTERVAL '1 minute') AS a
JOIN tumble(person, INTERVAL '1 minute') AS p
    ON a.window_start = p.window_start AND a.window_end = p.window_end AND a.seller = p.id
WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')
