//! The contract of sinks, at a real server; what is there is asked by psql.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;

use super::options;
use crate::SinkError;
use crate::conformance::{Fixture, Nature, batch, context, crashes, run};
use crate::messages::MessageOptions;
use crate::sink::{Flush, Sink};

/// The pipelines of the suite: each writes to a table of its own.
const PIPELINES: [&str; 4] = ["orders", "orders_by_country", "orders-00000009", "orders/odd name"];

fn url() -> String {
    std::env::var("WATERSHED_POSTGRES").expect("WATERSHED_POSTGRES is not set: run under scripts/services run postgres")
}

fn psql(sql: &str) -> String {
    let ran = Command::new("psql").args([&url(), "-v", "ON_ERROR_STOP=1", "-qAtc", sql]).output().unwrap();
    assert!(ran.status.success(), "{sql}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim_end().to_owned()
}

/// A schema of its own.
struct Place {
    schema: String,
    max_epoch_bytes: usize,
}

impl Place {
    fn new(key: &str, max_epoch_bytes: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let schema = format!("sink_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        psql(&format!("CREATE SCHEMA {schema}"));
        let place = Self { schema, max_epoch_bytes };
        for pipeline in PIPELINES {
            let table = place.table(pipeline);
            psql(&format!(
                "CREATE TABLE {table} (name text, id bigint, ts timestamptz, came timestamptz DEFAULT now(){key})"
            ));
        }
        place
    }

    fn table(&self, pipeline: &str) -> String {
        let number = PIPELINES.iter().position(|known| *known == pipeline).expect("a pipeline of the suite");
        format!("{}.rows_{number}", self.schema)
    }
}

#[async_trait]
impl Fixture for Place {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        let (url, table, bytes) = (url(), self.table(pipeline), self.max_epoch_bytes);
        let text = format!("url = \"{url}\"\ntable = \"{table}\"\nmax_epoch_bytes = {bytes}");
        options(&text).unwrap().sink(&context(pipeline), "db").unwrap()
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        let sql = format!("SELECT id FROM {}", self.table(pipeline));
        let found = tokio::task::spawn_blocking(move || psql(&sql)).await.unwrap();
        Some(found.lines().map(|line| line.parse().unwrap()).collect())
    }

    fn nature(&self) -> Nature {
        Nature { shows_at_write: false, holds_back: false, remembers_epochs: true }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run postgres -- cargo test … --ignored"]
async fn postgres_conforms_without_a_key() {
    run(|| Place::new("", 16_000_000)).await;
    crashes(|| Place::new("", 2_000), 4..8).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run postgres -- cargo test … --ignored"]
async fn postgres_conforms_with_a_key() {
    run(|| Place::new(", PRIMARY KEY (id)", 16_000_000)).await;
    crashes(|| Place::new(", PRIMARY KEY (id)", 2_000), 4..8).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run postgres -- cargo test … --ignored"]
async fn a_row_replaces_the_one_of_its_key() {
    let place = Place::new(", PRIMARY KEY (name)", 16_000_000);
    let mut sink = place.sink("orders");
    let epoch = sink.open().await.unwrap();
    // Every third row has no name, so that one is refused by this key.
    sink.write(0, batch(&[1, 2])).await.unwrap();
    sink.write(1, batch(&[1])).await.unwrap();
    let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
    sink.commit(&prepared).await.unwrap();
    let found =
        psql(&format!("SELECT name, id, extract(epoch FROM ts)::bigint FROM {} ORDER BY 1", place.table("orders")));
    assert_eq!(found, "name 1|1|1772323210\nname 2|2|1772323220");
    sink.write(2, batch(&[3])).await.unwrap();
    let prepared = sink.prepare(epoch + 1, Flush::All).await.unwrap();
    let error = sink.commit(&prepared).await.unwrap_err();
    assert!(matches!(error, SinkError::Fatal { .. }) && error.to_string().contains("null value in column"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run postgres -- cargo test … --ignored"]
async fn rows_whose_key_is_null_in_part_are_all_kept() {
    let place = Place::new(", UNIQUE (name)", 16_000_000);
    let text = format!("url = \"{}\"\ntable = \"{}\"\nkey = [\"name\"]", url(), place.table("orders"));
    let mut sink = options(&text).unwrap().sink(&context("orders"), "db").unwrap();
    let epoch = sink.open().await.unwrap();
    sink.write(0, batch(&[3, 6, 1, 1])).await.unwrap();
    let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
    sink.commit(&prepared).await.unwrap();
    assert_eq!(psql(&format!("SELECT id FROM {} ORDER BY 1", place.table("orders"))), "1\n3\n6");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run postgres -- cargo test … --ignored"]
async fn what_is_wrong_with_the_table_is_said() {
    let place = Place::new("", 16_000_000);
    let refused = async |table: &str, more: &str| {
        let text = format!("url = \"{}\"\ntable = \"{table}\"\n{more}", url());
        let error = options(&text).unwrap().probe(&context("orders"), "db").await.unwrap_err();
        assert!(matches!(error, SinkError::Config { .. }), "{error}");
        error.to_string()
    };
    let table = place.table("orders");
    let said = refused(&format!("{table}x"), "key = [\"id\"]").await;
    assert!(said.contains("does not exist: make it, as by CREATE TABLE") && said.contains("PRIMARY KEY"), "{said}");
    let said = refused(&table, "key = [\"id\"]").await;
    assert!(said.contains("`key` must be the columns of a primary key"), "{said}");
    psql(&format!("ALTER TABLE {table} DROP COLUMN name"));
    let said = refused(&table, "").await;
    assert!(said.contains("has no column \"name\""), "{said}");
}
