#![allow(clippy::unwrap_used)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::*;
use crate::target::{Batch, Refused};
use watershed_connectors::Profile;

fn load(schedule: Option<Schedule>, events: u64) -> Load {
    Load {
        schedule,
        events_at_most: Some(events),
        linger: Duration::ZERO,
        ..Load::flat_out(Events::new(Profile::Orders))
    }
}

/// Never stops a run.
fn unstopped() -> watch::Receiver<bool> {
    watch::channel(false).1
}

/// Keeps what it takes, and does as `answer` says with the number of each batch.
struct Place<F> {
    taken: Arc<Mutex<Vec<u8>>>,
    batches: AtomicU64,
    answer: F,
}

impl<F> Place<F> {
    fn new(answer: F) -> (Box<Self>, Arc<Mutex<Vec<u8>>>) {
        let taken = Arc::<Mutex<Vec<u8>>>::default();
        (Box::new(Self { taken: taken.clone(), batches: AtomicU64::new(0), answer }), taken)
    }
}

impl<F: Fn(u64) -> BoxFuture<'static, Result<(), Refused>> + Send + Sync> Target for Place<F> {
    fn submit(&self, batch: Batch) -> BoxFuture<'static, Result<(), Refused>> {
        assert_eq!(batch.bounds.last().map(|end| *end as usize), Some(batch.bytes.len()));
        self.taken.lock().unwrap().extend_from_slice(&batch.bytes);
        (self.answer)(self.batches.fetch_add(1, Ordering::SeqCst))
    }
}

fn at_once(_: u64) -> BoxFuture<'static, Result<(), Refused>> {
    Box::pin(async { Ok(()) })
}

/// The lines, sorted: producers do not wait for each other.
fn lines(taken: &Mutex<Vec<u8>>) -> Vec<String> {
    let mut lines: Vec<String> =
        String::from_utf8(taken.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn several_producers_send_what_one_sends() {
    let mut sent = Vec::new();
    for producers in [1, 3] {
        let mut load = load(Some(Schedule::constant(100_000.0)), 5000);
        load.events.time = EventTime::From(1_772_323_200_000);
        load.producers = producers;
        let (place, taken) = Place::new(at_once);
        let report = send(load, place, unstopped(), |_| {}).await;
        assert_eq!((report.due, report.sent, report.acknowledged, report.failed), (5000, 5000, 5000, 0));
        sent.push(lines(&taken));
    }
    assert_eq!(sent[0].len(), 5000);
    assert_eq!(sent[0], sent[1]);
}

#[tokio::test]
async fn events_carry_the_moment_at_which_they_were_to_leave() {
    let (place, taken) = Place::new(at_once);
    send(load(Some(Schedule::constant(1000.0)), 50), place, unstopped(), |_| {}).await;
    let moments: Vec<i64> = lines(&taken)
        .iter()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            DateTime::parse_from_rfc3339(event["ts"].as_str().unwrap()).unwrap().timestamp_millis()
        })
        .collect();
    let (least, most) = (moments.iter().min().unwrap(), moments.iter().max().unwrap());
    assert_eq!(most - least, 49);
}

#[tokio::test]
async fn what_waits_for_a_server_that_stalls_counts_from_its_moment() {
    let open = Arc::new(Notify::new());
    let stalled = Arc::new(Mutex::new(None));
    let gate = (open.clone(), stalled.clone());
    let (place, _) = Place::new(move |number| -> BoxFuture<'static, Result<(), Refused>> {
        let (open, stalled) = gate.clone();
        Box::pin(async move {
            if number == 0 {
                let begun = Instant::now();
                open.notified().await;
                *stalled.lock().unwrap() = Some(begun.elapsed());
            }
            Ok(())
        })
    });
    let mut load = load(Some(Schedule::constant(1000.0)), 500);
    load.batches_under_way = 1;
    // The server stalls until 300 events are due, whatever was sent.
    let report = send(load, place, unstopped(), |progress| {
        if progress.due >= 300 {
            open.notify_one();
        }
    })
    .await;
    let stalled = stalled.lock().unwrap().unwrap();
    assert_eq!(report.acknowledged, 500);
    assert!(report.latency.max_ms >= stalled.as_secs_f64() * 999.0, "{} ms, {stalled:?}", report.latency.max_ms);
    // Those that fell due in the stall, less what the tolerance allows.
    assert!(report.late >= 200, "{} are late", report.late);
    // Each of them waited as long as it had to, and not only the batch that was under way.
    assert!(report.latency.p50_ms > 10.0, "{:?}", report.latency);
}

