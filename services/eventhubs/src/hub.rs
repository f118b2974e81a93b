//! The hub: partitions, what is written to them, and the faults that a test asks for.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use fe2o3_amqp_types::messaging::{ApplicationProperties, Body, Data, Message, MessageAnnotations};
use serde_amqp::Value;
use serde_amqp::primitives::Binary;
use tokio::sync::watch;

use crate::log::{Event, Log};
use crate::owners::{Ending, Owners};

/// The name of the one hub.
pub const HUB: &str = "hub";

/// Its consumer groups.
pub const GROUPS: [&str; 2] = ["$Default", "watershed"];

/// Payload bytes that a partition keeps.
const KEPT_BYTES: usize = 512 << 20;

/// What an event takes beside its payload, about.
const EVENT_BYTES: usize = 256;

/// What befalls a message that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is rejected, for the service throttles.
    Busy,
    /// It is given back untouched.
    Released,
    /// Its link is detached before it is taken.
    DetachedBefore,
    /// It is taken, and its link is detached before that is told.
    DetachedAfter,
    /// It is taken, and nobody is ever told.
    Silent,
}

/// One hub, in memory.
#[derive(Debug)]
pub struct Hub {
    partitions: RwLock<Vec<Arc<Partition>>>,
    round_robin: AtomicUsize,
    /// Links that are still to be refused as throttled.
    busy: AtomicU32,
    faults: Mutex<Faults>,
    /// How often senders lost their links.
    detached: watch::Sender<u64>,
    /// Where tokens that are shown are written down.
    register: Mutex<Option<File>>,
}

/// What is to befall the messages that come.
#[derive(Debug, Default)]
struct Faults {
    next: VecDeque<Fault>,
    /// After so many messages one fails, by each of these in turn.
    every: Option<(usize, Vec<Fault>)>,
    /// Messages that came.
    count: usize,
}

impl Faults {
    fn take(&mut self) -> Option<Fault> {
        self.count += 1;
        if let Some(fault) = self.next.pop_front() {
            return Some(fault);
        }
        let (every, faults) = self.every.as_ref()?;
        let is_due = self.count.is_multiple_of(*every);
        is_due.then(|| faults.get(self.count / every % faults.len()).copied()).flatten()
    }
}

#[derive(Debug)]
pub(crate) struct Partition {
    log: Mutex<Log>,
    owners: Mutex<Owners>,
    /// The number of the next event, for those that wait for it.
    written: watch::Sender<i64>,
    /// True while nothing is delivered.
    silent: watch::Sender<bool>,
}

impl Default for Partition {
    fn default() -> Self {
        let (log, owners) = (Mutex::default(), Mutex::default());
        Self { log, owners, written: watch::channel(0).0, silent: watch::channel(false).0 }
    }
}

impl Partition {
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        // Nobody panics while holding the lock.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn owners(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn written(&self) -> watch::Receiver<i64> {
        self.written.subscribe()
    }

    pub(crate) fn silent(&self) -> watch::Receiver<bool> {
        self.silent.subscribe()
    }

    fn append(&self, message: Message<Body<Value>>, key: Option<Value>) -> i64 {
        let size = EVENT_BYTES + payload(&message.body);
        let mut log = self.log();
        let sequence = log.append(message, key, now_millis(), size, KEPT_BYTES);
        self.written.send_replace(log.next());
        sequence
    }
}

impl Hub {
    /// A hub of so many empty partitions.
    pub fn new(partitions: usize) -> Self {
        let partitions = (0..partitions).map(|_| Arc::default()).collect();
        Self {
            partitions: RwLock::new(partitions),
            round_robin: AtomicUsize::new(0),
            busy: AtomicU32::new(0),
            faults: Mutex::default(),
            detached: watch::channel(0).0,
            register: Mutex::default(),
        }
    }

    /// Writes down every token that is shown from now on, one a line: its type, a space, the token.
    pub fn register_tokens(&self, file: File) {
        *self.register.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    }

