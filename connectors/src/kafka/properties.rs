//! Which of librdkafka's properties a user may set: all but those that the guarantees rest on, and those that have a key of
//! their own here, which keeps secrets where they are hidden.

use std::collections::BTreeMap;

use super::options::Property;
use crate::error::SourceError;

/// Properties, or beginnings of them, and what to write instead.
const OURS: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "a reader makes no topics"),
    ("auto.commit.", "offsets are committed after each checkpoint, if there is a `group`"),
    ("auto.offset.reset", "write `start` or `on_lost`"),
    ("bootstrap.servers", "write `brokers`"),
    ("enable.auto.commit", "offsets are committed after each checkpoint, if there is a `group`"),
    ("enable.auto.offset.store", "positions are kept in the checkpoint"),
    ("enable.partition.eof", "it tells when a partition is caught up"),
    ("enable.sasl.", "write `sasl`"),
    ("enable.ssl.certificate.verification", "give the authority as `tls.ca`"),
    ("group.", "write `group`; partitions are not assigned by the group"),
    ("isolation.level", "write `isolation`"),
    ("message.max.bytes", "write `max_record_bytes`"),
    ("metadata.broker.list", "write `brokers`"),
    ("partition.assignment.strategy", "partitions are not assigned by the group"),
    ("plugin.library.paths", "there are no plugins"),
    ("queued.max.messages.kbytes", "write `buffer`"),
    ("receive.message.max.bytes", "write `max_record_bytes`"),
    ("sasl.", "write `sasl`"),
    ("security.protocol", "write `tls` and `sasl`"),
    ("ssl.ca", "write `tls.ca`"),
    ("ssl.certificate", "write `tls.cert`"),
    ("ssl.key", "write `tls.key` and `tls.key_password`"),
    ("ssl.keystore", "write `tls.cert` and `tls.key`"),
    ("statistics.interval.ms", "it tells lag and whether brokers answer"),
    ("test.mock.", "it is for tests of librdkafka"),
];

/// Refuses what is not the user's to set.
pub(super) fn check(properties: &BTreeMap<String, Property>) -> Result<(), SourceError> {
    for name in properties.keys() {
        let ours = OURS.iter().find(|(ours, _)| match ours.strip_suffix('.') {
            Some(_) => name.starts_with(ours),
            None => name == ours || name.strip_prefix(ours).is_some_and(|rest| rest.starts_with('.')),
        });
        if let Some((_, instead)) = ours {
            return Err(SourceError::config(format!("`properties`: \"{name}\" can't be set: {instead}")));
        }
    }
    Ok(())
}
