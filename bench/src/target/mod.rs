//! Where events go.
//!
//! The one idea: a target takes batches in the order in which they leave, at once, and says later what became of each. It
//! never makes a producer wait; how much may be under way is the producers' business.

mod address;
mod http;
mod kafka;
mod kinesis;
mod lines;
mod pubsub;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

pub(crate) use address::{Address, InvalidAddress};

/// Events that leave together.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// The events, a newline behind each.
    pub(crate) bytes: Bytes,
    /// Where each begins, and at last where the next would.
    pub(crate) bounds: Arc<[u32]>,
}

impl Batch {
    /// The events, each without its newline.
    pub(crate) fn events(&self) -> impl Iterator<Item = Bytes> {
        self.bounds.windows(2).map(|bounds| self.bytes.slice(bounds[0] as usize..bounds[1] as usize - 1))
    }

    /// The events in parts of as many, and as many bytes, as a request may hold. One that is larger goes alone.
    fn parts(&self, events: usize, bytes: usize) -> Vec<Vec<Bytes>> {
        let mut parts: Vec<Vec<Bytes>> = Vec::new();
        let mut held = 0;
        for event in self.events() {
            match parts.last_mut() {
                Some(part) if part.len() < events && held + event.len() <= bytes => {
                    held += event.len();
                    part.push(event);
                }
                _ => {
                    held = event.len();
                    parts.push(vec![event]);
                }
            }
        }
        parts
    }
}

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It was tried until patience ended; others may fare better.
    GaveUp(String),
    /// No other batch will fare better.
    Fatal(String),
    /// Whoever took the events wants no more. That is no failure.
    Closed,
}

/// Takes batches.
///
/// `submit` is called by several producers at once, and must not block; each producer's batches come in the order in which
/// they are to leave. What it gives is driven to its end by the caller: it is ready once every event of the batch is
/// acknowledged, or once that is given up. What is tried again is tried within.
pub(crate) trait Target: Send + Sync {
    /// Sends a batch.
    fn submit(&self, batch: Batch) -> BoxFuture<'static, Result<(), Refused>>;

    /// How often a batch, or a part of one, was sent again so far.
    fn retries(&self) -> u64 {
        0
    }
}

/// What targets are told beside their address. It has no `Debug`, as it holds secrets.
#[derive(Clone)]
pub(crate) struct Manners {
    /// How long a batch is tried.
    pub(crate) patience: Duration,
    /// The bearer's token of an HTTP target.
    pub(crate) token: Option<String>,
    /// The connection string of an event hub's namespace.
    pub(crate) connection_string: Option<String>,
    /// `name=value` for a target's client.
    pub(crate) properties: Vec<(String, String)>,
}

impl Default for Manners {
    fn default() -> Self {
        Self { patience: Duration::from_secs(30), token: None, connection_string: None, properties: Vec::new() }
    }
}

/// Opens a target.
///
/// # Errors
/// Says what can't be opened, and why.
pub(crate) async fn open(address: &Address, manners: &Manners) -> Result<Box<dyn Target>, String> {
    Ok(match address {
        Address::Stdout => lines::stdout()?,
        Address::File(path) => lines::file(path)?,
        Address::Http(url) => Box::new(http::HttpTarget::open(url.clone(), manners)?),
        Address::Kafka { brokers, topic } => Box::new(kafka::KafkaTarget::open(brokers, topic, manners)?),
        Address::EventHubs(hub) => Box::new(kafka::event_hub(hub, manners)?),
        Address::Kinesis(stream) => Box::new(kinesis::KinesisTarget::open(stream, manners).await?),
        Address::PubSub(topic) => Box::new(pubsub::PubSubTarget::open(topic, manners).await?),
    })
}

/// The property of a target that knows `endpoint`, `region` and `credentials`.
///
/// # Errors
/// If another is given.
fn property<'m>(manners: &'m Manners, wanted: &str) -> Result<Option<&'m str>, String> {
    const KNOWN: [&str; 3] = ["credentials", "endpoint", "region"];
    if let Some((name, _)) = manners.properties.iter().find(|(name, _)| !KNOWN.contains(&name.as_str())) {
        return Err(format!("there is no property \"{name}\"; there are {}", KNOWN.join(", ")));
    }
    Ok(manners.properties.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str()))
}

/// Counts what was sent again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Retries(Arc<AtomicU64>);

impl Retries {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
