//! The events of one partition: numbered without gaps, the oldest forgotten when they grow too many.

use std::collections::VecDeque;
use std::sync::Arc;

use fe2o3_amqp_types::messaging::{Body, Data, Message, MessageId};
use fe2o3_amqp_types::primitives::SimpleValue;
use serde_amqp::Value;

use crate::filter::{Place, Start};

/// Offsets grow by more than one an event, as the real ones do.
const OFFSET_STEP: i64 = 64;

/// An event as it is kept.
#[derive(Debug)]
pub struct Event {
    /// Its number in the partition.
    pub sequence: i64,
    /// When it came, in milliseconds since the Unix epoch.
    pub enqueued: i64,
    /// What the sender gave as partition key.
    pub key: Option<Value>,
    /// Everything else it sent.
    pub message: Message<Body<Value>>,
    size: usize,
}

impl Event {
    /// Its offset: a number in text, as the service gives it.
    pub fn offset(&self) -> i64 {
        self.sequence * OFFSET_STEP
    }

    /// Its partition key, if that is text.
    pub fn partition_key(&self) -> Option<&str> {
        match &self.key {
            Some(Value::String(key)) => Some(key),
            _ => None,
        }
    }

    /// The id that its sender gave it, if that is text.
    pub fn id(&self) -> Option<&str> {
        match self.message.properties.as_ref()?.message_id.as_ref()? {
            MessageId::String(id) => Some(id),
            _ => None,
        }
    }

    /// An application property, if it is text.
    pub fn property(&self, name: &str) -> Option<&str> {
        match self.message.application_properties.as_ref()?.0.get(name)? {
            SimpleValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// Its payload; empty if that is not bytes.
    pub fn payload(&self) -> Vec<u8> {
        match &self.message.body {
            Body::Data(parts) => parts.iter().flat_map(|Data(bytes)| bytes.iter().copied()).collect(),
            _ => Vec::new(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    events: VecDeque<Arc<Event>>,
    next: i64,
    bytes: usize,
}

impl Log {
    /// Appends an event of `size` bytes; forgets the oldest beyond `limit` bytes.
    pub(crate) fn append(
        &mut self,
        message: Message<Body<Value>>,
        key: Option<Value>,
        enqueued: i64,
        size: usize,
        limit: usize,
    ) -> i64 {
        // The clock may go back; enqueued times do not.
        let enqueued = self.events.back().map_or(enqueued, |last| last.enqueued.max(enqueued));
        let sequence = self.next;
        self.events.push_back(Arc::new(Event { sequence, enqueued, key, message, size }));
        self.next += 1;
        self.bytes += size;
        while self.bytes > limit && self.events.len() > 1 {
            self.forget(1);
        }
        sequence
    }

    /// Forgets the `count` oldest events, as retention does.
    pub(crate) fn forget(&mut self, count: usize) {
        for event in self.events.drain(..count.min(self.events.len())) {
            self.bytes -= event.size;
        }
    }

    /// The number of the oldest event that is left, or of the next.
    pub(crate) fn begin(&self) -> i64 {
        self.events.front().map_or(self.next, |event| event.sequence)
    }

    /// The number that the next event gets.
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    pub(crate) fn last(&self) -> Option<&Arc<Event>> {
        self.events.back()
    }

    /// Up to `count` events from number `from` on.
    pub(crate) fn read(&self, from: i64, count: usize) -> Vec<Arc<Event>> {
        let skip = usize::try_from(from - self.begin()).unwrap_or(0);
        self.events.iter().skip(skip).take(count).cloned().collect()
    }

    /// The number of the first event that a receiver which starts at `start` gets.
    pub(crate) fn first(&self, start: &Start) -> i64 {
        let reached = |value: i64, wanted: i64| if start.inclusive { value >= wanted } else { value > wanted };
        let find = |value: fn(&Event) -> i64, wanted: i64| {
            // Numbers, offsets and times all grow, so that the place can be searched for.
            let at = self.events.partition_point(|event| !reached(value(event), wanted));
            self.begin() + at as i64
        };
        match start.place {
            Place::Latest => self.next,
            Place::Sequence(wanted) => find(|event| event.sequence, wanted),
            Place::Offset(wanted) => find(Event::offset, wanted),
            Place::Enqueued(wanted) => find(|event| event.enqueued, wanted),
        }
    }
}
