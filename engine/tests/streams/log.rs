//! An event stream in memory: splits that are written to, close, continue each other, and cannot always be reached.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Notify;
use watershed_connectors::{
    Known, MetadataValue, Position, ReadLimits, ReadStatus, Reader, Records, Source, SourceError, SplitId, Wanted,
};

/// The stream, as producers see it.
#[derive(Debug, Default)]
pub(crate) struct Log {
    inner: Mutex<Inner>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    splits: BTreeMap<String, Split>,
    /// Calls that fail before one succeeds.
    unreachable: usize,
    /// Reads of all readers so far.
    reads: usize,
    /// Lists of splits that were given so far.
    lists: usize,
    /// True if other processes read splits of it too.
    shared: bool,
}

#[derive(Debug, Default, Clone)]
struct Split {
    parent: Option<String>,
    records: Vec<String>,
    closed: bool,
    /// Another process reads it.
    away: bool,
    /// Up to where one of them has made it durable, and how often this one has said so.
    durable: usize,
    told: usize,
    left: bool,
}

impl Log {
    /// Adds a split, behind `parent` if there is one.
    pub(crate) fn add(&self, name: &str, parent: Option<&str>) {
        let split = Split { parent: parent.map(str::to_string), ..Split::default() };
        self.lock().splits.insert(name.to_string(), split);
    }

    pub(crate) fn write(&self, split: &str, record: impl Into<String>) {
        self.lock().splits.get_mut(split).unwrap().records.push(record.into());
        self.bell.notify_waiters();
    }

    /// Nothing more is written to `split`.
    pub(crate) fn close(&self, split: &str) {
        self.lock().splits.get_mut(split).unwrap().closed = true;
        self.bell.notify_waiters();
    }

    /// Waits until the splits have been listed `more` times.
    pub(crate) async fn looked(&self, more: usize) {
        let until = self.lock().lists + more;
        loop {
            let rung = self.bell.notified();
            if self.lock().lists >= until {
                return;
            }
            rung.await;
        }
    }

    /// From now on splits are read by several processes, and none by this one unless it is given it.
    pub(crate) fn share(&self) {
        let mut log = self.lock();
        log.shared = true;
        log.splits.values_mut().for_each(|split| split.away = true);
    }

    /// Another process wants `split`: waits until it is handed over, and says at which record.
    pub(crate) async fn lend(&self, split: &str) -> usize {
        self.lock().splits.get_mut(split).unwrap().away = true;
        let told = self.lock().splits[split].told;
        self.bell.notify_waiters();
        loop {
            let rung = self.bell.notified();
            {
                let log = self.lock();
                let split = &log.splits[split];
                if split.told > told && split.left {
                    return split.durable;
                }
            }
            rung.await;
        }
    }

    /// The other process has read `split` up to `durable`, and gives it to this one.
    pub(crate) fn give(&self, split: &str, durable: usize) {
        let mut log = self.lock();
        let split = log.splits.get_mut(split).unwrap();
        (split.away, split.left, split.durable) = (false, false, durable);
        self.bell.notify_waiters();
    }

    /// Lets the next `calls` for splits fail.
    pub(crate) fn hide(&self, calls: usize) {
        self.lock().unreachable = calls;
    }

    /// Waits until readers have read `more` times.
    pub(crate) async fn reads(&self, more: usize) {
        let until = self.lock().reads + more;
        while self.lock().reads < until {
            self.bell.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

/// The stream, as one process reads it.
#[derive(Debug)]
pub(crate) struct LogSource {
    log: Arc<Log>,
    ended: Arc<Mutex<HashSet<String>>>,
    wanted: Mutex<Wanted>,
    /// Begins behind what is there.
    latest: bool,
    listed: AtomicBool,
}

impl LogSource {
    pub(crate) fn new(log: Arc<Log>, latest: bool) -> Self {
        Self { log, ended: Arc::default(), wanted: Mutex::default(), latest, listed: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Source for LogSource {
    fn restore(&self, known: &[(SplitId, Known)]) {
        let ended = known.iter().filter(|(_, known)| known.ended).map(|(split, _)| split.as_str().to_string());
        self.ended.lock().unwrap().extend(ended);
    }

    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        {
            let mut log = self.log.lock();
            if log.unreachable > 0 {
                log.unreachable -= 1;
                return Err(SourceError::retry("the log", "it cannot be reached"));
            }
        }
        self.log.lock().lists += 1;
        self.log.bell.notify_waiters();
        if self.listed.swap(true, Ordering::Relaxed) && !self.log.lock().shared {
            // An answer that takes its time: whoever else can read goes on meanwhile.
            self.log.reads(5).await;
        }
        let ended = self.ended.lock().unwrap().clone();
        let log = self.log.lock();
        let readable = log.splits.iter().filter(|(_, split)| split.parent.as_ref().is_none_or(|p| ended.contains(p)));
        let readable = readable.filter(|(_, split)| !split.away);
        Ok(readable.map(|(name, _)| SplitId::new(name.as_str())).collect())
    }

    async fn open(&self, split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        let written = self.log.lock().splits[split.as_str()].records.len();
        let next = match from {
            Some(position) => position.0["next"].as_u64().unwrap() as usize,
            None if self.latest => written,
            None => 0,
        };
        let next = next.max(self.log.lock().splits[split.as_str()].durable);
        let wanted = self.wanted.lock().unwrap().clone();
        let (log, ended) = (self.log.clone(), self.ended.clone());
        Ok(Box::new(LogReader { log, ended, split: split.as_str().to_string(), next, wanted }))
    }

    fn bounded(&self) -> bool {
        false
    }

    fn discovers(&self) -> bool {
        true
    }

    fn acknowledges(&self) -> bool {
        self.log.lock().shared
    }

    fn describe(&self, wanted: Wanted) {
        *self.wanted.lock().unwrap() = wanted;
    }
}

struct LogReader {
    log: Arc<Log>,
    ended: Arc<Mutex<HashSet<String>>>,
    split: String,
    next: usize,
    wanted: Wanted,
}

#[async_trait]
impl Reader for LogReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        let split = {
            let mut log = self.log.lock();
            log.reads += 1;
            self.log.bell.notify_waiters();
            log.splits[&self.split].clone()
        };
        if split.away {
            self.log.lock().splits.get_mut(&self.split).unwrap().left = true;
            return Ok(ReadStatus::Left);
        }
        let held = records.len();
        while let Some(record) = split.records.get(self.next) {
            let number = self.next.to_string();
            records.push(record.as_bytes(), self.next as u64);
            // The places are those of the connector that the tests' region names.
            records.describe(&self.wanted, |place| match place {
                0 => MetadataValue::Text(&number),
                _ => MetadataValue::Text(&self.split),
            });
            self.next += 1;
        }
        if split.closed {
            self.ended.lock().unwrap().insert(self.split.clone());
            return Ok(ReadStatus::Ended);
        }
        if records.len() == held {
            // Time-outs are what callers of a silent stream live on.
            let _ = tokio::time::timeout(limits.wait, self.log.bell.notified()).await;
        }
        Ok(ReadStatus::CaughtUp)
    }

    fn position(&self) -> Position {
        Position(json!({ "next": self.next }))
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<(), SourceError> {
        let mut log = self.log.lock();
        let split = log.splits.get_mut(&self.split).unwrap();
        split.told += 1;
        split.durable = split.durable.max(position.0["next"].as_u64().unwrap() as usize);
        self.log.bell.notify_waiters();
        Ok(())
    }
}
