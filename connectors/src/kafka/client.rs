//! One client of the brokers: a consumer for all partitions of a source, and the thread that hears what it has to say.
//!
//! The one idea: librdkafka has a connection and a thread a broker for each consumer, so a thousand partitions must share one.
//! Each still has a queue of its own, split off before it is assigned: its messages never pass through a common one.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::watch;

use super::health::Health;
use super::progress::Progress;
use super::settings::{KafkaSettings, Sasl};
use super::token::TokenSource;
use crate::error::SourceError;

/// How long the thread waits for events before it looks whether it is to end.
const TICK: Duration = Duration::from_millis(20);
/// Time between two commits: each is one request for all partitions.
const COMMIT: Duration = Duration::from_secs(1);
/// How long the last commit may take before it is left.
const LAST_COMMIT: Duration = Duration::from_secs(5);

/// A consumer whose events are served.
pub(super) struct Client {
    consumer: Arc<BaseConsumer<Context>>,
    commits: Arc<Commits>,
    stop: Arc<AtomicBool>,
    ended: watch::Receiver<bool>,
}

/// What librdkafka calls back.
pub(super) struct Context {
    pub(super) health: Health,
    pub(super) progress: Progress,
    commits: Arc<Commits>,
    tokens: Option<Arc<dyn TokenSource>>,
}

/// Offsets on their way to the group.
#[derive(Debug, Default)]
struct Commits(Mutex<Offsets>);

#[derive(Debug, Default)]
struct Offsets {
    waiting: BTreeMap<(String, i32), i64>,
    /// True while a commit is under way.
    sent: bool,
}

impl Client {
    /// Makes a consumer for so many partitions. It connects by itself.
    pub(super) fn start(settings: &KafkaSettings, partitions: usize) -> Result<Self, SourceError> {
        let commits = Arc::<Commits>::default();
        let tokens = match &settings.sasl {
            Some(Sasl::OAuthBearer(tokens)) => Some(tokens.clone()),
            _ => None,
        };
        let context = Context {
            health: Health::new(settings.name.clone()),
            progress: Progress::new(),
            commits: commits.clone(),
            tokens,
        };
        let consumer = settings.client(partitions).create_with_context(context).map_err(|error| refused(&error))?;
        let consumer: Arc<BaseConsumer<Context>> = Arc::new(consumer);
        let stop = Arc::new(AtomicBool::new(false));
        let (done, ended) = watch::channel(false);
        let events = Events { consumer: consumer.clone(), commits: commits.clone(), stop: stop.clone() };
        let thread = std::thread::Builder::new().name("kafka-events".to_string());
        let spawned = thread.spawn(move || {
            events.serve();
            // Nobody may want to know.
            let _ = done.send(true);
        });
        spawned.map_err(|error| SourceError::retry("can't start a thread", error))?;
        Ok(Self { consumer, commits, stop, ended })
    }

    pub(super) fn consumer(&self) -> &Arc<BaseConsumer<Context>> {
        &self.consumer
    }

    pub(super) fn context(&self) -> &Context {
        self.consumer.client().context()
    }

