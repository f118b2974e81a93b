-- Nexmark 6: for each auction that was won, the average price of its seller's last auctions: this one and up to ten before it.
-- Nexmark looks back over all time. Here it is over one minute, and over auctions and bids of this minute. Bids of the same
-- price and the same moment are told apart by who bids, so that the answer is always the same.
SELECT
    window_start,
    window_end,
    seller,
    id,
    avg(price) OVER (
        PARTITION BY window_start, window_end, seller ORDER BY date_time, id ROWS BETWEEN 10 PRECEDING AND CURRENT ROW
    ) AS average_price
FROM (
    SELECT
        a.window_start,
        a.window_end,
        a.id,
        a.seller,
        b.price,
        b.date_time,
        row_number() OVER (
            PARTITION BY a.window_start, a.window_end, a.id ORDER BY b.price DESC, b.date_time, b.bidder
        ) AS place
    FROM tumble(auction, INTERVAL '1 minute') AS a
    JOIN tumble(bid, INTERVAL '1 minute') AS b
        ON a.window_start = b.window_start AND a.window_end = b.window_end AND a.id = b.auction
            AND b.date_time BETWEEN a.date_time AND a.expires
)
WHERE place = 1
