//! The subscription as a source: its streams, and what is left of them at the end.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use tokio::task::JoinSet;
use watershed_clients::google::Address;

use super::flow::Flow;
use super::outstanding::Place;
use super::pull::{Ledger, Pull};
use super::reader::PubSubReader;
use super::{PubSubOptions, fault, message};
use crate::error::SourceError;
use crate::metadata::Wanted;
use crate::source::{Known, Position, Reader, Source, SplitId};
use crate::start::Start;

/// How long the last acknowledgements may take at the end. What is not acknowledged comes again and is dropped.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long a refusal may take, in a probe.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tasks that end by themselves when what they serve is gone.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.0);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    async fn end(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.0));
        // Whatever is left then is ended with the set.
        let _ = tokio::time::timeout(LAST_WORDS, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

/// A subscription.
pub(super) struct PubSubSource {
    options: Arc<PubSubOptions>,
    flow: Flow,
    wanted: OnceLock<Wanted>,
    /// What `start` came to, once.
    after: OnceLock<Option<i64>>,
    ledgers: Mutex<HashMap<SplitId, Arc<Ledger>>>,
    tasks: Arc<Tasks>,
    told: Arc<AtomicBool>,
}

impl fmt::Debug for PubSubSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

impl PubSubSource {
    pub(super) fn new(options: PubSubOptions, flow: Flow) -> Self {
        Self {
            options: Arc::new(options),
            flow,
            wanted: OnceLock::new(),
            after: OnceLock::new(),
            ledgers: Mutex::default(),
            tasks: Arc::default(),
            told: Arc::default(),
        }
    }

    fn address(&self) -> Result<Address, SourceError> {
        Ok(self.options.access().address()?)
    }

    /// Messages published before this are left out.
    fn after(&self) -> Option<i64> {
        *self.after.get_or_init(|| match self.options.start {
            Start::Earliest => None,
            Start::Latest => Some(Utc::now().timestamp_micros()),
            Start::At(moment) => Some(moment.timestamp_micros()),
        })
    }

    /// What is out of `split`: what an earlier reader of this process handed out, if this one goes on just there.
    fn ledger(&self, split: &SplitId, next: u64) -> Arc<Ledger> {
        let mut ledgers = lock(&self.ledgers);
        match ledgers.get(split) {
            Some(ledger) if ledger.lock().next() == next => ledger.clone(),
            _ => {
                let ledger = Arc::new(Ledger::beginning_at(next));
                ledgers.insert(split.clone(), ledger.clone());
                ledger
            }
        }
    }
}

#[async_trait]
impl Source for PubSubSource {
    fn restore(&self, known: &[(SplitId, Known)]) {
        let places = known.iter().filter_map(|(_, known)| Place::read(known.position.as_ref()?).ok());
        if let Some(after) = places.map(|place| place.after).reduce(Option::or) {
            let _ = self.after.set(after);
        }
    }

    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        Ok((0..self.options.streams()).map(|number| SplitId::new(format!("stream-{number}"))).collect())
    }

    async fn open(&self, split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        let place = match from {
            Some(position) => Place::read(position)?,
            None => Place { delivered: 0, after: self.after() },
        };
        let ledger = self.ledger(split, place.delivered);
        let (pull, inbox) = Pull::new(self.options.clone(), self.address()?, self.flow, ledger.clone());
        self.tasks.spawn(pull.run());
        Ok(Box::new(PubSubReader {
            place,
            wanted: self.wanted.get().cloned().unwrap_or_default(),
            flow: self.flow,
            ledger,
            inbox,
            ended: None,
            published: None,
            tasks: self.tasks.clone(),
            told: self.told.clone(),
        }))
    }

    fn bounded(&self) -> bool {
        false
    }

    fn acknowledges(&self) -> bool {
        true
    }

    fn redelivers(&self) -> Option<&'static str> {
        Some(message::ID)
    }

    fn remembers(&self) -> Duration {
        self.flow.keep
    }

    fn describe(&self, wanted: Wanted) {
        let _ = self.wanted.set(wanted);
    }

    /// Opens a stream for one message, which is given back at once: Pub/Sub has no other way to ask for this permission
    /// that needs no further one.
    async fn probe(&self) -> Result<String, SourceError> {
        let name = self.options.name();
        let address = self.address()?;
        // Nothing is tried again by a check.
        address.answers().await.map_err(SourceError::config)?;
        let client = self.options.connect().await?;
        let mut stream = client.subscribe(&name).set_max_outstanding_messages(1).build();
        let leases = stream.shutdown_token();
        let refusal = match tokio::time::timeout(PATIENCE, stream.next()).await {
            Ok(Some(Err(error))) => Some(fault::classify(&name, error)),
            // A message, which goes back as its handler is dropped; or none, as nobody refuses.
            Ok(_) | Err(_) => None,
        };
        drop(stream);
        let _ = tokio::time::timeout(LAST_WORDS, leases.shutdown()).await;
        match refusal {
            Some(error) => Err(error),
            None => Ok(format!(
                "pulled from {name}; {} streams, each with up to {} messages unacknowledged",
                self.options.streams(),
                self.flow.messages
            )),
        }
    }

    async fn close(&self) {
        // What is out and not durable goes back at once.
        lock(&self.ledgers).drain().for_each(|(_, ledger)| ledger.lock().clear());
        self.tasks.end().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nobody panics while holding a lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
