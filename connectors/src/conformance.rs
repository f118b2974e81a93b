//! What every source promises, as one suite that every implementation runs.
//!
//! The one idea: a fixture says what must come out; the suite takes it out in many ways — in one go, record by record,
//! from every position, with reads cut short — and compares.

#![allow(clippy::unwrap_used, clippy::expect_used)]

pub(crate) mod proxy;

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::error::SourceError;
use crate::records::Records;
use crate::source::{Position, ReadLimits, ReadStatus, Reader, Source, SplitId};

/// One record as it must come out.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    Record { payload: Vec<u8>, position: u64 },
    Rejected { bytes: Vec<u8>, position: u64, reason: String },
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, position, reason) = match self {
            Self::Record { payload, position } => (payload, position, ""),
            Self::Rejected { bytes, position, reason } => (bytes, position, reason.as_str()),
        };
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        write!(f, "{position}: {start:?} ({} bytes) {reason}", bytes.len())
    }
}

impl Item {
    pub(crate) fn record(payload: impl AsRef<[u8]>, position: u64) -> Self {
        Self::Record { payload: payload.as_ref().to_vec(), position }
    }

    fn position(&self) -> u64 {
        match self {
            Self::Record { position, .. } | Self::Rejected { position, .. } => *position,
        }
    }

    fn forget_position(&mut self) {
        match self {
            Self::Record { position, .. } | Self::Rejected { position, .. } => *position = 0,
        }
    }
}

/// Makes a source as it is met when so many of its records were taken.
pub(crate) type Later = Box<dyn Fn(usize) -> Box<dyn Source>>;

/// A source and what it holds.
pub(crate) struct Fixture {
    /// Makes the source afresh, standing where it first stood.
    pub(crate) make: Box<dyn Fn() -> Box<dyn Source>>,
    /// Each split with its records, in order.
    pub(crate) expected: Vec<(String, Vec<Item>)>,
    /// The header that all records stand under.
    pub(crate) header: Option<&'static [u8]>,
    /// False for streams that come only once: a new source can't go on where an old one stood.
    pub(crate) reopens: bool,
    /// True where records take their time, as over a network: reads wait for them, and the end for now is where all that
    /// are expected have come.
    pub(crate) patient: bool,
    /// Makes the source as a later process meets it, so many records on, where that is another than `make` makes: those who
    /// send records do not send again what was taken.
    pub(crate) later: Option<Later>,
    /// False for queues: records come in any order, numbered as they come.
    pub(crate) ordered: bool,
    /// How long a read may wait where the source never ends: nothing for what is in memory or on disk.
    pub(crate) patience: Duration,
}

impl Fixture {
    pub(crate) fn new(make: impl Fn() -> Box<dyn Source> + 'static, expected: Vec<(String, Vec<Item>)>) -> Self {
        Self {
            make: Box::new(make),
            expected,
            header: None,
            reopens: true,
            patient: false,
            later: None,
            ordered: true,
            patience: Duration::ZERO,
        }
    }

    pub(crate) async fn run(&self) {
        self.splits_are_stable().await;
        for limit in [1, 100, 64 << 10, 64 << 20] {
            self.every_record_comes_once_and_in_order(limit).await;
        }
        self.reads_append_to_what_is_there().await;
        if self.ordered {
            // What a queue gives after a restart is what was not acknowledged, whatever the position.
            self.resumes_at_every_position().await;
        }
        self.dropped_reads_lose_nothing().await;
        self.the_end_is_final().await;
        self.acknowledging_twice_changes_nothing().await;
    }

    async fn splits_are_stable(&self) {
        let source = (self.make)();
        let first = source.splits().await.unwrap();
        assert_eq!(first, source.splits().await.unwrap(), "splits must not change");
        assert_eq!(first, (self.make)().splits().await.unwrap(), "splits must survive a restart");
        let expected: Vec<_> = self.expected.iter().map(|(split, _)| SplitId::new(split.as_str())).collect();
        assert_eq!(first, expected);
    }

    async fn every_record_comes_once_and_in_order(&self, limit: usize) {
        let source = (self.make)();
        for (split, expected) in &self.expected {
            let mut reader = open(&*source, split, None).await;
            let items = self.drain(&*source, &mut *reader, limit, expected).await;
            self.compare(items, expected, &format!("split {split} read with a limit of {limit}"));
        }
    }