    pub(crate) fn register(&self, kind: &str, token: &str) -> io::Result<()> {
        match self.register.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(file) => file.write_all(format!("{kind} {token}\n").as_bytes()),
            None => Ok(()),
        }
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn partition(&self, number: usize) -> Option<Arc<Partition>> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).get(number).cloned()
    }

    /// Adds partitions.
    pub fn grow(&self, by: usize) {
        let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
        partitions.extend((0..by).map(|_| Arc::default()));
    }

    /// Writes an event, as a client would. Gives its sequence number; none if there is no such partition.
    pub fn write(
        &self,
        partition: usize,
        payload: impl Into<Vec<u8>>,
        key: Option<&str>,
        properties: &[(&str, &str)],
    ) -> Option<i64> {
        let mut application_properties = ApplicationProperties::default();
        for (name, value) in properties {
            application_properties.0.insert((*name).into(), (*value).into());
        }
        let message = Message {
            header: None,
            delivery_annotations: None,
            message_annotations: None,
            properties: None,
            application_properties: (!properties.is_empty()).then_some(application_properties),
            body: Body::Data(vec![Data(Binary::from(payload.into()))].into()),
            footer: None,
        };
        let key = key.map(|key| Value::String(key.to_string()));
        Some(self.partition(partition)?.append(message, key))
    }

    /// Takes a message that a client sent: into `partition`, else by its key, else the next in turn.
    pub(crate) fn take(&self, partition: Option<usize>, mut message: Message<Body<Value>>) {
        let key = message.message_annotations.take().as_ref().and_then(partition_key);
        message.header = None;
        message.delivery_annotations = None;
        message.footer = None;
        let number = partition.unwrap_or_else(|| match &key {
            Some(key) => {
                let mut hasher = DefaultHasher::new();
                format!("{key:?}").hash(&mut hasher);
                hasher.finish() as usize
            }
            None => self.round_robin.fetch_add(1, Ordering::Relaxed),
        });
        if let Some(partition) = self.partition(number % self.partitions().max(1)) {
            partition.append(message, key);
        }
    }

    /// Every event of a partition that it still has.
    pub fn events(&self, partition: usize) -> Vec<Arc<Event>> {
        self.partition(partition).map_or_else(Vec::new, |partition| {
            let log = partition.log();
            log.read(log.begin(), usize::MAX)
        })
    }

    /// Lets this befall the next message of a client, or the next after those that are to fail already.
    pub fn fail(&self, fault: Fault) {
        self.faults().next.push_back(fault);
    }

    /// Lets one of so many messages fail from now on, by each of `faults` in turn.
    pub fn fail_every(&self, messages: usize, faults: &[Fault]) {
        self.faults().every = (messages > 0 && !faults.is_empty()).then(|| (messages, faults.to_vec()));
    }

    /// What befalls the message that has come.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.faults().take()
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        // Nobody panics while holding the lock.
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Detaches every sender.
    pub fn end_senders(&self) {
        self.detached.send_modify(|times| *times += 1);
    }

    /// Changes when senders lose their links.
    pub(crate) fn detached(&self) -> watch::Receiver<u64> {
        self.detached.subscribe()
    }

    /// Ends every receiver's link at a partition.
    pub fn end_links(&self, partition: usize, ending: Ending) {
        if let Some(partition) = self.partition(partition) {
            partition.owners().end_all(ending);
        }
    }

    /// How many receivers a partition has.
    pub fn receivers(&self, partition: usize) -> usize {
        self.partition(partition).map_or(0, |partition| partition.owners().count())
    }

    /// Stops delivering from a partition, whose links stay as they are; or goes on.
    pub fn silence(&self, partition: usize, silent: bool) {
        if let Some(partition) = self.partition(partition) {
            partition.silent.send_replace(silent);
        }
    }

    /// Forgets the oldest events of a partition, as retention does.
    pub fn forget(&self, partition: usize, count: usize) {
        if let Some(partition) = self.partition(partition) {
            partition.log().forget(count);
        }
    }

    /// Refuses the next receivers as throttled.
    pub fn throttle(&self, receivers: u32) {
        self.busy.store(receivers, Ordering::Relaxed);
    }

    /// True if a receiver that comes now is to be refused as throttled.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |busy| busy.checked_sub(1)).is_ok()
    }
}

fn partition_key(annotations: &MessageAnnotations) -> Option<Value> {
    annotations
        .0
        .iter()
        .find(|(name, _)| format!("{name:?}").contains("x-opt-partition-key"))
        .map(|(_, key)| key.clone())
}

/// Bytes that the body of a message holds.
pub(crate) fn payload(body: &Body<Value>) -> usize {
    match body {
        Body::Data(parts) => parts.iter().map(|Data(bytes)| bytes.len()).sum(),
        _ => EVENT_BYTES,
    }
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
