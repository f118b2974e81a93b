//! Crashes at any point: an engine in small that writes, prepares, records and commits at random, and dies at random.
//!
//! The one idea: a [`Durable`] is all that survives; the next process starts from it as the engine does. Dead processes
//! are kept as zombies, which wake up later and go on with the commit in which they were.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;

use super::*;
use crate::error::SinkError;
use crate::sink::Held;

/// From here on no process dies, so that the story ends.
const LIVES: usize = 12;
const ROWS: usize = 800;
/// Rows of a batch: half of the greatest number on average, none now and then.
const BATCH_ROWS: u64 = 60;
const ZOMBIES: usize = 4;

/// Runs a process after the other at one place for each seed, and looks whether every row is visible once.
pub async fn crashes<F: Fixture>(place: impl Fn() -> F, seeds: Range<u64>) {
    for seed in seeds {
        let place = place();
        let mut story = Story::new(&place, seed);
        for life in 0..=LIVES {
            story.mortal = life < LIVES;
            let ended = story.live().await.is_some();
            story.check(&format!("seed {seed}, life {life}"), ended).await;
            if ended {
                break;
            }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// An epoch: what the engine's manifest holds of one sink, and of its source.
#[derive(Clone)]
struct Durable {
    epoch: u64,
    prepared: Prepared,
    held: Option<Held>,
    /// Number of the next batch.
    next: u64,
    /// The batches that the sink needs.
    kept: BTreeMap<u64, RecordBatch>,
    /// The rows that it has encoded.
    encoded: BTreeMap<u64, Bytes>,
    /// How many rows of the source were read.
    read: usize,
}

impl Durable {
    /// As it is after a way through a file.
    fn stored(&self) -> Self {
        let held = serde_json::from_str(&serde_json::to_string(&self.held).unwrap()).unwrap();
        Self { prepared: through_manifest(&self.prepared), held, ..self.clone() }
    }
}

struct Story<'a, F> {
    place: &'a F,
    random: Random,
    /// Ids in the order in which they are read: mixed, so that each batch belongs to several folders.
    source: Vec<i64>,
    durable: Durable,
    /// Processes that were replaced, and the commit in which they were.
    zombies: Vec<(Box<dyn Sink>, Prepared)>,
    mortal: bool,
}

impl<'a, F: Fixture> Story<'a, F> {
    fn new(place: &'a F, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut source: Vec<i64> = (0..ROWS as i64).collect();
        for i in (1..source.len()).rev() {
            source.swap(i, random.below(i as u64 + 1) as usize);
        }
        let (kept, encoded, prepared) = (BTreeMap::new(), BTreeMap::new(), Prepared::nothing());
        let durable = Durable { epoch: 0, prepared, held: None, next: 0, kept, encoded, read: 0 };
        Self { place, random, source, durable, zombies: Vec::new(), mortal: true }
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.random.below(n) == 0
    }

    /// Takes a step, or dies in the middle of it.
    async fn step<T>(&mut self, step: impl Future<Output = T>) -> Option<T> {
        if !self.mortal || !self.one_in(12) {
            return Some(step.await);
        }
        let mut step = pin!(step);
        for _ in 0..self.random.below(20) {
            if let Poll::Ready(done) = futures::poll!(&mut step) {
                return Some(done);
            }
            tokio::task::yield_now().await;
        }
        None
    }

    /// The life of a process. None: it died.
    async fn live(&mut self) -> Option<()> {
        let mut sink = self.place.sink("orders");
        let ended = self.work(&mut *sink).await;
        // It may have died in the middle of a commit, or at any other place: to repeat the commit is harmless in all.
        self.zombies.push((sink, self.durable.prepared.clone()));
        if self.zombies.len() > ZOMBIES {
            self.zombies.remove(0);
        }
        ended
    }

    async fn work(&mut self, sink: &mut dyn Sink) -> Option<()> {
        let mut state = self.durable.stored();
        let commits_first = self.one_in(2);
        if commits_first {
            self.step(commit(sink, &state.prepared)).await?;
        }
        let first = self.step(sink.open()).await?.unwrap();
        state.epoch = first.max(state.epoch + 1);
        if !commits_first {
            self.step(commit(sink, &state.prepared)).await?;
        }
        if let Some(held) = &state.held {
            sink.resume(held).await.unwrap();
            assert_eq!(sink.held().as_ref(), Some(held), "resumed, and nothing prepared yet");
            for (number, bytes) in &state.encoded {
                self.step(sink.resume_encoded(*number, bytes.clone())).await?.unwrap();
            }
            for (number, batch) in &state.kept {
                self.step(sink.write(*number, batch.clone())).await?.unwrap();
            }
        }
        loop {
            match self.random.below(8) {
                0..4 => self.write(sink, &mut state).await?,
                4..6 => self.end_epoch(sink, &mut state).await?,
                6 => self.wake_a_zombie().await,
                _ if self.mortal && self.one_in(3) => return None,
                _ => {}
            }
            if state.read == self.source.len() && self.durable.read == state.read && state.held.is_none() {
                return Some(());
            }
        }
    }

    async fn write(&mut self, sink: &mut dyn Sink, state: &mut Durable) -> Option<()> {
        let count = self.random.below(BATCH_ROWS + 1) as usize;
        let end = self.source.len().min(state.read + count);
        let batch = batch(&self.source[state.read..end]);
        self.step(sink.write(state.next, batch.clone())).await?.unwrap();
        state.kept.insert(state.next, batch);
        state.next += 1;
        state.read = end;
        Some(())
    }

    async fn end_epoch(&mut self, sink: &mut dyn Sink, state: &mut Durable) -> Option<()> {
        let at_end = state.read == self.source.len();
        let flush = if at_end || self.one_in(6) { Flush::All } else { Flush::Due };
        state.prepared = self.step(sink.prepare(state.epoch, flush)).await?.unwrap();
        state.held = sink.held();
        let (needs, bytes) =
            state.held.as_mut().map(|held| (held.encoded.clone(), std::mem::take(&mut held.bytes))).unwrap_or_default();
        state.encoded.retain(|number, _| needs.contains(number));
        state.encoded.extend(bytes);
        assert!(state.encoded.keys().eq(&needs), "{needs:?} are to be kept of {:?}", state.encoded.keys());
        let needed = state.held.as_ref().map_or(state.next, |held| held.first);
        assert!(state.kept.contains_key(&needed) || needed == state.next, "batch {needed} is not there any more");
        assert!(flush == Flush::Due || state.held.is_none(), "everything was handed over");
        state.kept = state.kept.split_off(&needed);
        if self.mortal && self.one_in(8) {
            return None;
        }
        self.durable = state.stored();
        state.epoch += 1;
        self.step(commit(sink, &self.durable.prepared.clone())).await
    }

    /// A process that was paused goes on, long after others have taken over.
    async fn wake_a_zombie(&mut self) {
        if let Some((mut zombie, prepared)) = self.zombies.pop() {
            commit(&mut *zombie, &prepared).await;
        }
    }

    async fn check(&self, when: &str, ended: bool) {
        let Some(mut seen) = self.place.visible("orders").await else { return };
        seen.sort_unstable();
        if self.place.nature().shows_at_write {
            // What is shown at once is shown again after a crash.
            seen.dedup();
        } else {
            let mut read = self.source[..self.durable.read].to_vec();
            read.sort_unstable();
            assert!(seen.iter().all(|id| read.binary_search(id).is_ok()), "{when}: rows before their commit");
            assert!(seen.is_sorted_by(|a, b| a < b), "{when}: a row twice");
        }
        assert!(!ended || seen == (0..ROWS as i64).collect::<Vec<_>>(), "{when}: rows lost");
    }
}

/// Commits as the engine does: passing trouble, such as what a dying process still does at the place, is tried again.
async fn commit(sink: &mut dyn Sink, prepared: &Prepared) {
    loop {
        match sink.commit(prepared).await {
            Ok(_) => return,
            Err(SinkError::Retry { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}
