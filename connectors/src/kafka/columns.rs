//! What a message says beside its payload.

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

use crate::metadata::MetadataValue;

/// What a metadata column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Topic,
    Partition,
    Offset,
    Key,
    /// The message's timestamp: when it was appended, or made, as the topic is set up.
    Time,
    Headers,
}

impl Column {
    /// Its value.
    pub(super) fn of<'m>(self, message: &'m BorrowedMessage<'_>) -> MetadataValue<'m> {
        match self {
            Self::Topic => MetadataValue::Text(message.topic()),
            Self::Partition => MetadataValue::Int(message.partition().into()),
            Self::Offset => MetadataValue::Int(message.offset()),
            Self::Key => message.key().map_or(MetadataValue::Null, MetadataValue::Bytes),
            Self::Time => {
                let micros = message.timestamp().to_millis().and_then(|millis| millis.checked_mul(1000));
                micros.map_or(MetadataValue::Null, MetadataValue::Time)
            }
            Self::Headers => message.headers().map_or(MetadataValue::Null, |headers| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                MetadataValue::Map(headers.iter().map(|one| (one.key.to_owned(), one.value.map(text))).collect())
            }),
        }
    }
}
