//! One event: its payload into the arena, what is said beside it into columns.

use azure_core_amqp::message::AmqpMessageBody;
use azure_messaging_eventhubs::models::{AmqpSimpleValue, AmqpValue, ReceivedEventData};
use chrono::{DateTime, Utc};

use crate::metadata::{MetadataValue, Wanted};
use crate::records::Records;

/// Hands an event out. Its ordinal is its sequence number, which is never negative.
pub(super) fn push(records: &mut Records, event: &ReceivedEventData, sequence: i64, partition: &str, wanted: &Wanted) {
    let position = sequence.unsigned_abs();
    match &event.raw_amqp_message().body {
        AmqpMessageBody::Binary(parts) => records.push_with(position, |bytes| {
            for part in parts {
                bytes.extend_from_slice(part);
            }
        }),
        AmqpMessageBody::Value(AmqpValue::String(text)) => records.push(text.as_bytes(), position),
        AmqpMessageBody::Value(AmqpValue::Binary(bytes)) => records.push(bytes, position),
        AmqpMessageBody::Empty => records.push(b"", position),
        AmqpMessageBody::Value(_) | AmqpMessageBody::Sequence(_) => {
            records.reject(b"", position, "the body is neither bytes nor text");
            return;
        }
    }
    records.describe(wanted, |place| value(event, sequence, partition, place));
}

/// What stands in the column at `place` of the list of metadata.
fn value<'e>(event: &'e ReceivedEventData, sequence: i64, partition: &'e str, place: usize) -> MetadataValue<'e> {
    match place {
        0 => MetadataValue::Text(partition),
        1 => event.offset().as_deref().map_or(MetadataValue::Null, MetadataValue::Text),
        2 => MetadataValue::Int(sequence),
        3 => event.partition_key().as_deref().map_or(MetadataValue::Null, MetadataValue::Text),
        4 => event
            .enqueued_time()
            .map_or(MetadataValue::Null, |time| MetadataValue::Time(DateTime::<Utc>::from(time).timestamp_micros())),
        5 => properties(event),
        _ => MetadataValue::Null,
    }
}

fn properties(event: &ReceivedEventData) -> MetadataValue<'_> {
    let Some(properties) = &event.raw_amqp_message().application_properties else {
        return MetadataValue::Map(Vec::new());
    };
    MetadataValue::Map(properties.0.iter().map(|(name, value)| (name.clone(), text(value))).collect())
}

/// A property as text; what has no plain one is shown as its bytes in hexadecimal.
fn text(value: &AmqpSimpleValue) -> Option<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Some(match value {
        AmqpSimpleValue::Null => return None,
        AmqpSimpleValue::Boolean(value) => value.to_string(),
        AmqpSimpleValue::UByte(value) => value.to_string(),
        AmqpSimpleValue::Byte(value) => value.to_string(),
        AmqpSimpleValue::Char(value) => value.to_string(),
        AmqpSimpleValue::UShort(value) => value.to_string(),
        AmqpSimpleValue::Short(value) => value.to_string(),
        AmqpSimpleValue::UInt(value) => value.to_string(),
        AmqpSimpleValue::Int(value) => value.to_string(),
        AmqpSimpleValue::ULong(value) => value.to_string(),
        AmqpSimpleValue::Long(value) => value.to_string(),
        AmqpSimpleValue::Float(value) => value.to_string(),
        AmqpSimpleValue::Double(value) => value.to_string(),
        AmqpSimpleValue::Decimal128(bytes) => hex(bytes),
        AmqpSimpleValue::Decimal64(bytes) => hex(bytes),
        AmqpSimpleValue::Decimal32(bytes) => hex(bytes),
        AmqpSimpleValue::TimeStamp(time) => DateTime::<Utc>::from(time.0?).to_rfc3339(),
        AmqpSimpleValue::Uuid(value) => value.to_string(),
        AmqpSimpleValue::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        AmqpSimpleValue::String(value) => value.clone(),
        AmqpSimpleValue::Symbol(value) => value.0.clone(),
        // None that a client of Event Hubs sends.
        AmqpSimpleValue::Described(_) => return None,
    })
}
