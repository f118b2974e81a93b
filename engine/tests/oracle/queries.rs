//! The questions. `{orders}` and `{payments}` stand for the windowed streams.

/// A question and the window it is asked over.
pub(crate) struct Query {
    window: Window,
    sql: &'static str,
}

/// Spans in seconds.
#[derive(Clone, Copy)]
enum Window {
    None,
    Tumble(i64),
    Hop(i64, i64),
    Session(i64, &'static str),
}

use Window::{Hop, None as Unwindowed, Session, Tumble};

const fn q(window: Window, sql: &'static str) -> Query {
    Query { window, sql }
}

impl Query {
    /// The statement as a pipeline runs it.
    pub(crate) fn streaming(&self) -> String {
        let call = |stream: &str| match self.window {
            Unwindowed => stream.to_string(),
            Tumble(size) => format!("tumble({stream}, INTERVAL '{size} seconds')"),
            Hop(slide, size) => format!("hop({stream}, INTERVAL '{slide} seconds', INTERVAL '{size} seconds')"),
            Session(gap, "") => format!("session({stream}, INTERVAL '{gap} seconds')"),
            Session(gap, keys) => format!("session({stream}, INTERVAL '{gap} seconds', {keys})"),
        };
        self.fill(call)
    }

    /// The statement with windows spelled out.
    pub(crate) fn batch(&self) -> String {
        self.fill(|stream| self.spelled_out(stream))
    }

    fn fill(&self, relation: impl Fn(&str) -> String) -> String {
        self.sql
            .replace("{orders}", &relation("orders"))
            .replace("{payments}", &relation("payments"))
            .replace("{sales}", &relation("(SELECT * FROM orders WHERE type = 'sale')"))
            .replace(
                "{both}",
                &relation(
                    "(SELECT ts, country, amount FROM orders UNION ALL SELECT ts, country, amount FROM payments)",
                ),
            )
    }

    fn spelled_out(&self, stream: &str) -> String {
        let aligned = |span: i64| {
            format!("date_bin(INTERVAL '{span} seconds', ts, arrow_cast(0, 'Timestamp(Microsecond, Some(\"UTC\"))'))")
        };
        match self.window {
            Unwindowed => stream.to_string(),
            Tumble(size) => {
                let start = aligned(size);
                format!(
                    "(SELECT *, {start} AS window_start, {start} + INTERVAL '{size} seconds' AS window_end FROM {stream})"
                )
            }
            Hop(slide, size) => {
                let count = (size + slide - 1) / slide;
                let offsets: Vec<_> = (0..count).map(|i| format!("(INTERVAL '{} seconds')", i * slide)).collect();
                let (start, offsets) = (aligned(slide), offsets.join(", "));
                format!(
                    "(SELECT * FROM (SELECT t.*, {start} - back AS window_start,
                      {start} - back + INTERVAL '{size} seconds' AS window_end
                      FROM {stream} AS t CROSS JOIN (VALUES {offsets}) AS o(back)) AS w WHERE ts < window_end)"
                )
            }
            Session(gap, keys) => {
                let by = if keys.is_empty() { String::new() } else { format!("PARTITION BY {keys}") };
                let with = |more: &str| match keys {
                    "" => format!("PARTITION BY {more}"),
                    keys => format!("PARTITION BY {keys}, {more}"),
                };
                let number = with("session_number");
                format!(
                    "(SELECT *, min(ts) OVER ({number}) AS window_start,
                      max(ts) OVER ({number}) + INTERVAL '{gap} seconds' AS window_end FROM
                       (SELECT *, sum(begins) OVER ({by} ORDER BY ts, id) AS session_number FROM
                        (SELECT *, CASE WHEN ts < lag(ts) OVER ({by} ORDER BY ts, id) + INTERVAL '{gap} seconds'
                         THEN 0 ELSE 1 END AS begins FROM {stream})))"
                )
            }
        }
    }
}