    /// Runs what waits for brokers where waiting holds up nobody.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&BaseConsumer<Context>) -> T + Send + 'static,
    ) -> Result<T, SourceError> {
        let consumer = self.consumer.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&consumer)).await;
        asked.map_err(|error| SourceError::retry("asking kafka brokers", error))
    }

    /// Begins to fetch a partition. Like its end, this takes no longer than librdkafka needs to take note: no broker is
    /// waited for, and nobody can be cut off in between.
    pub(super) fn assign(&self, topic: &str, partition: i32, offset: i64) -> Result<(), SourceError> {
        let assigned = one(topic, partition, offset).and_then(|list| self.consumer.incremental_assign(&list));
        assigned.map_err(|error| SourceError::retry(format!("split {topic}/{partition} can't be assigned"), error))
    }

    /// Ends it.
    pub(super) fn unassign(&self, topic: &str, partition: i32) {
        let unassigned = one(topic, partition, 0).and_then(|list| self.consumer.incremental_unassign(&list));
        if let Err(error) = unassigned {
            tracing::debug!(topic, partition, %error, "unassigning a partition");
        }
    }

    /// Has an offset committed to the group, soon.
    pub(super) fn commit(&self, topic: &str, partition: i32, offset: i64) {
        self.commits.add(topic, partition, offset);
    }

    /// Commits what waits, and ends when nobody reads any more.
    pub(super) async fn close(self) {
        let mut ended = self.ended.clone();
        drop(self);
        // A closed channel has ended, too.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// The client's events, served by a thread of their own: those of logs, errors, statistics, tokens and commits.
struct Events {
    consumer: Arc<BaseConsumer<Context>>,
    commits: Arc<Commits>,
    stop: Arc<AtomicBool>,
}

impl Events {
    fn serve(self) {
        let mut next = Instant::now() + COMMIT;
        while !self.stop.load(Ordering::Acquire) {
            self.poll();
            if Instant::now() >= next {
                self.commits.send(&self.consumer);
                next = Instant::now() + COMMIT;
            }
        }
        let until = Instant::now() + LAST_COMMIT;
        while self.commits.send(&self.consumer) && Instant::now() < until {
            self.poll();
        }
    }

    fn poll(&self) {
        match self.consumer.poll(TICK) {
            // Errors came with their reason to the context already.
            None | Some(Err(_)) => {}
            Some(Ok(message)) => {
                let (topic, partition) = (message.topic(), message.partition());
                tracing::error!(topic, partition, "a message came outside its partition's queue; reading it again");
                self.consumer.context().progress.strayed(topic, partition);
            }
        }
    }
}

impl Commits {
    fn add(&self, topic: &str, partition: i32, offset: i64) {
        self.lock().waiting.insert((topic.to_owned(), partition), offset);
    }

    /// Commits what waits; true while something is on its way. One commit at a time, so that none overtakes another.
    fn send(&self, consumer: &BaseConsumer<Context>) -> bool {
        let mut offsets = self.lock();
        if offsets.sent || offsets.waiting.is_empty() {
            return offsets.sent;
        }
        let mut list = TopicPartitionList::with_capacity(offsets.waiting.len());
        for ((topic, partition), offset) in std::mem::take(&mut offsets.waiting) {
            // Offsets are what the brokers gave: they are representable.
            let _ = list.add_partition_offset(&topic, partition, Offset::Offset(offset));
        }
        offsets.sent = true;
        drop(offsets);
        if let Err(error) = consumer.commit(&list, CommitMode::Async) {
            self.lock().sent = false;
            consumer.context().health.committed(Err(error.to_string()));
            return false;
        }
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Offsets> {
        // Nobody panics while holding the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        tracing::debug!(facility, line, "librdkafka");
        // Why a connection failed: not every such line is an event, too.
        if facility == "FAIL" {
            self.health.heard(line.split_once("]: ").map_or(line, |(_thread, reason)| reason));
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match self.progress.update(statistics) {
            Some(true) => self.health.answered(),
            Some(false) => self.health.silent(),
            None => {}
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.health.failed(code, reason);
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let tokens = self.tokens.as_ref().ok_or("no tokens are configured")?;
        // The thread of events has no runtime, and nothing else to do until it has a token.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let token = runtime.block_on(tokens.token()).inspect_err(|why| {
            self.health.failed(RDKafkaErrorCode::Authentication, why);
        })?;
        let lifetime = token.expires.duration_since(UNIX_EPOCH)?.as_millis();
        Ok(OAuthToken {
            token: token.value.expose().to_owned(),
            principal_name: "watershed".to_string(),
            lifetime_ms: i64::try_from(lifetime)?,
        })
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        self.commits.lock().sent = false;
        self.health.committed(result.map_err(|error| error.to_string()));
    }
}

fn one(topic: &str, partition: i32, offset: i64) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    Ok(list)
}

/// Why there is no client. A refused property is named without its value, which may be a secret.
fn refused(error: &KafkaError) -> SourceError {
    SourceError::config(match error {
        KafkaError::ClientConfig(_, why, name, _) => format!("kafka property \"{name}\": {why}"),
        KafkaError::ClientCreation(why) => format!("no kafka client can be made of these options: {why}"),
        other => format!("no kafka client can be made of these options: {other}"),
    })
}