    async fn reads_append_to_what_is_there(&self) {
        let source = (self.make)();
        for (split, expected) in &self.expected {
            let mut reader = open(&*source, split, None).await;
            let mut records = Records::default();
            while !self.has_all(items_of(&records).len(), expected) {
                let held = records.count();
                let status = reader.read(&mut records, self.limits(&*source, 20)).await.unwrap();
                let over = match status {
                    ReadStatus::More => false,
                    ReadStatus::CaughtUp => !source.bounded() && records.count() == held,
                    ReadStatus::Ended | ReadStatus::Left => true,
                };
                if over {
                    break;
                }
            }
            self.compare(items_of(&records), expected, &format!("split {split} read into one arena"));
        }
    }

    async fn resumes_at_every_position(&self) {
        let source = (self.make)();
        for (split, expected) in &self.expected {
            let mut reader = open(&*source, split, None).await;
            let mut places = vec![(0, reader.position())];
            let mut taken = 0;
            let mut records = Records::default();
            while !self.has_all(taken, expected) {
                records.clear();
                let status = reader.read(&mut records, self.limits(&*source, 1)).await.unwrap();
                taken += items_of(&records).len();
                // A read that brings nothing, while a broker is waited for, is no new place.
                if places.last().is_none_or(|(_, last)| *last != reader.position()) {
                    places.push((taken, reader.position()));
                }
                if is_over(&*source, status, &records) {
                    break;
                }
            }
            // Enough of them to meet every kind of edge, few enough for a source with thousands of records.
            let step = places.len().div_ceil(200);
            for (taken, position) in places.iter().step_by(step).chain(places.last()) {
                let text = serde_json::to_string(position).unwrap();
                let position: Position = serde_json::from_str(&text).unwrap();
                let source = self.later.as_ref().map_or_else(|| (self.make)(), |later| later(*taken));
                if !self.reopens && *taken > 0 {
                    let refused = source.open(&SplitId::new(split.as_str()), Some(&position)).await;
                    assert!(matches!(refused, Err(SourceError::Config { .. })), "{split} must not open at {text}");
                    continue;
                }
                let mut reader = open(&*source, split, Some(&position)).await;
                assert_eq!(reader.position(), position, "a reader stands where it was opened");
                let rest = self.drain(&*source, &mut *reader, 1 << 20, &expected[*taken..]).await;
                assert_eq!(rest, expected[*taken..], "split {split} opened at {text}");
            }
        }
    }

    async fn dropped_reads_lose_nothing(&self) {
        let source = (self.make)();
        for (split, expected) in &self.expected {
            let mut reader = open(&*source, split, None).await;
            let mut items = Vec::new();
            let mut records = Records::default();
            while !self.has_all(items.len(), expected) {
                records.clear();
                let patient = ReadLimits { bytes: 50, wait: Duration::from_secs(3600) };
                let outcome = {
                    let mut read = pin!(reader.read(&mut records, patient));
                    poll_fn(|context| Poll::Ready(read.as_mut().poll(context))).await
                };
                items.extend(items_of(&records));
                let status = match outcome {
                    Poll::Ready(status) => status.unwrap(),
                    Poll::Pending => {
                        // Dropped; one that is not, so that the stream gets on.
                        records.clear();
                        let status = reader.read(&mut records, self.limits(&*source, 50)).await.unwrap();
                        items.extend(items_of(&records));
                        status
                    }
                };
                if is_over(&*source, status, &records) {
                    break;
                }
            }
            self.compare(items, expected, &format!("split {split} with dropped reads"));
        }
    }

    async fn the_end_is_final(&self) {
        let source = (self.make)();
        if !source.bounded() {
            return;
        }
        for (split, expected) in &self.expected {
            let mut reader = open(&*source, split, None).await;
            self.drain(&*source, &mut *reader, 1 << 20, expected).await;
            let end = reader.position();
            for _ in 0..2 {
                let mut records = Records::default();
                let status = reader.read(&mut records, self.limits(&*source, 1 << 20)).await.unwrap();
                assert_eq!((status, records.is_empty()), (ReadStatus::Ended, true), "split {split} after its end");
                assert_eq!(reader.position(), end);
            }
        }
    }

    async fn acknowledging_twice_changes_nothing(&self) {
        let source = (self.make)();
        for (split, expected) in &self.expected {
            let mut reader = open(&*source, split, None).await;
            let mut records = Records::default();
            reader.read(&mut records, self.limits(&*source, 1)).await.unwrap();
            let mut items = items_of(&records);
            let position = reader.position();
            reader.acknowledge(&position).await.unwrap();
            reader.acknowledge(&position).await.unwrap();
            assert_eq!(reader.position(), position);
            let rest = &expected[items.len().min(expected.len())..];
            items.extend(self.drain(&*source, &mut *reader, 1 << 20, rest).await);
            self.compare(items, expected, &format!("split {split} acknowledged twice"));
        }
    }

    /// True if all that is expected has come, where that is the end for now.
    fn has_all(&self, taken: usize, expected: &[Item]) -> bool {
        self.patient && taken >= expected.len()
    }

