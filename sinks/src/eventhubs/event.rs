//! A row as an event, and events of one partition key as batches. No I/O.
//!
//! The one idea: events, not batches, have names. How many go at once may change from one try to the next, and with what the
//! hub takes; the name of an event is that of its row in the epoch.

use std::collections::HashMap;

use azure_core_amqp::message::AmqpMessageProperties;
use azure_core_amqp::{AmqpMessage, AmqpSymbol};

use crate::digest::digest;
use crate::error::SinkError;
use crate::messages::{IDEMPOTENCY_KEY, Message};

const PARTITION_KEY: &str = "x-opt-partition-key";

/// The service's limit, in characters.
const LONGEST_KEY: usize = 128;

/// What the data section that holds an event takes beside it, at most.
const SECTION_BYTES: usize = 8;

/// Rows of one partition key, in their order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group<'m> {
    /// The key; none for rows that may go to any partition.
    pub(super) key: Option<&'m str>,
    /// Their numbers in the epoch.
    pub(super) rows: Vec<usize>,
}

/// Events that are sent at once.
#[derive(Debug)]
pub(super) struct Batch {
    /// The numbers of their rows in the epoch.
    pub(super) rows: Vec<usize>,
    /// The message that holds them.
    pub(super) message: AmqpMessage,
}

/// The rows of `messages` that are `wanted`, by their keys, in the order in which these first come.
pub(super) fn groups(messages: &[Message], wanted: impl Fn(usize) -> bool) -> Result<Vec<Group<'_>>, SinkError> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places: HashMap<Option<&str>, usize> = HashMap::new();
    for (row, Message(key, _)) in messages.iter().enumerate().filter(|(row, _)| wanted(*row)) {
        // To the service an empty key is none.
        let key = key.as_deref().filter(|key| !key.is_empty());
        if let Some(key) = key
            && key.chars().count() > LONGEST_KEY
        {
            let start: String = key.chars().take(20).collect();
            return Err(SinkError::config(format!(
                "a partition key has at most {LONGEST_KEY} characters, and \"{start}…\" has {}: choose another column as \
                 `key`, or shorten it in the query",
                key.chars().count()
            )));
        }
        let place = *places.entry(key).or_insert_with(|| {
            groups.push(Group { key, rows: Vec::new() });
            groups.len() - 1
        });
        groups[place].rows.push(row);
    }
    Ok(groups)
}

/// Takes batches off a group.
pub(super) struct Batches<'m> {
    messages: &'m [Message],
    /// Region, pipeline, sink and epoch.
    name: &'m str,
    group: &'m Group<'m>,
    /// How many of its rows are taken.
    taken: usize,
    /// Bytes that the hub takes at once.
    limit: usize,
}

impl<'m> Batches<'m> {
    /// Those of `group`, none larger than `limit` bytes. `name` is what all ids of the epoch begin with.
    pub(super) fn new(messages: &'m [Message], name: &'m str, group: &'m Group<'m>, limit: usize) -> Self {
        Self { messages, name, group, taken: 0, limit }
    }

    /// The next one.
    fn cut(&mut self) -> Result<Option<Batch>, SinkError> {
        let mut envelope = keyed(AmqpMessage::default(), self.group.key);
        let empty = encoded(&envelope)?.len();
        let (mut rows, mut events, mut bytes) = (Vec::new(), Vec::new(), empty);
        while let Some(&row) = self.group.rows.get(self.taken) {
            let event = event(&self.messages[row], &self.id(row), self.group.key)?;
            let room = event.len() + SECTION_BYTES;
            if empty + room > self.limit {
                let (size, limit) = (event.len(), self.limit);
                return Err(SinkError::config(format!(
                    "a row is larger than is taken: as an event it has {size} bytes, and the hub takes {limit}; select \
                     fewer columns, or take a hub of a tier that takes more"
                )));
            }
            if bytes + room > self.limit {
                break;
            }
            bytes += room;
            rows.push(row);
            events.push(event);
            self.taken += 1;
        }
        if rows.is_empty() {
            return Ok(None);
        }
        envelope.set_message_body(events);
        Ok(Some(Batch { rows, message: envelope }))
    }

    /// What tells a repetition of the event of `row`.
    fn id(&self, row: usize) -> String {
        let Message(_, value) = &self.messages[row];
        format!("{}/{row}/{}", self.name, digest(value.as_bytes()))
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<Batch, SinkError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.cut().transpose()
    }
}

/// An event, as it stands in a batch.
fn event(Message(_, value): &Message, id: &str, key: Option<&str>) -> Result<Vec<u8>, SinkError> {
    let properties = AmqpMessageProperties {
        message_id: Some(id.into()),
        content_type: Some(AmqpSymbol::from("application/json")),
        ..AmqpMessageProperties::default()
    };
    let event = AmqpMessage::builder()
        .with_properties(properties)
        .add_application_property(IDEMPOTENCY_KEY.to_owned(), id.to_owned())
        .with_body(value.as_bytes().to_vec())
        .build();
    encoded(&keyed(event, key))
}

fn keyed(mut message: AmqpMessage, key: Option<&str>) -> AmqpMessage {
    if let Some(key) = key {
        message.add_message_annotation(AmqpSymbol::from(PARTITION_KEY), key.to_owned());
    }
    message
}

fn encoded(message: &AmqpMessage) -> Result<Vec<u8>, SinkError> {
    AmqpMessage::serialize(message).map_err(|error| SinkError::fatal("a row can't be written as an event", error))
}
