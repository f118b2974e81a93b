//! What a driver hands to its lane, whatever its reader runs into.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc, watch};
use watershed_connectors::{Position, ReadLimits, ReadStatus, Reader, Records, Source, SourceError, SplitId};

use super::super::board::Board;
use super::super::clock::SourceClock;
use super::super::lane::LaneMessage;
use super::super::reader::Driver;
use super::super::split::LaneSplit;
use super::super::turns::News;
use super::super::way::{LaneEnd, Load, Way};
use crate::checkpoint::Budget;
use crate::watermark::BEGINNING;

/// Where the first reader of [`Brittle`] breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaks {
    /// In the read after the one that gave the first record.
    AfterARecord,
    /// In the read that gives the first record.
    WithARecord,
    /// When it is told what is durable.
    AtAcknowledge,
}

/// Two records; the first reader breaks behind the first of them.
#[derive(Debug)]
struct Brittle {
    breaks: Breaks,
    /// True once a reader has taken note of what is durable.
    heard: Arc<AtomicBool>,
}

struct BrittleReader {
    breaks: Option<Breaks>,
    heard: Arc<AtomicBool>,
    next: u64,
}

fn broken(breaks: Breaks) -> SourceError {
    SourceError::retry("a brittle reader", format!("{breaks:?}"))
}

#[async_trait]
impl Source for Brittle {
    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        Ok(vec![SplitId::new("one")])
    }

    async fn open(&self, _split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        let next = from.and_then(|position| position.0.as_u64()).unwrap_or(0);
        Ok(Box::new(BrittleReader { breaks: (next == 0).then_some(self.breaks), heard: self.heard.clone(), next }))
    }

    fn bounded(&self) -> bool {
        false
    }

    fn acknowledges(&self) -> bool {
        self.breaks == Breaks::AtAcknowledge
    }
}

#[async_trait]
impl Reader for BrittleReader {
    async fn read(&mut self, records: &mut Records, _limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        match (self.next, self.breaks) {
            (1, Some(breaks)) => return Err(broken(breaks)),
            (2, _) => return Ok(ReadStatus::Ended),
            _ => records.push(format!("record {}", self.next).as_bytes(), self.next),
        }
        self.next += 1;
        match self.breaks {
            Some(breaks @ Breaks::WithARecord) => Err(broken(breaks)),
            Some(Breaks::AtAcknowledge) => Ok(ReadStatus::More),
            _ => Ok(ReadStatus::CaughtUp),
        }
    }

    fn position(&self) -> Position {
        Position(json!(self.next))
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        if let Some(breaks) = self.breaks {
            return Err(broken(breaks));
        }
        self.heard.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// A record, and the end for now; then it ends. Nothing is known of what is behind the record, if it was cut off there.
#[derive(Debug)]
struct Quiet {
    cut_off: bool,
}

struct QuietReader {
    cut_off: bool,
    reads: u64,
}

#[async_trait]
impl Source for Quiet {
    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        Ok(vec![SplitId::new("one")])
    }

    async fn open(&self, _split: &SplitId, _from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        Ok(Box::new(QuietReader { cut_off: self.cut_off, reads: 0 }))
    }

    fn bounded(&self) -> bool {
        false
    }
}

#[async_trait]
impl Reader for QuietReader {
    async fn read(&mut self, records: &mut Records, _limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        self.reads += 1;
        match self.reads {
            1 => records.push(b"a record", 0),
            2 => {}
            _ => return Ok(ReadStatus::Ended),
        }
        Ok(ReadStatus::CaughtUp)
    }

    fn position(&self) -> Position {
        Position(json!(self.reads.min(1)))
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }

    fn searched(&self) -> Option<Instant> {
        (!self.cut_off).then(Instant::now)
    }
}

/// Drives the source to its end; gives what came to the lane.
async fn driven(source: Arc<dyn Source>, idle_after: Duration) -> Vec<LaneMessage> {
    let clock = SourceClock::new(false).add(BEGINNING);
    let split =
        LaneSplit { number: 0, source: 0, id: SplitId::new("one"), clock, restored: None, turns: Arc::default() };
    let (sender, mut inbox) = mpsc::unbounded_channel();
    let (_stop, stop) = watch::channel(false);
    let (_told, mut acks) = watch::channel(Some(Position(json!(0))));
    acks.mark_changed();
    let (_finished, finished) = watch::channel(true);
    let driver = Driver {
        source_name: "orders".into(),
        acks: source.acknowledges().then_some(acks),
        source,
        split: Arc::new(split),
        way: Way::new(0, &[LaneEnd { sender, load: Load::default() }], true),
        budget: Arc::new(Semaphore::new(1 << 20)),
        open: None,
        chunk_bytes: 1 << 10,
        linger: Duration::ZERO,
        idle_after,
        asks: None,
        schemas: None,
        stop,
        memory: Arc::new(Budget::new(usize::MAX, None)),
        board: Arc::new(Board::shown_empty()),
        gauge: None,
        told: None,
        begun: false,
        reading: None,
        finished,
    };
    driver.run().await.unwrap();
    std::iter::from_fn(|| inbox.try_recv().ok()).collect()
}

fn texts(message: &LaneMessage) -> Vec<String> {
    let LaneMessage::Chunk(chunk) = message else { return Vec::new() };
    (0..chunk.records.len()).map(|at| String::from_utf8_lossy(chunk.records.payload(at)).into_owned()).collect()
}

#[tokio::test]
async fn records_that_were_read_before_a_reader_broke_are_not_lost() {
    for breaks in [Breaks::AfterARecord, Breaks::WithARecord, Breaks::AtAcknowledge] {
        let heard = Arc::<AtomicBool>::default();
        let source = Arc::new(Brittle { breaks, heard: heard.clone() });
        let came: Vec<String> = driven(source, Duration::from_secs(3600)).await.iter().flat_map(texts).collect();
        assert_eq!(came, ["record 0", "record 1"], "{breaks:?}");
        assert_eq!(heard.load(Ordering::Relaxed), breaks == Breaks::AtAcknowledge, "{breaks:?}");
    }
}

#[tokio::test]
async fn a_split_is_idle_only_where_its_origin_was_asked() {
    for cut_off in [false, true] {
        let came = driven(Arc::new(Quiet { cut_off }), Duration::ZERO).await;
        let idle = came.iter().filter(|message| matches!(message, LaneMessage::News(_, _, News::Idle))).count();
        assert_eq!(idle, usize::from(!cut_off), "{cut_off}");
    }
}
