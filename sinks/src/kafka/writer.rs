//! Publishing an epoch once: what is on record is read, and messages and record are written, as if in one step.
//!
//! The one idea: whoever has taken the transactional id is alone, and knows what is on record. As soon as anything goes
//! wrong the session ends: the next one settles what it left behind, and reads again.
//!
//! All of this waits for brokers, and is to be called where that holds up nobody.

use std::time::{Duration, Instant};
use std::{fmt, thread};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::advice;
use super::client::{self, Producer, Reader, trouble};
use super::options::KafkaOptions;
use crate::error::SinkError;
use crate::messages::{Epoch, Message};

/// How long the brokers may take for each answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for room among the messages on their way, or for news, before trying again.
const PAUSE: Duration = Duration::from_millis(100);
/// A topic that was just made is not known to all brokers at once.
const KNOWN_WITHIN: Duration = Duration::from_secs(3);
/// The partition under which the group keeps the record.
const PARTITION: i32 = 0;

/// Publishes under one name.
pub(super) struct Writer {
    options: KafkaOptions,
    /// The transactional id, and the name of the group.
    name: String,
    session: Option<Session>,
}

/// The right to write: others that want to must take it from us first, and our next transaction then fails.
struct Session {
    producer: Producer,
    reader: Reader,
    /// How long a transaction may take.
    timeout: Duration,
    /// The epoch on record; zero if there is none.
    recorded: u64,
}

impl Writer {
    pub(super) fn new(options: KafkaOptions, name: String) -> Self {
        Self { options, name, session: None }
    }

    /// Takes the right to write, and gives the epoch on record; zero if there is none.
    pub(super) fn open(&mut self) -> Result<u64, SinkError> {
        self.find_topic()?;
        let session = self.session.insert(Session::begin(&self.options, &self.name)?);
        Ok(session.recorded)
    }

    /// Sends the messages of `epoch` unless they were sent; gives the epoch that is on record then.
    pub(super) fn publish(&mut self, epoch: &Epoch) -> Result<u64, SinkError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::begin(&self.options, &self.name)?,
        };
        let session = session.publish(&self.options.topic, &self.name, epoch)?;
        let recorded = session.recorded;
        self.session = Some(session);
        Ok(recorded)
    }

    /// Puts what is on record there once more, so that the brokers do not forget it.
    pub(super) fn keep(&mut self) -> Result<(), SinkError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::begin(&self.options, &self.name)?,
        };
        if session.recorded > 0 {
            session.keep(&self.options.topic).map_err(|error| {
                let error = session.producer.context().explain(&error);
                advice::sorted(&self.options.topic, &self.name, &error)
            })?;
        }
        self.session = Some(session);
        Ok(())
    }

    /// Looks whether the topic is there, and takes no right from anybody; says what it found.
    pub(super) fn find_topic(&self) -> Result<String, SinkError> {
        let topic = &self.options.topic;
        let reader = client::reader(&self.options, &self.name)?;
        let asked_until = Instant::now() + KNOWN_WITHIN;
        loop {
            if let Some(partitions) = self.partitions(&reader)? {
                return Ok(format!("kafka topic \"{topic}\" with {partitions} partitions"));
            }
            if Instant::now() >= asked_until {
                return Err(advice::unknown_topic(topic));
            }
            thread::sleep(PAUSE);
        }
    }

    /// How many partitions the topic has; none if the broker that answers knows no such topic.
    fn partitions(&self, reader: &Reader) -> Result<Option<usize>, SinkError> {
        let topic = &self.options.topic;
        let found = reader
            .fetch_metadata(Some(topic), TIMEOUT)
            .map_err(|error| advice::sorted(topic, &self.name, &reader.context().explain(&error)))?;
        let Some(found) = found.topics().first() else { return Ok(None) };
        match found.error().map(RDKafkaErrorCode::from) {
            None => Ok(Some(found.partitions().len())),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
            Some(code) => Err(advice::sorted(topic, &self.name, &trouble(&KafkaError::MetadataFetch(code)))),
        }
    }
}

