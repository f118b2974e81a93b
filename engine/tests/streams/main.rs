//! What the engine promises to every event stream, seen on one that lives in memory.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod log;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::util::pretty::pretty_format_batches;
use object_store::memory::InMemory;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use watershed_connectors::{Source, SourceError};
use watershed_engine::checkpoint::{Place, StateError};
use watershed_engine::config::{self, Checkpoint, SinkConfig, SourceConfig};
use watershed_engine::environment::System;
use watershed_engine::plan::plan_region;
use watershed_engine::report::{Progress, RunReport};
use watershed_engine::run::{Connect, RunOptions, World, run};
use watershed_sinks::{MemoryRows, MemorySink, Sink, SinkContext, SinkError};

use log::{Log, LogSource};

const REGION: &str = r#"
region = "test"
[checkpoint]
interval = "20ms"
[sources.orders]
connector = "sse"
url = "http://127.0.0.1/none"
event_time = "ts"
max_future = "off"
idle_after = "1h"
on_bad = "skip"
schema = { ts = { type = "timestamp", format = "epoch_s" }, id = "bigint" }
metadata = ["_id", "_event"]
[sinks.memory]
connector = "null"
[pipelines.p]
sink = "memory"
sql = "{sql}"
"#;

/// A test that waits so long has failed.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A place where runs follow each other: one stream, one state, one sink.
struct Site {
    log: Arc<Log>,
    state: Arc<InMemory>,
    rows: MemoryRows,
    latest: bool,
}

impl Site {
    fn new(latest: bool) -> Arc<Self> {
        Arc::new(Self { log: Arc::default(), state: Arc::new(InMemory::new()), rows: MemoryRows::new(), latest })
    }

    fn start(self: &Arc<Self>, sql: &str) -> Running {
        self.begin(sql, false)
    }

    fn begin(self: &Arc<Self>, sql: &str, drain: bool) -> Running {
        let environment = |_: &str| Err(std::env::VarError::NotPresent);
        let text = REGION.replace("{sql}", sql);
        let region = config::parse(Path::new("test.toml"), text.into(), &environment, 2).expect("the region is right");
        let (stop, stopped) = watch::channel(false);
        let (tell, progress) = watch::channel(Progress::default());
        let world = World { environment: Arc::new(System::new()), connect: self.clone(), watch: Arc::new(|_| {}) };
        let task = tokio::spawn(async move {
            let planned = plan_region(&region).await.expect("the region can be planned");
            let options = RunOptions { progress: Some(tell), drain, world, ..RunOptions::new(stopped) };
            run(planned, options).await.expect("the run ends well")
        });
        Running { stop, progress, task }
    }

    fn rows(&self) -> String {
        pretty_format_batches(&self.rows.batches("p")).unwrap().to_string()
    }
}

impl Connect for Site {
    fn source(&self, _config: &SourceConfig) -> Result<Arc<dyn Source>, SourceError> {
        Ok(Arc::new(LogSource::new(self.log.clone(), self.latest)))
    }

    fn sink(&self, _config: &SinkConfig, context: SinkContext) -> Result<Box<dyn Sink>, SinkError> {
        Ok(Box::new(MemorySink::new(context.pipeline.to_string(), self.rows.clone())))
    }

    fn state(&self, _: &Checkpoint) -> Result<Place, StateError> {
        Ok(Place::of(self.state.clone(), "state".into(), "memory".to_string()))
    }
}

struct Running {
    stop: watch::Sender<bool>,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<RunReport>,
}

impl Running {
    async fn until(&mut self, reached: impl FnMut(&Progress) -> bool) {
        let reached = tokio::time::timeout(FOR_EVER, self.progress.wait_for(reached)).await;
        reached.expect("the run gets there").expect("the run goes on");
    }

    async fn end(self) -> RunReport {
        self.stop.send_replace(true);
        self.task.await.unwrap()
    }
}