#[tokio::test]
async fn what_is_given_up_counts_as_failed_and_the_rest_goes_on() {
    let (place, _) = Place::new(|number| -> BoxFuture<'static, Result<(), Refused>> {
        Box::pin(async move { if number == 0 { Err(Refused::GaveUp("too slow".to_owned())) } else { Ok(()) } })
    });
    let mut load = load(None, 10_000);
    load.batch_bytes = 100_000;
    let report = send(load, place, unstopped(), |_| {}).await;
    assert!(report.failed > 0);
    assert_eq!(report.acknowledged + report.failed, 10_000);
    assert_eq!(report.trouble.as_deref(), Some("too slow"));
}

#[tokio::test]
async fn a_run_ends_when_the_target_is_of_no_use_or_has_enough() {
    for outcome in [Refused::Fatal("no such source".to_owned()), Refused::Closed] {
        let refused = outcome.clone();
        let (place, _) = Place::new(move |_| -> BoxFuture<'static, Result<(), Refused>> {
            let refused = refused.clone();
            Box::pin(async move { Err(refused) })
        });
        let mut load = load(Some(Schedule::constant(1000.0)), 1);
        load.events_at_most = None;
        let report = send(load, place, unstopped(), |_| {}).await;
        assert_eq!(report.trouble.is_some(), matches!(outcome, Refused::Fatal(_)));
    }
}

#[tokio::test]
async fn a_stop_ends_a_run_with_all_that_was_sent_accounted_for() {
    let (stop, stopped) = watch::channel(false);
    let (place, taken) = Place::new(at_once);
    let mut load = load(Some(Schedule::constant(1000.0)), 1);
    load.events_at_most = None;
    let report = send(load, place, stopped, |progress| {
        if progress.acknowledged > 100 {
            stop.send_replace(true);
        }
    })
    .await;
    assert_eq!(report.sent, report.acknowledged);
    assert_eq!(lines(&taken).len() as u64, report.acknowledged);
}

#[test]
fn a_timeline_counts_by_the_second() {
    let mut meter = Meter::new(Duration::from_millis(10));
    let nanos = |ms: u64| ms * 1_000_000;
    meter.sent(&[nanos(0), nanos(100)], Duration::from_millis(105));
    meter.acknowledged(&[nanos(0), nanos(100)], 10, Duration::from_millis(200));
    meter.sent(&[nanos(2300)], Duration::from_millis(2301));
    // Below 2 ms a histogram tells every microsecond.
    meter.acknowledged(&[nanos(2300)], 5, Duration::from_micros(2_301_500));
    let points = meter.timeline(Duration::from_millis(2500)).to_vec();
    assert_eq!(points.iter().map(|point| point.acknowledged).collect::<Vec<_>>(), [2, 0, 1]);
    assert_eq!(points.iter().map(|point| point.seconds).collect::<Vec<_>>(), [1.0, 1.0, 0.5]);
    assert_eq!(points[1].latency, None);
    assert_eq!(points[2].latency.map(|latency| latency.max_ms), Some(1.5));
    // 105 ms after its moment is late, 5 ms is not.
    assert_eq!((meter.counts.late, meter.counts.sent, meter.counts.bytes), (1, 3, 15));
}
