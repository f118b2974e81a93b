//! The questions as a batch asks them, each in another way than its pipeline where there is one.

/// The streams with the windows that their events are in.
pub(crate) const VIEWS: [&str; 6] = [
    "CREATE VIEW person_10s AS SELECT *, date_bin(INTERVAL '10 seconds', date_time) AS window_start,
        date_bin(INTERVAL '10 seconds', date_time) + INTERVAL '10 seconds' AS window_end FROM person",
    "CREATE VIEW auction_10s AS SELECT *, date_bin(INTERVAL '10 seconds', date_time) AS window_start FROM auction",
    "CREATE VIEW bid_10s AS SELECT *, date_bin(INTERVAL '10 seconds', date_time) AS window_start,
        date_bin(INTERVAL '10 seconds', date_time) + INTERVAL '10 seconds' AS window_end FROM bid",
    "CREATE VIEW counted AS SELECT window_start, auction, count(*) AS bids FROM (
        SELECT auction, date_bin(INTERVAL '2 seconds', date_time) - back AS window_start FROM bid
        CROSS JOIN (VALUES (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'),
            (INTERVAL '6 seconds'), (INTERVAL '8 seconds')) AS o(back))
        GROUP BY window_start, auction",
    "CREATE VIEW bids_for AS SELECT date_trunc('minute', a.date_time) AS window_start, a.id, a.category, a.seller,
        b.price, b.date_time, b.bidder FROM auction AS a JOIN bid AS b ON a.id = b.auction
        WHERE b.date_time >= a.date_time AND b.date_time <= a.expires
            AND date_trunc('minute', a.date_time) = date_trunc('minute', b.date_time)",
    "CREATE VIEW won AS SELECT *, row_number() OVER (PARTITION BY window_start, seller ORDER BY date_time, id) AS n FROM (
        SELECT window_start, id, seller, first_value(price ORDER BY price DESC, date_time, bidder) AS price,
            first_value(date_time ORDER BY price DESC, date_time, bidder) AS date_time
        FROM bids_for GROUP BY window_start, id, seller)",
];

/// Pipelines and what they are asked.
pub(crate) const QUESTIONS: &[(&str, &str)] = &[
    ("q0", "SELECT auction, bidder, price, date_time, extra FROM bid"),
    ("q1", "SELECT auction, bidder, 0.908 * price AS price, date_time, extra FROM bid"),
    ("q2", "SELECT auction, price FROM bid WHERE auction = auction / 123 * 123"),
    (
        "q3",
        "SELECT date_trunc('minute', a.date_time) AS window_start,
            date_trunc('minute', a.date_time) + INTERVAL '1 minute' AS window_end, name, city, state, a.id
         FROM auction AS a JOIN person AS p ON a.seller = p.id
         WHERE category = 10 AND (state = 'OR' OR state = 'ID' OR state = 'CA')
            AND date_trunc('minute', a.date_time) = date_trunc('minute', p.date_time)",
    ),
    (
        "q4",
        "SELECT window_start, window_start + INTERVAL '1 minute' AS window_end, category, avg(price) AS average_price
         FROM won JOIN (SELECT id, category FROM auction) AS a ON won.id = a.id GROUP BY window_start, category",
    ),
    (
        "q5",
        "SELECT c.window_start, c.window_start + INTERVAL '10 seconds' AS window_end, auction, bids FROM counted AS c
         JOIN (SELECT window_start, max(bids) AS most FROM counted GROUP BY window_start) AS m
         ON c.window_start = m.window_start AND bids >= most",
    ),
    (
        "q6",
        "SELECT this.window_start, this.window_start + INTERVAL '1 minute' AS window_end, this.seller, this.id,
            avg(that.price) AS average_price
         FROM won AS this JOIN won AS that ON this.window_start = that.window_start AND this.seller = that.seller
            AND that.n BETWEEN this.n - 10 AND this.n
         GROUP BY this.window_start, this.seller, this.id",
    ),
    (
        "q7",
        "SELECT window_start, window_end, auction, bidder, price, date_time, extra FROM (
            SELECT *, rank() OVER (PARTITION BY window_start ORDER BY price DESC) AS place FROM bid_10s)
         WHERE place = 1",
    ),
    (
        "q8",
        "SELECT window_start, window_end, id, name FROM person_10s AS p WHERE EXISTS (
            SELECT 1 FROM auction_10s AS a WHERE a.seller = p.id AND a.window_start = p.window_start)",
    ),
    (
        "q10",
        "SELECT auction, bidder, price, date_time, extra, substr(CAST(date_time AS varchar), 1, 10) AS dt,
            replace(substr(CAST(date_time AS varchar), 12, 5), ':', '-') AS hm FROM bid",
    ),
    (
        "q11",
        "SELECT min(date_time) AS window_start, max(date_time) + INTERVAL '10 seconds' AS window_end, bidder,
            count(*) AS bids
         FROM (SELECT *, sum(begins) OVER (PARTITION BY bidder ORDER BY date_time) AS session FROM (
            SELECT *, CASE WHEN date_time < lag(date_time) OVER (PARTITION BY bidder ORDER BY date_time)
                + INTERVAL '10 seconds' THEN 0 ELSE 1 END AS begins FROM bid))
         GROUP BY bidder, session",
    ),
    (
        "q12",
        "SELECT window_start, window_end, bidder, count(*) AS bids FROM bid_10s GROUP BY window_start, window_end, bidder",
    ),
];
