//! A message as a record: what is its partition key, and where its id stands.

use std::borrow::Cow;

use serde_json::Value;

use crate::digest::at_most;
use crate::messages::Outgoing;

/// Letters that the service allows in a partition key; in bytes, so that no way to count them is another.
const LONGEST_KEY: usize = 256;

/// The partition key: the message's key, or its id where it has none. Either is the same each time, so that a repetition goes
/// to the same shard.
pub(super) fn partition_key(message: &Outgoing<'_>) -> String {
    at_most(message.key.unwrap_or(&message.id), LONGEST_KEY)
}

/// What the record holds: the row, with its id as its first field, if one is called `id_field`.
pub(super) fn data<'a>(message: &Outgoing<'a>, id_field: Option<&str>) -> Cow<'a, str> {
    let Some(field) = id_field else { return Cow::Borrowed(message.value) };
    let rest = message.value.strip_prefix('{').unwrap_or(message.value);
    let comma = if rest.starts_with('}') { "" } else { "," };
    let (field, id) = (Value::from(field), Value::from(message.id.as_str()));
    Cow::Owned(format!("{{{field}:{id}{comma}{rest}"))
}
