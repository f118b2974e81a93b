//! How events come to the program under load: over HTTP, or through a topic of Kafka.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::Bench;
use super::region::{Origin, quoted, source};
use super::spec::Ack;
use crate::target::{Address, InvalidAddress};

/// As many as the streams of the other benchmarks have.
const PARTITIONS: i32 = 4;
const MADE_WITHIN: Duration = Duration::from_secs(30);

/// Where events are sent, and where the program finds them.
pub(super) struct Way {
    pub(super) address: Address,
    pub(super) origin: Origin,
}

impl Way {
    /// A way that nothing has gone yet. The program's HTTP server listens at `port` on each.
    ///
    /// # Errors
    /// If no topic can be made.
    pub(super) async fn open(bench: &Bench, ack: Ack, port: u16) -> Result<Self, String> {
        let (address, keys) = match &bench.brokers {
            None => {
                let ack = match ack {
                    Ack::Durable => "durable",
                    Ack::Memory => "memory",
                };
                let url = format!("http://127.0.0.1:{port}/ingest/{}", source(&bench.suite));
                (url, format!("connector = \"http\"\nack = \"{ack}\""))
            }
            Some(brokers) => {
                let topic = make_topic(brokers).await?;
                let keys = format!("connector = \"kafka\"\nbrokers = {}\ntopic = {}", quoted(brokers), quoted(&topic));
                (format!("kafka://{brokers}/{topic}"), keys)
            }
        };
        let address = address.parse().map_err(|error: InvalidAddress| error.to_string())?;
        let tables = format!("[http]\nlisten = \"127.0.0.1:{port}\"\n");
        Ok(Self { address, origin: Origin { keys, tables } })
    }
}

/// Makes a topic that nobody else has, and gives its name. It stays.
async fn make_topic(brokers: &str) -> Result<String, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = format!("watershed-bench-{}", now.as_millis());
    let told = |why: String| format!("cannot make the topic {name} at {brokers}: {why}");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().map_err(|error| told(error.to_string()))?;
    let topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(MADE_WITHIN)).request_timeout(Some(MADE_WITHIN));
    let made = admin.create_topics([&topic], &options).await.map_err(|error| told(error.to_string()))?;
    match made.into_iter().find_map(Result::err) {
        Some((_, code)) => Err(told(code.to_string())),
        None => Ok(name),
    }
}
