//! What a message says beside its data.

use google_cloud_pubsub::model::Message;

use crate::metadata::{MetadataField, MetadataType, MetadataValue};

/// The column that names a message for ever.
pub(super) const ID: &str = "_message_id";

/// The columns; [`value`] knows them by their places.
pub(super) static METADATA: [MetadataField; 5] = [
    MetadataField { name: ID, kind: MetadataType::Text, doc: "Pub/Sub's id of the message" },
    MetadataField { name: "_key", kind: MetadataType::Text, doc: "the ordering key; null without one" },
    MetadataField { name: "_ingest_time", kind: MetadataType::Time, doc: "when it was published" },
    MetadataField { name: "_headers", kind: MetadataType::Map, doc: "its attributes, by name" },
    MetadataField {
        name: "_delivery_attempt",
        kind: MetadataType::Int,
        doc: "how often it was delivered; null without a dead-letter topic",
    },
];

/// The value of the column at `place`.
pub(super) fn value(message: &Message, attempt: Option<i32>, place: usize) -> MetadataValue<'_> {
    match place {
        0 => MetadataValue::Text(&message.message_id),
        1 if !message.ordering_key.is_empty() => MetadataValue::Text(&message.ordering_key),
        2 => published(message).map_or(MetadataValue::Null, MetadataValue::Time),
        3 => {
            let attributes = message.attributes.iter();
            let mut headers: Vec<_> = attributes.map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
            headers.sort();
            MetadataValue::Map(headers)
        }
        4 => attempt.map_or(MetadataValue::Null, |attempt| MetadataValue::Int(attempt.into())),
        _ => MetadataValue::Null,
    }
}

/// When it was published, in microseconds since the Unix epoch.
pub(super) fn published(message: &Message) -> Option<i64> {
    let time = message.publish_time.as_ref()?;
    Some(time.seconds().saturating_mul(1_000_000).saturating_add(i64::from(time.nanos()) / 1000))
}
