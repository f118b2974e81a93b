-- Nexmark 4: the average price of winning bids by category.
-- Nexmark gives one average for each category, over all time, and changes it with every auction that ends. Here it is that of
-- each minute, over auctions and bids of this minute: bids in the minute after that of their auction are left out.
SELECT window_start, window_end, category, avg(final) AS average_price
FROM (
    SELECT a.window_start, a.window_end, a.id, a.category, max(b.price) AS final
    FROM tumble(auction, INTERVAL '1 minute') AS a
    JOIN tumble(bid, INTERVAL '1 minute') AS b
        ON a.window_start = b.window_start AND a.window_end = b.window_end AND a.id = b.auction
            AND b.date_time BETWEEN a.date_time AND a.expires
    GROUP BY a.window_start, a.window_end, a.id, a.category
)
GROUP BY window_start, window_end, category
