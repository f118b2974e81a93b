//! One run under load: how long after the watermark has passed the end of a window its rows can be read.
//!
//! The one idea: an event carries the moment at which it is to leave. So the watermark passes the end of a window at that end
//! and `max_delay`, by the clock, if everything is as fast as can be; whatever a row comes later than that is latency: the
//! generator's, the source's, the window's, the sink's, the pipe's.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::ChildStdout;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use hdrhistogram::Histogram;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::Bench;
use super::daemon::{Daemon, RunReport};
use super::region::region;
use super::spec::{LoadSpec, Query};
use super::way::Way;
use crate::generate::{Events, Load, Progress, Report, send};
use crate::results::{Better, Case, Measured};
use crate::schedule::Schedule;
use crate::target::{self, Manners};

const SINK: &str = "connector = \"stdout\"";
/// A daemon that is not there by then has failed.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What one run under load came to.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) load: Report,
    pub(super) daemon: RunReport,
    /// Of the rows of windows that closed under load, after the warm-up; in milliseconds.
    pub(super) rows: Latency,
}

/// Percentiles of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Latency {
    pub(super) rows: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) max_ms: f64,
}

/// When windows end that are looked at, in microseconds since the epoch, and what the watermark waits behind them.
#[derive(Debug, Clone, Copy)]
struct Looked {
    from: i64,
    until: i64,
    max_delay: i64,
}

/// Runs `query` under the suite's load in an empty folder, and adds what came of it to `case`.
///
/// # Errors
/// If the run fails, or no row came.
pub(super) async fn run(
    bench: &Bench,
    query: &Query,
    folder: &Path,
    case: &mut Case,
    stop: watch::Receiver<bool>,
) -> Result<(), String> {
    // Suites without a load are not run here.
    let load = bench.suite.load.ok_or("the suite has no load")?;
    let Outcome { load, daemon, rows } = measure(bench, query, load, folder, stop, |_| {}).await?;
    if rows.rows == 0 {
        return Err("no window closed under load: send for longer, or choose smaller windows".to_owned());
    }
    // One source is all that the region has.
    let in_pane = daemon.event_delays.values().next().ok_or("the report does not say how long events took")?;
    let less = |name, unit, value| Measured { name, unit, better: Better::Less, value };
    case.add(&[
        less("rows visible, p50", "ms", rows.p50_ms),
        less("rows visible, p99", "ms", rows.p99_ms),
        less("rows visible, p99.9", "ms", rows.p999_ms),
        less("rows visible, max", "ms", rows.max_ms),
        less("in its pane, p50", "ms", in_pane.p50_ms),
        less("in its pane, p99", "ms", in_pane.p99_ms),
        less("acknowledged, p50", "ms", load.latency.p50_ms),
        less("acknowledged, p99", "ms", load.latency.p99_ms),
        less("cpu per million events", "s", daemon.cpu_s / (daemon.total.read as f64 / 1e6)),
        less("peak memory", "MB", daemon.peak_rss_bytes as f64 / 1e6),
        less("late to leave", "% of events", 100.0 * load.late as f64 / load.sent.max(1) as f64),
        less("late in the daemon", "% of events", 100.0 * daemon.total.late as f64 / daemon.total.read.max(1) as f64),
    ]);
    case.state("events due", load.due)
}

/// Runs `query` under `load` in an empty folder.
///
/// # Errors
/// If the daemon or the load fails.
pub(super) async fn measure(
    bench: &Bench,
    query: &Query,
    load: LoadSpec,
    folder: &Path,
    stop: watch::Receiver<bool>,
    watch: impl FnMut(Progress),
) -> Result<Outcome, String> {
    let port = free_port()?;
    let way = Way::open(bench, load.ack, port).await?;
    let mut daemon =
        bench.program.start(folder, &region(&bench.suite, query, &way.origin, SINK), bench.suite.daemon.lanes)?;
    ready(&mut daemon, port).await?;
    let rows = daemon.rows().ok_or("the daemon has no output")?;

    let begun = micros(SystemTime::now());
    let in_micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let max_delay = in_micros(bench.suite.daemon.max_delay.0);
    let looked = Looked {
        from: begun + in_micros(load.warm_up.0),
        // What closes later is not closed by an event.
        until: begun + in_micros(load.length.0) - max_delay,
        max_delay,
    };
    let reading = spawn_blocking(move || read(rows, looked));
    let target = target::open(&way.address, &Manners::default()).await?;
    let events = &bench.suite.events;
    let events =
        Events { seed: events.seed, disorder: events.disorder, rate: load.rate, ..Events::new(events.profile) };
    let load = Load {
        schedule: Some(Schedule::constant(load.rate.a_second())),
        length: Some(load.length.0),
        linger: load.linger.0,
        ..Load::flat_out(events)
    };
    let report = send(load, target, stop, watch).await;
    daemon.ask_to_end();
    let ended = spawn_blocking(move || daemon.report()).await.map_err(|error| error.to_string())?;
    let rows = reading.await.map_err(|error| error.to_string())?;
    let (daemon, _) = ended?;
    if let Some(trouble) = &report.trouble {
        return Err(format!("{} events failed: {trouble}", report.failed));
    }
    Ok(Outcome { load: report, daemon, rows: summarise(&rows) })
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| format!("no port is free: {error}"))
}

/// Waits until the daemon takes requests.
async fn ready(daemon: &mut Daemon, port: u16) -> Result<(), String> {
    let client = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
    let begun = Instant::now();
    while begun.elapsed() < STARTS_WITHIN {
        if !daemon.runs() {
            return Err(format!("watershed did not start:\n{}", daemon.last_words()));
        }
        #[derive(Deserialize)]
        struct Health {
            status: String,
        }
        let answer = client.get(format!("http://127.0.0.1:{port}/healthz")).send().await;
        if let Ok(answer) = answer
            && let Ok(text) = answer.text().await
            && let Ok(health) = serde_json::from_str::<Health>(&text)
            && health.status == "running"
        {
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
    Err(format!("watershed was not ready within {} s:\n{}", STARTS_WITHIN.as_secs(), daemon.last_words()))
}

/// Reads rows as they come, until there are no more; measures those whose windows are looked at.
fn read(rows: ChildStdout, looked: Looked) -> Arc<Histogram<u64>> {
    #[derive(Deserialize)]
    struct Row<'a> {
        window_end: &'a str,
    }
    let mut histogram = crate::generate::histogram();
    let mut rows = BufReader::new(rows);
    let mut line = String::new();
    // What is no text ends it, as the end of the rows does.
    while rows.read_line(&mut line).is_ok_and(|length| length > 0) {
        let now = micros(SystemTime::now());
        if let Ok(Row { window_end }) = serde_json::from_str(&line)
            && let Ok(end) = DateTime::parse_from_rfc3339(window_end)
            && (looked.from..looked.until).contains(&end.timestamp_micros())
        {
            let late = now - end.timestamp_micros() - looked.max_delay;
            histogram.saturating_record(u64::try_from(late).unwrap_or(0).max(1));
        }
        line.clear();
    }
    Arc::new(histogram)
}

fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn summarise(rows: &Histogram<u64>) -> Latency {
    let at = |quantile| rows.value_at_quantile(quantile) as f64 / 1000.0;
    Latency {
        rows: rows.len(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        p999_ms: at(0.999),
        max_ms: rows.max() as f64 / 1000.0,
    }
}
