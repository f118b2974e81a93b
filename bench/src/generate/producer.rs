//! One producer: makes the events that are due, and sends them as batches.
//!
//! The one idea: it looks at the clock, never at the server. While too much is under way it cannot send; what falls due
//! meanwhile is sent afterwards, at once, and its latency has begun when it fell due.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use watershed_connectors::EventMaker;

use super::Run;
use crate::target::{Batch, Refused};

/// Looked at after so many events where nothing else ends a batch: a producer that runs flat out must hear that it is to stop.
const LOOK_EVERY: usize = 256;

/// Sends every `load.producers`-th event, from the `number`-th on.
pub(super) struct Producer {
    run: Arc<Run>,
    maker: EventMaker,
    /// The next event, counted over all producers.
    next: u64,
    /// What was sent and is not acknowledged yet.
    under_way: JoinSet<()>,
}

/// A batch being filled.
#[derive(Default)]
struct Filling {
    bytes: Vec<u8>,
    bounds: Vec<u32>,
    /// When each event was to leave, in nanoseconds from the start.
    moments: Vec<u64>,
}

impl Producer {
    pub(super) fn new(run: Arc<Run>, number: u64) -> Self {
        let maker = run.load.events.maker();
        Self { run, maker, next: number, under_way: JoinSet::new() }
    }

    /// Sends until the schedule ends, or the run is stopped; returns when all is acknowledged or given up.
    pub(super) async fn produce(mut self) {
        let mut stopped = self.run.stop.subscribe();
        while let Some(due) = self.moment(self.next, self.run.elapsed()) {
            // A flat-out producer is never early.
            let wake = due.saturating_add(self.run.load.linger);
            if self.run.load.schedule.is_some() && wake > self.run.elapsed() {
                tokio::select! {
                    () = sleep_until(self.run.began + wake) => {}
                    _ = stopped.wait_for(|stop| *stop) => break,
                }
            }
            let filled = self.fill();
            let permits = tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => break,
                permits = self.run.clone().room(filled.bytes.len()) => permits,
            };
            self.send(filled, permits);
            // What is done already is forgotten.
            while self.under_way.try_join_next().is_some() {}
        }
        while self.under_way.join_next().await.is_some() {}
    }

    /// When event `n` is to leave; none if it is none of this run's. Without a schedule, now.
    fn moment(&self, n: u64, now: Duration) -> Option<Duration> {
        if self.run.load.events_at_most.is_some_and(|most| n >= most) {
            return None;
        }
        let moment = match &self.run.load.schedule {
            Some(schedule) => schedule.time(n)?,
            None => now,
        };
        self.run.load.length.is_none_or(|length| moment < length).then_some(moment)
    }

    /// All events that are due, or as many as a batch may hold. At least one is due.
    fn fill(&mut self) -> Filling {
        let mut filling = Filling::default();
        let mut now = self.run.elapsed();
        filling.bytes.reserve(self.run.load.batch_bytes.min(1 << 20));
        while let Some(moment) = self.moment(self.next, now) {
            if moment > now || filling.bytes.len() >= self.run.load.batch_bytes {
                break;
            }
            if filling.moments.len() % LOOK_EVERY == LOOK_EVERY - 1 {
                now = self.run.elapsed();
            }
            filling.bounds.push(filling.bytes.len() as u32);
            let time = self.run.load.events.time.of(&self.maker, self.next, self.run.began_ms, moment);
            self.maker.write(self.next, time, &mut filling.bytes);
            filling.bytes.push(b'\n');
            filling.moments.push(u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX));
            self.next += self.run.load.producers;
        }
        filling.bounds.push(filling.bytes.len() as u32);
        filling
    }

    fn send(&mut self, filled: Filling, permits: Vec<OwnedSemaphorePermit>) {
        let Filling { bytes, bounds, moments } = filled;
        let length = bytes.len();
        let batch = Batch { bytes: bytes.into(), bounds: bounds.into() };
        self.run.meter().sent(&moments, self.run.elapsed());
        let sent = self.run.target.submit(batch);
        let run = self.run.clone();
        self.under_way.spawn(async move {
            let outcome = sent.await;
            let now = run.elapsed();
            match outcome {
                Ok(()) => run.meter().acknowledged(&moments, length, now),
                Err(Refused::GaveUp(why)) => run.meter().failed(moments.len(), why),
                Err(Refused::Fatal(why)) => {
                    run.meter().failed(moments.len(), why);
                    run.halt();
                }
                Err(Refused::Closed) => run.halt(),
            }
            drop(permits);
        });
    }
}
