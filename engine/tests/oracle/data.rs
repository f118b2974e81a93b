//! Seeded events with skewed keys, nulls, disorder and gaps; as files for the stream and as a table for the batch.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use datafusion::datasource::MemTable;
use datafusion::prelude::{CsvReadOptions, SessionContext};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// 2026-03-01T00:00:00Z in milliseconds.
const START_MS: i64 = 1_772_323_200_000;

pub(crate) struct Data {
    orders: Vec<Order>,
    payments: Vec<Order>,
}

struct Order {
    ts_ms: i64,
    line: String,
    csv: String,
}

const COUNTRIES: [&str; 6] = ["DE", "US", "FR", "BR", "JP", "NZ"];
const PRODUCTS: i64 = 12;

impl Data {
    /// `disorder` is in seconds.
    pub(crate) fn generate(seed: u64, rows: usize, disorder: i64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let orders = stream(&mut rng, rows, disorder);
        let payments = stream(&mut rng, rows / 2, disorder);
        Self { orders, payments }
    }

    /// Writes the streams, in order of arrival, dealt out to `splits` files each.
    pub(crate) fn write(&self, folder: &Path, splits: usize) {
        for (name, rows) in [("orders", &self.orders), ("payments", &self.payments)] {
            let to = folder.join(name);
            fs::create_dir_all(&to).unwrap();
            for split in 0..splits {
                let lines: String = rows.iter().skip(split).step_by(splits).map(|row| row.line.as_str()).collect();
                fs::write(to.join(format!("{split}.ndjson")), lines).unwrap();
            }
        }
        let mut products = String::from("id,title,category\n");
        // One product of the stream is not in the table, one in the table is not in the stream.
        for id in 1..=PRODUCTS {
            writeln!(products, "{id},product {id},{}", ["toys", "food", "books"][id as usize % 3]).unwrap();
        }
        fs::write(folder.join("products.csv"), products).unwrap();
    }

    /// The same data as tables of a batch engine, read by its own CSV reader.
    pub(crate) async fn session(&self, folder: &Path) -> SessionContext {
        let context = SessionContext::new();
        for (name, rows) in [("orders", &self.orders), ("payments", &self.payments)] {
            let path = folder.join(format!("{name}.csv"));
            let mut text = String::from("id,ts,country,type,user_id,product_id,amount,qty,flag\n");
            rows.iter().for_each(|row| text.push_str(&row.csv));
            fs::write(&path, text).unwrap();
            let raw = context.read_csv(path.to_str().unwrap(), CsvReadOptions::new().schema_infer_max_records(0));
            let raw = raw.await.unwrap().into_view();
            context.register_table("raw", raw).unwrap();
            let typed = context
                .sql(
                    "SELECT arrow_cast(id, 'Int64') AS id,
                     arrow_cast(arrow_cast(ts, 'Int64') * 1000, 'Timestamp(Microsecond, Some(\"UTC\"))') AS ts,
                     nullif(country, '') AS country, type, user_id, arrow_cast(product_id, 'Int64') AS product_id,
                     arrow_cast(nullif(amount, ''), 'Float64') AS amount, arrow_cast(qty, 'Int32') AS qty,
                     CASE flag WHEN 'true' THEN true WHEN 'false' THEN false END AS flag FROM raw",
                )
                .await
                .unwrap();
            let schema = Arc::new(typed.schema().as_arrow().clone());
            let rows = typed.collect().await.unwrap();
            context.deregister_table("raw").unwrap();
            context.register_table(name, Arc::new(MemTable::try_new(schema, vec![rows]).unwrap())).unwrap();
        }
        let products = folder.join("products.csv");
        context.register_csv("products", products.to_str().unwrap(), CsvReadOptions::new()).await.unwrap();
        context
    }
}

fn stream(rng: &mut StdRng, rows: usize, disorder: i64) -> Vec<Order> {
    let mut clock = START_MS;
    let mut rows: Vec<Order> = (0..rows as i64)
        .map(|id| {
            // Mostly some hundred milliseconds on, now and then a gap that ends sessions.
            clock += if rng.random_bool(0.03) { rng.random_range(5_000..60_000) } else { rng.random_range(0..900) };
            order(rng, id, clock)
        })
        .collect();
    // Arrival: the time of the event and a delay.
    let mut arrival: Vec<(i64, usize)> =
        rows.iter().enumerate().map(|(i, row)| (row.ts_ms + rng.random_range(0..=disorder * 1000), i)).collect();
    arrival.sort();
    let mut taken: Vec<Option<Order>> = rows.drain(..).map(Some).collect();
    arrival.into_iter().filter_map(|(_, i)| taken[i].take()).collect()
}

fn order(rng: &mut StdRng, id: i64, ts_ms: i64) -> Order {
    let country = if rng.random_bool(0.05) { None } else { Some(COUNTRIES[skewed(rng, COUNTRIES.len())]) };
    let kind = ["sale", "refund", "view"][skewed(rng, 3)];
    let user = format!("u{}", skewed(rng, 40));
    let product = 1 + skewed(rng, PRODUCTS as usize + 1) as i64;
    let amount = if rng.random_bool(0.1) { None } else { Some(f64::from(rng.random_range(-500..50_000)) / 100.0) };
    let qty = rng.random_range(1..9);
    let flag = [Some(true), Some(false), None][rng.random_range(0..3)];
    let json = |value: Option<String>| value.unwrap_or_else(|| "null".to_string());
    let line = format!(
        "{{\"id\":{id},\"ts\":{ts_ms},\"country\":{},\"type\":\"{kind}\",\"user_id\":\"{user}\",\"product_id\":{product},\"amount\":{},\"qty\":{qty},\"flag\":{}}}\n",
        json(country.map(|c| format!("\"{c}\""))),
        json(amount.map(|a| a.to_string())),
        json(flag.map(|f| f.to_string())),
    );
    let csv = format!(
        "{id},{ts_ms},{},{kind},{user},{product},{},{qty},{}\n",
        country.unwrap_or_default(),
        amount.map(|a| a.to_string()).unwrap_or_default(),
        flag.map(|f| f.to_string()).unwrap_or_default(),
    );
    Order { ts_ms, line, csv }
}

/// An index below `n`, small ones more often.
fn skewed(rng: &mut StdRng, n: usize) -> usize {
    let x: f64 = rng.random();
    ((x * x) * n as f64) as usize
}

const COLUMNS: &str = r#"{ id = "bigint", ts = { type = "timestamp", format = "epoch_ms" }, country = "string", type = "string", user_id = "string", product_id = "bigint", amount = "double", qty = "int", flag = "boolean" }"#;

/// A region that runs one statement over the files and writes one folder of Parquet.
pub(crate) fn region_file(folder: &Path, sql: &str) -> String {
    let folder = folder.display();
    format!(
        r#"
region = "eu-test"
[checkpoint]
url = "{folder}/state"
interval = "1ms"

[sources.orders]
connector = "file"
path = "{folder}/orders"
format = "json"
schema = {COLUMNS}
event_time = "ts"
max_delay = "1h"

[sources.payments]
connector = "file"
path = "{folder}/payments"
format = "json"
schema = {COLUMNS}
event_time = "ts"
max_delay = "1h"

[tables.products]
url = "{folder}/products.csv"
format = "csv"

[sinks.out]
connector = "parquet"
url = "{folder}/out"
partition_by = []

[pipelines.oracle]
sink = "out"
sql = """
{sql}
"""
"#
    )
}
