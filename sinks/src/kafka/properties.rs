//! Which of librdkafka's properties a user may set: all but those that the guarantees rest on, and those that have a key of
//! their own here, which keeps secrets where they are hidden.

use std::collections::BTreeMap;

use super::options::Property;
use crate::error::SinkError;

/// Properties, or beginnings of them, and what to write instead.
const OURS: &[(&str, &str)] = &[
    ("acks", "a transaction waits for all replicas"),
    ("allow.auto.create.topics", "the sink makes no topics"),
    ("bootstrap.servers", "write `brokers`"),
    ("delivery.timeout.ms", "write \"message.timeout.ms\""),
    ("enable.auto.", "offsets are set by transactions only"),
    ("enable.idempotence", "a transaction needs it"),
    ("enable.sasl.", "write `sasl`"),
    ("enable.ssl.certificate.verification", "give the authority as `tls.ca`"),
    ("group.", "it is the sink's own, and keeps the record of epochs"),
    ("isolation.level", "the record of epochs is read as it was committed"),
    ("metadata.broker.list", "write `brokers`"),
    ("plugin.library.paths", "there are no plugins"),
    ("request.required.acks", "a transaction waits for all replicas"),
    ("sasl.", "write `sasl`"),
    ("security.protocol", "write `tls` and `sasl`"),
    ("ssl.ca", "write `tls.ca`"),
    ("ssl.certificate", "write `tls.cert`"),
    ("ssl.key", "write `tls.key` and `tls.key_password`"),
    ("ssl.keystore", "write `tls.cert` and `tls.key`"),
    ("statistics.interval.ms", "nobody reads statistics, and they would fill the memory"),
    ("test.mock.", "it is for tests of librdkafka"),
    ("transactional.id", "it is made of region, pipeline and sink"),
];

/// Refuses what is not the user's to set.
pub(super) fn check(properties: &BTreeMap<String, Property>) -> Result<(), SinkError> {
    for name in properties.keys() {
        let ours = OURS.iter().find(|(ours, _)| match ours.strip_suffix('.') {
            Some(_) => name.starts_with(ours),
            None => name == ours || name.strip_prefix(ours).is_some_and(|rest| rest.starts_with('.')),
        });
        if let Some((_, instead)) = ours {
            return Err(SinkError::config(format!("`properties`: \"{name}\" can't be set: {instead}")));
        }
    }
    Ok(())
}
