//! Events as messages of a Kafka topic.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use super::{Batch, Manners, Refused, Target};

/// How long brokers may take until they say whether there is such a topic.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Ours, and what the user says otherwise. The client's own queue is larger than what producers may have under way, so that
/// it is never what makes them wait.
const PROPERTIES: [(&str, &str); 4] = [
    ("queue.buffering.max.messages", "10000000"),
    ("queue.buffering.max.kbytes", "2097151"),
    // Events have waited for others already.
    ("linger.ms", "1"),
    ("client.id", "watershed-bench"),
];

/// Publishes to one topic, without keys: the client deals messages out over the partitions.
pub(super) struct KafkaTarget {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
}

impl KafkaTarget {
    /// Connects, and looks for the topic.
    ///
    /// # Errors
    /// If no broker answers, or there is no such topic.
    pub(super) fn open(brokers: &str, topic: &str, manners: &Manners) -> Result<Self, String> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set_log_level(RDKafkaLogLevel::Critical);
        config.set("message.timeout.ms", manners.patience.as_millis().clamp(1, i32::MAX as u128).to_string());
        for (name, value) in PROPERTIES {
            config.set(name, value);
        }
        for (name, value) in &manners.properties {
            config.set(name, value);
        }
        let told = |error: KafkaError| error.to_string();
        let producer: ThreadedProducer<Deliveries> = config.create_with_context(Deliveries).map_err(told)?;
        let found = producer.client().fetch_metadata(Some(topic), ANSWERS_WITHIN).map_err(told)?;
        let partitions = found.topics().iter().find(|found| found.name() == topic);
        match partitions {
            Some(found) if !found.partitions().is_empty() => Ok(Self { producer, topic: topic.to_owned() }),
            _ => Err(format!("there is no topic \"{topic}\"")),
        }
    }
}

/// An event hub, by the Kafka protocol that its namespace speaks.
///
/// # Errors
/// If there is no connection string, or it names no namespace, and those of [`KafkaTarget::open`].
pub(super) fn event_hub(hub: &str, manners: &Manners) -> Result<KafkaTarget, String> {
    let secret = manners.connection_string.as_deref();
    let secret = secret.ok_or("set the namespace's connection string as WATERSHED_BENCH_CONNECTION_STRING")?;
    let host = secret.split(';').find_map(|part| part.trim().strip_prefix("Endpoint=sb://"));
    let host = host.ok_or("the connection string names no \"Endpoint=sb://…\"")?.trim_end_matches('/');
    let ours = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "$ConnectionString"),
        ("sasl.password", secret),
    ];
    // What the user says otherwise comes last, and holds.
    let ours = ours.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let properties = ours.into_iter().chain(manners.properties.clone()).collect();
    // The port of the Kafka protocol at Azure's; a stand-in has its own.
    let brokers = if host.contains(':') { host.to_owned() } else { format!("{host}:9093") };
    KafkaTarget::open(&brokers, hub, &Manners { properties, ..manners.clone() })
}

impl Target for KafkaTarget {
    fn submit(&self, batch: Batch) -> BoxFuture<'static, Result<(), Refused>> {
        let (answer, outcome) = oneshot::channel();
        let waiting = Arc::new(Waiting { trouble: Mutex::new(None), answer: Mutex::new(Some(answer)) });
        for event in batch.events() {
            let record =
                BaseRecord::<(), [u8], _>::with_opaque_to(&self.topic, waiting.clone()).payload(event.as_ref());
            if let Err((error, _)) = self.producer.send(record) {
                waiting.note(refused(&error));
                break;
            }
        }
        drop(waiting);
        Box::pin(async move { outcome.await.unwrap_or(Err(Refused::Closed)) })
    }
}

/// A batch whose messages are under way, each of which holds it: when the last is answered, so is the batch.
struct Waiting {
    trouble: Mutex<Option<Refused>>,
    answer: Mutex<Option<oneshot::Sender<Result<(), Refused>>>>,
}

impl Waiting {
    /// Keeps what befell the first.
    fn note(&self, refused: Refused) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(refused);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(answer) = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Who asked may have been stopped.
            let _ = answer.send(trouble.map_or(Ok(()), Err));
        }
    }
}

/// Hears of each message what became of it.
struct Deliveries;

impl ClientContext for Deliveries {
    // Broken connections are made again by the client; what could not be delivered is told with the message.
    fn log(&self, _level: RDKafkaLogLevel, _fac: &str, _message: &str) {}

    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Waiting>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Arc<Waiting>) {
        if let Err((error, _)) = result {
            waiting.note(refused(error));
        }
    }
}

fn refused(error: &KafkaError) -> Refused {
    let hopeless = matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::MessageSizeTooLarge
        )
    );
    let why = error.to_string();
    if hopeless { Refused::Fatal(why) } else { Refused::GaveUp(why) }
}