    fn compare(&self, mut items: Vec<Item>, expected: &[Item], what: &str) {
        if self.ordered {
            assert_eq!(items, expected, "{what}");
            return;
        }
        let positions: Vec<u64> = items.iter().map(Item::position).collect();
        assert_eq!(positions, (0..items.len() as u64).collect::<Vec<_>>(), "{what}: numbered as they come");
        let mut expected = expected.to_vec();
        items.iter_mut().chain(&mut expected).for_each(Item::forget_position);
        items.sort();
        expected.sort();
        assert_eq!(items, expected, "{what}");
    }

    /// Bounded sources may take their time, and those whose end is known; of the others, what is there now is enough.
    fn limits(&self, source: &dyn Source, bytes: usize) -> ReadLimits {
        if self.patient {
            return ReadLimits { bytes, wait: Duration::from_secs(3600) };
        }
        limits(source, bytes, self.patience)
    }

    /// Reads to the end, or to the end for now; checks each read on the way.
    async fn drain(&self, source: &dyn Source, reader: &mut dyn Reader, limit: usize, expected: &[Item]) -> Vec<Item> {
        let mut items = Vec::new();
        let mut records = Records::default();
        loop {
            if self.has_all(items.len(), expected) {
                return items;
            }
            records.clear();
            let status = reader.read(&mut records, self.limits(source, limit)).await.unwrap();
            check_arena(&records, limit);
            if items_of(&records).iter().any(|item| matches!(item, Item::Record { .. })) {
                assert_eq!(records.header().map(|header| &**header), self.header);
            }
            items.extend(items_of(&records));
            if is_over(source, status, &records) {
                return items;
            }
        }
    }
}

/// Reads everything there is, for sources whose records are only known by reading them.
pub(crate) async fn read_all(source: &dyn Source) -> Vec<(String, Vec<Item>)> {
    let mut all = Vec::new();
    for split in source.splits().await.unwrap() {
        let mut reader = source.open(&split, None).await.unwrap();
        all.push((split.as_str().to_owned(), read_to_end(source, &mut *reader).await));
    }
    all
}

/// Reads one split to its end, or to its end for now.
pub(crate) async fn read_to_end(source: &dyn Source, reader: &mut dyn Reader) -> Vec<Item> {
    let mut items = Vec::new();
    let mut records = Records::default();
    loop {
        records.clear();
        let status = reader.read(&mut records, limits(source, 1 << 20, Duration::ZERO)).await.unwrap();
        items.extend(items_of(&records));
        if is_over(source, status, &records) {
            return items;
        }
    }
}

/// Records and rejected ones of one read, in their common order.
pub(crate) fn items_of(records: &Records) -> Vec<Item> {
    let mut rejected = records.rejected().iter().peekable();
    let mut items = Vec::new();
    for i in 0..=records.len() {
        while let Some(one) = rejected.next_if(|one| one.before == i) {
            let (bytes, position, reason) = (one.bytes.clone(), one.position, one.reason.clone());
            items.push(Item::Rejected { bytes, position, reason });
        }
        if i < records.len() {
            items.push(Item::record(records.shown(i), records.position(i)));
        }
    }
    assert!(rejected.next().is_none(), "a rejected record stands behind the last one");
    items
}

/// The arena holds every payload with a newline behind it and nothing else, and no more than was asked for.
fn check_arena(records: &Records, limit: usize) {
    if records.columns().is_some() {
        assert!(records.len() == 1 || records.byte_len() <= limit, "{} bytes, not {limit}", records.byte_len());
        return;
    }
    let mut at = 0;
    for i in 0..records.len() {
        let span = records.span(i);
        assert_eq!(span.start, at, "record {i} begins where the one before ended");
        assert_eq!(records.bytes()[span.end], b'\n');
        assert!(span.start < limit, "record {i} begins at {at}, beyond the limit of {limit}");
        at = span.end + 1;
    }
    assert_eq!(records.byte_len(), at);
}

fn limits(source: &dyn Source, bytes: usize, patience: Duration) -> ReadLimits {
    ReadLimits { bytes, wait: if source.bounded() { Duration::from_secs(3600) } else { patience } }
}

fn is_over(source: &dyn Source, status: ReadStatus, records: &Records) -> bool {
    match status {
        ReadStatus::More => false,
        ReadStatus::CaughtUp => !source.bounded() && records.is_empty(),
        ReadStatus::Ended | ReadStatus::Left => true,
    }
}

async fn open(source: &dyn Source, split: &str, from: Option<&Position>) -> Box<dyn Reader> {
    source.open(&SplitId::new(split), from).await.unwrap()
}