/// Each kind of window with aggregates, filters, expressions, joins and what stands above a window.
pub(crate) const QUERIES: &[Query] = &[
    q(Tumble(10), "SELECT window_start, window_end, count(*) AS n FROM {orders} GROUP BY window_start, window_end"),
    q(
        Tumble(10),
        "SELECT window_start, window_end, country, type, count(*) AS n, sum(amount) AS s, avg(amount) AS a, max(amount) AS m FROM {orders} GROUP BY window_start, window_end, country, type",
    ),
    q(
        Tumble(7),
        "SELECT window_start, user_id, min(qty) AS lo, max(qty) AS hi, count(amount) AS n FROM {orders} GROUP BY window_start, window_end, user_id",
    ),
    q(
        Tumble(60),
        "SELECT window_end, country, sum(amount) AS s FROM {orders} WHERE amount >= 0 AND type <> 'view' GROUP BY window_end, country",
    ),
    q(
        Tumble(10),
        "SELECT window_start, country, count(*) FILTER (WHERE flag) AS yes, sum(qty) FILTER (WHERE type = 'sale') AS sold FROM {orders} GROUP BY window_start, country",
    ),
    q(Tumble(10), "SELECT window_start, count(DISTINCT user_id) AS users FROM {orders} GROUP BY window_start"),
    q(
        Tumble(30),
        "SELECT window_start, country, count(DISTINCT user_id) AS users, count(DISTINCT product_id) AS products, sum(qty) AS q FROM {orders} GROUP BY window_start, country",
    ),
    q(Tumble(30), "SELECT window_start, country, median(amount) AS m FROM {orders} GROUP BY window_start, country"),
    q(
        Tumble(30),
        "SELECT window_start, stddev(amount) AS sd, var_pop(amount) AS v FROM {orders} WHERE amount IS NOT NULL GROUP BY window_start HAVING count(*) > 3",
    ),
    q(
        Tumble(30),
        "SELECT window_start, corr(amount, qty) AS c, covar_pop(amount, qty) AS cp FROM {orders} WHERE amount IS NOT NULL GROUP BY window_start HAVING count(*) > 5",
    ),
    q(
        Tumble(30),
        "SELECT window_start, country, approx_distinct(user_id) AS users, approx_distinct(type) AS types, regr_count(amount, qty) AS pairs FROM {orders} GROUP BY window_start, country",
    ),
    q(
        Tumble(20),
        "SELECT window_start, bool_and(flag) AS every, bool_or(flag) AS some, bit_and(qty) AS ba, bit_or(qty) AS bo FROM {orders} GROUP BY window_start",
    ),
    q(
        Tumble(20),
        "SELECT window_start, country, first_value(amount ORDER BY ts, id) AS opening, last_value(amount ORDER BY ts, id) AS closing FROM {orders} GROUP BY window_start, country",
    ),
    q(Tumble(20), "SELECT window_start, array_agg(id ORDER BY id) AS ids FROM {orders} GROUP BY window_start"),
    q(
        Tumble(20),
        "SELECT window_start, string_agg(type, ',' ORDER BY id) AS types FROM {orders} GROUP BY window_start",
    ),
    q(
        Tumble(20),
        "SELECT window_start, upper(country) AS c, qty % 3 AS m, sum(amount * qty) AS total FROM {orders} GROUP BY window_start, upper(country), qty % 3",
    ),
    q(
        Tumble(20),
        "SELECT window_start, CASE WHEN amount > 100 THEN 'big' ELSE 'small' END AS class, count(*) AS n FROM {orders} GROUP BY 1, 2",
    ),
    q(
        Tumble(20),
        "SELECT window_start, country, count(*) AS n FROM {orders} GROUP BY window_start, country HAVING count(*) >= 2 AND max(amount) > 10",
    ),
    q(
        Tumble(20),
        "SELECT * FROM (SELECT window_start, product_id, sum(qty) AS sold, row_number() OVER (PARTITION BY window_start ORDER BY sum(qty) DESC, product_id) AS place FROM {orders} GROUP BY window_start, product_id) WHERE place <= 3",
    ),
    q(
        Tumble(20),
        "SELECT window_start, count(*) AS groups, max(s) AS most FROM (SELECT window_start, user_id, sum(amount) AS s FROM {orders} GROUP BY window_start, user_id) GROUP BY window_start",
    ),
    q(Tumble(20), "SELECT DISTINCT window_start, country FROM {orders}"),
    q(
        Tumble(20),
        "SELECT window_start, country, rank() OVER (PARTITION BY window_start ORDER BY n DESC) AS r FROM (SELECT window_start, country, count(*) AS n FROM {orders} GROUP BY window_start, country)",
    ),
    q(
        Tumble(20),
        "SELECT window_start, id, row_number() OVER (PARTITION BY window_start ORDER BY ts, id) AS k FROM {orders}",
    ),
    q(Tumble(20), "SELECT window_start, window_end, id, amount FROM {orders} WHERE amount > 50"),
    q(
        Tumble(20),
        "SELECT window_start, max(date_part('epoch', ts) - date_part('epoch', window_start)) AS latest FROM {orders} WHERE ts < window_start + INTERVAL '9 seconds' GROUP BY window_start",
    ),
    q(
        Tumble(20),
        "SELECT o.window_start, o.country, o.n, p.paid FROM (SELECT window_start, window_end, country, count(*) AS n FROM {orders} GROUP BY window_start, window_end, country) AS o JOIN (SELECT window_start, window_end, country, sum(amount) AS paid FROM {payments} GROUP BY window_start, window_end, country) AS p ON o.window_start = p.window_start AND o.window_end = p.window_end AND o.country = p.country",
    ),
    q(
        Tumble(20),
        "SELECT o.window_start, o.n, p.m FROM (SELECT window_start, count(*) AS n FROM {orders} GROUP BY window_start) AS o LEFT JOIN (SELECT window_start, count(*) AS m FROM {payments} GROUP BY window_start) AS p ON o.window_start = p.window_start",
    ),
    q(
        Tumble(10),
        "SELECT o.window_start, o.id, p.id AS payment FROM {orders} AS o JOIN {payments} AS p ON o.window_start = p.window_start AND o.user_id = p.user_id AND o.type = 'sale'",
    ),
    q(
        Tumble(10),
        "SELECT window_start, category, sum(qty) AS sold FROM {orders} AS o JOIN products AS p ON o.product_id = p.id GROUP BY window_start, category",
    ),
    q(
        Tumble(10),
        "SELECT window_start, coalesce(title, 'unknown') AS title, count(*) AS n FROM {orders} AS o LEFT JOIN products AS p ON o.product_id = p.id GROUP BY window_start, title",
    ),
    q(
        Tumble(10),
        "SELECT w.window_start, p.title, w.n FROM (SELECT window_start, product_id, count(*) AS n FROM {orders} GROUP BY window_start, product_id) AS w JOIN products AS p ON w.product_id = p.id",
    ),
    q(
        Tumble(10),
        "SELECT window_start, count(*) AS n FROM {orders} WHERE product_id IN (SELECT id FROM products WHERE category = 'toys') GROUP BY window_start",
    ),
    q(Tumble(10), "SELECT window_start, count(*) AS n FROM {sales} GROUP BY window_start"),
    q(
        Tumble(10),
        "SELECT window_start, country, sum(amount) AS s, count(*) AS n FROM {both} GROUP BY window_start, country",
    ),
    q(
        Tumble(15),
        "SELECT window_start, count(*) AS n FROM {orders} WHERE window_start >= '2026-03-01T00:00:30Z' GROUP BY window_start",
    ),
    q(
        Tumble(15),
        "SELECT window_start, approx_distinct(user_id) AS u, grouping(country) AS g, country FROM {orders} GROUP BY GROUPING SETS ((window_start), (window_start, country))",
    ),
    q(
        Hop(10, 30),
        "SELECT window_start, window_end, country, count(*) AS n, sum(amount) AS s FROM {orders} GROUP BY window_start, window_end, country",
    ),
    q(
        Hop(10, 25),
        "SELECT window_start, user_id, avg(amount) AS a, max(qty) AS m FROM {orders} GROUP BY window_start, user_id",
    ),
    q(
        Hop(5, 60),
        "SELECT window_end, count(*) AS n, count(DISTINCT user_id) AS u FROM {orders} WHERE type = 'sale' GROUP BY window_end",
    ),
    q(
        Hop(10, 30),
        "SELECT * FROM (SELECT window_start, country, sum(amount) AS s, row_number() OVER (PARTITION BY window_start ORDER BY sum(amount) DESC NULLS LAST, country) AS place FROM {orders} GROUP BY window_start, country) WHERE place = 1",
    ),
    q(Hop(10, 20), "SELECT window_start, id FROM {orders} WHERE qty = 8"),
    q(
        Hop(10, 30),
        "SELECT window_start, median(amount) AS m, first_value(id ORDER BY ts, id) AS f FROM {orders} GROUP BY window_start",
    ),
    q(
        Hop(10, 20),
        "SELECT o.window_start, o.n, p.m FROM (SELECT window_start, count(*) AS n FROM {orders} GROUP BY window_start) AS o FULL JOIN (SELECT window_start, count(*) AS m FROM {payments} GROUP BY window_start) AS p ON o.window_start = p.window_start",
    ),
    q(
        Hop(15, 45),
        "SELECT window_start, count(*) AS n FROM {orders} WHERE window_end <= '2026-03-01T00:01:00Z' AND qty > 2 GROUP BY window_start",
    ),
    q(
        Session(5, "user_id"),
        "SELECT window_start, window_end, user_id, count(*) AS n, sum(amount) AS s FROM {orders} GROUP BY window_start, window_end, user_id",
    ),
    q(
        Session(3, ""),
        "SELECT window_start, window_end, count(*) AS n, max(qty) AS m FROM {orders} GROUP BY window_start, window_end",
    ),
    q(
        Session(10, "country"),
        "SELECT window_start, window_end, country, type, count(*) AS n FROM {orders} GROUP BY window_start, window_end, country, type",
    ),
    q(
        Session(5, "user_id"),
        "SELECT window_start, window_end, user_id, count(*) AS n FROM {orders} WHERE qty > 4 GROUP BY window_start, window_end, user_id",
    ),
    q(
        Session(5, "user_id, type"),
        "SELECT window_end, user_id, type, count(DISTINCT product_id) AS p, avg(amount) AS a FROM {orders} GROUP BY window_start, window_end, user_id, type HAVING count(*) > 1",
    ),
    q(
        Session(20, "country"),
        "SELECT window_start, window_end, country, array_agg(id ORDER BY ts, id) AS ids FROM {orders} GROUP BY window_start, window_end, country",
    ),
    q(
        Session(8, "user_id"),
        "SELECT window_end, count(*) AS sessions, max(n) AS longest FROM (SELECT window_start, window_end, user_id, count(*) AS n FROM {orders} GROUP BY window_start, window_end, user_id) GROUP BY window_end",
    ),
    q(Unwindowed, "SELECT id, ts, upper(type) AS kind, amount * 2 AS double FROM {orders} WHERE amount > 100"),
    q(
        Unwindowed,
        "SELECT o.id, o.amount, p.title FROM {orders} AS o LEFT JOIN products AS p ON o.product_id = p.id AND o.qty > 3",
    ),
    q(
        Unwindowed,
        "SELECT o.id FROM {orders} AS o WHERE NOT EXISTS (SELECT 1 FROM products AS p WHERE p.id = o.product_id)",
    ),
    q(Unwindowed, "SELECT id, country, amount FROM {orders} UNION ALL SELECT id, country, amount FROM {payments}"),
    q(Unwindowed, "SELECT id, unnest(make_array(qty, qty + 1)) AS x FROM {orders}"),
];
