-- The five wikis with most edits in each ten seconds, and how many of them bots have made.
SELECT window_start, wiki, count(*) AS edits, count(*) FILTER (WHERE bot) AS by_bots
FROM tumble(edits, INTERVAL '10 seconds')
WHERE type IN ('edit', 'new')
GROUP BY window_start, window_end, wiki
QUALIFY row_number() OVER (PARTITION BY window_start ORDER BY count(*) DESC, wiki) <= 5