fn order(time: i64, id: i64) -> String {
    format!("{{\"ts\":{time},\"id\":{id}}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_continues_a_split_is_on_the_clock_before_it_leaves() {
    let site = Site::new(false);
    let log = &site.log;
    for (split, parent, times) in [
        ("a", None, vec![1, 9]),
        ("b", None, vec![100, 200]),
        ("a1", Some("a"), vec![10, 200]),
        ("a2", Some("a"), vec![11, 200]),
    ] {
        log.add(split, parent);
        times.into_iter().for_each(|time| log.write(split, order(time, 1)));
    }
    log.close("a");
    let sql =
        "SELECT window_start, count(*) AS events FROM tumble(orders, INTERVAL '10 seconds') GROUP BY window_start";
    let mut running = site.start(sql);
    running.until(|progress| progress.windows == 3).await;
    let report = running.end().await;
    assert_eq!((report.total.late, report.total.read), (0, 8));
    let rows = site.rows();
    assert!(rows.contains("1970-01-01T00:00:10Z | 2"), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_begun_at_its_end_goes_on_there_after_a_restart() {
    let site = Site::new(true);
    site.log.add("a", None);
    site.log.write("a", order(1, 0));
    let running = site.start("SELECT id FROM orders");
    site.log.reads(1).await;
    running.end().await;
    site.log.write("a", order(2, 1));
    site.log.write("a", order(3, 2));
    let mut running = site.start("SELECT id FROM orders");
    running.until(|progress| progress.read == 2).await;
    assert_eq!(running.end().await.total.read, 2);
    assert_eq!(site.rows.rows("p"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_stands_beside_the_payload_of_good_records() {
    let site = Site::new(false);
    site.log.add("a", None);
    for record in [order(1, 0), "rubbish".to_string(), order(2, 2)] {
        site.log.write("a", record);
    }
    let mut running = site.start("SELECT _event, id, _id FROM orders");
    running.until(|progress| progress.read == 3).await;
    assert_eq!(running.end().await.total.bad, 1);
    let rows = site.rows();
    assert!(rows.contains("| a      | 0  | 0   |\n| a      | 2  | 2   |"), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_cannot_be_reached_at_the_start_is_waited_for() {
    let site = Site::new(false);
    site.log.add("a", None);
    site.log.write("a", order(1, 0));
    site.log.hide(3);
    let mut running = site.start("SELECT id FROM orders");
    running.until(|progress| progress.read == 1).await;
    running.end().await;
}

/// A test that waits longer has failed.
async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(FOR_EVER, what).await.expect("it comes to that")
}

/// Records with these numbers, one a second.
fn write(log: &Log, split: &str, numbers: std::ops::Range<i64>) {
    numbers.for_each(|number| log.write(split, order(number, number)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_that_leaves_and_comes_back_is_neither_lost_nor_counted_twice() {
    let site = Site::new(false);
    let log = &site.log;
    log.add("a", None);
    log.add("b", None);
    log.share();
    log.give("a", 0);
    log.give("b", 0);
    write(log, "a", 0..10);
    write(log, "b", 100..110);
    let mut running = site.start("SELECT id FROM orders");
    running.until(|progress| progress.read == 20).await;
    assert_eq!(within(log.lend("a")).await, 10);
    // Written while it is elsewhere; of this the other process reads three.
    write(log, "a", 10..20);
    write(log, "b", 110..120);
    running.until(|progress| progress.read == 30).await;
    log.give("a", 13);
    running.until(|progress| progress.read == 37).await;
    assert_eq!(within(log.lend("a")).await, 20);
    // Again, with nothing to read: what is durable was told before it left.
    log.give("a", 20);
    within(log.reads(20)).await;
    assert_eq!(within(log.lend("a")).await, 20);
    log.give("a", 20);
    write(log, "a", 20..25);
    running.until(|progress| progress.read == 42).await;
    running.end().await;
    // Elsewhere while this process is down; and a position of its own that is further than what others know.
    write(log, "a", 25..30);
    log.give("a", 27);
    log.give("b", 3);
    let mut running = site.start("SELECT id FROM orders");
    running.until(|progress| progress.read == 3).await;
    running.end().await;
    let rows = site.rows();
    let expected: Vec<i64> = (0..10).chain(13..25).chain(27..30).chain(100..120).collect();
    for id in 0..120 {
        let times = rows.matches(&format!("| {id:<3} |")).count();
        assert_eq!(times, usize::from(expected.contains(&id)), "{id} in {rows}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_split_of_its_own_a_process_waits_and_closes_nothing() {
    let site = Site::new(false);
    let log = &site.log;
    log.add("a", None);
    log.share();
    let sql =
        "SELECT window_start, count(*) AS events FROM tumble(orders, INTERVAL '10 seconds') GROUP BY window_start";
    let mut running = site.start(sql);
    // It comes after the process has looked for some in vain, goes while it is silent, and comes back.
    within(log.looked(2)).await;
    write(log, "a", 0..25);
    log.give("a", 0);
    running.until(|progress| progress.windows == 2).await;
    within(log.lend("a")).await;
    write(log, "a", 25..35);
    log.give("a", 25);
    running.until(|progress| progress.windows == 3).await;
    let report = running.end().await;
    assert_eq!((report.total.read, report.total.late), (35, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_closes_the_windows_of_an_endless_stream() {
    let site = Site::new(false);
    site.log.add("a", None);
    site.log.write("a", order(1, 0));
    site.log.write("a", order(11, 1));
    let sql =
        "SELECT window_start, count(*) AS events FROM tumble(orders, INTERVAL '10 seconds') GROUP BY window_start";
    let mut running = site.start(sql);
    running.until(|progress| progress.windows == 1).await;
    running.end().await;
    let drained = site.begin(sql, true).task.await.unwrap();
    assert_eq!((drained.total.read, drained.total.windows), (0, 1));
    assert_eq!(site.rows.rows("p"), 2);
}