impl Session {
    fn begin(options: &KafkaOptions, name: &str) -> Result<Self, SinkError> {
        let producer = client::producer(options, name)?;
        let reader = client::reader(options, name)?;
        producer
            .init_transactions(TIMEOUT)
            .map_err(|error| advice::sorted(&options.topic, name, &producer.context().explain(&error)))?;
        // The transactions of those before us have ended now, and nobody else can begin one without ending us.
        let recorded = recorded(&reader, &options.topic)
            .map_err(|error| advice::sorted(&options.topic, name, &reader.context().explain(&error)))?;
        Ok(Self { producer, reader, timeout: options.transaction_timeout()?, recorded })
    }

    fn publish(self, topic: &str, name: &str, epoch: &Epoch) -> Result<Self, SinkError> {
        if self.recorded >= epoch.epoch {
            if self.recorded > epoch.epoch {
                let (recorded, epoch) = (self.recorded, epoch.epoch);
                tracing::warn!(
                    topic,
                    name,
                    recorded,
                    epoch,
                    "a later epoch is on record: another process goes on from here"
                );
            }
            return Ok(self);
        }
        if self.recorded < epoch.after {
            return Err(advice::record_lost(topic, name, epoch.epoch, epoch.after, self.recorded));
        }
        match self.transact(topic, epoch) {
            Ok(()) => Ok(Self { recorded: epoch.epoch, ..self }),
            Err(error) => Err(advice::sorted(topic, name, &self.producer.context().explain(&error))),
        }
    }

    fn transact(&self, topic: &str, epoch: &Epoch) -> KafkaResult<()> {
        self.producer.begin_transaction()?;
        for message in epoch.parts.iter().flatten() {
            self.send(topic, message)?;
        }
        // A message that is refused is known by now, and with it the reason.
        self.producer.flush(self.timeout)?;
        self.record(topic, epoch.epoch)
    }

    /// A transaction without messages, with the record as it is: as nobody else can write it without ending ours, that is still
    /// what is on record when it ends.
    fn keep(&self, topic: &str) -> KafkaResult<()> {
        self.producer.begin_transaction()?;
        self.record(topic, self.recorded)
    }

    /// Ends a transaction, and has `epoch` on record with it.
    fn record(&self, topic: &str, epoch: u64) -> KafkaResult<()> {
        let number =
            i64::try_from(epoch).map_err(|_| KafkaError::SetPartitionOffset(RDKafkaErrorCode::InvalidArgument))?;
        let record = entry(topic, Offset::Offset(number))?;
        // Only a consumer that is being torn down has no group.
        let group = self.reader.group_metadata().ok_or(KafkaError::Canceled)?;
        self.producer.send_offsets_to_transaction(&record, &group, TIMEOUT)?;
        self.producer.commit_transaction(self.timeout)
    }

    fn send(&self, topic: &str, Message(key, value): &Message) -> KafkaResult<()> {
        let mut record = BaseRecord::<str, str>::to(topic).payload(value);
        if let Some(key) = key {
            record = record.key(key);
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                // It empties: messages are delivered or time out.
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => record = again,
                Err((error, _)) => return Err(error),
            }
            self.producer.poll(PAUSE);
        }
    }
}

/// The epoch on record at the group of `reader`; zero if there is none.
fn recorded(reader: &Reader, topic: &str) -> KafkaResult<u64> {
    let found = reader.committed_offsets(entry(topic, Offset::Invalid)?, TIMEOUT)?;
    let Some(entry) = found.find_partition(topic, PARTITION) else { return Ok(0) };
    entry.error()?;
    match entry.offset() {
        Offset::Offset(epoch) => Ok(u64::try_from(epoch).unwrap_or(0)),
        _ => Ok(0),
    }
}

fn entry(topic: &str, offset: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, PARTITION, offset)?;
    Ok(list)
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("topic", &self.options.topic).field("name", &self.name).finish_non_exhaustive()
    }
}
