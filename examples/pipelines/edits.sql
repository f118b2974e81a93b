-- Every change as it is. Wikimedia sends some of its own through each stream to see that it flows; they are no edits.
SELECT meta['id'] AS id, "timestamp" AS at, wiki, type, title, "user", bot, _id AS place
FROM edits
WHERE meta['domain'] <> 'canary'
