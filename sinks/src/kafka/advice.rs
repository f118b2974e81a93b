//! What errors mean, and what to do about them, in words.

use rdkafka::error::RDKafkaErrorCode as Code;

use super::client::Trouble;
use crate::error::SinkError;

/// Sorts what stopped us at `topic`; `name` is our transactional id, and our group's name.
pub(super) fn sorted(topic: &str, name: &str, trouble: &Trouble) -> SinkError {
    let mends = match trouble.code {
        Code::TopicAuthorizationFailed => {
            "not allowed; add the ACLs WRITE and DESCRIBE on this topic for us".to_owned()
        }
        Code::TransactionalIdAuthorizationFailed => {
            format!("not allowed; add the ACLs WRITE and DESCRIBE on transactional id \"{name}\" for us")
        }
        Code::GroupAuthorizationFailed => {
            format!("not allowed; add the ACL READ on group \"{name}\", which keeps the record of epochs, for us")
        }
        Code::ClusterAuthorizationFailed => {
            "not allowed; add the ACL IDEMPOTENT_WRITE on the cluster for us".to_owned()
        }
        Code::InvalidTopic => "the brokers refuse the name".to_owned(),
        Code::MessageSizeTooLarge => "a row is larger than is taken: raise `max.message.bytes` of the topic, and \
             `\"message.max.bytes\"` in `properties`, or select fewer columns"
            .to_owned(),
        Code::Authentication | Code::SaslAuthenticationFailed => {
            format!("{}; check `mechanism`, `username` and `password` of `sasl`", trouble.reason)
        }
        Code::UnsupportedSASLMechanism => {
            "the brokers do not take this `mechanism` of `sasl`: choose another".to_owned()
        }
        Code::SSL => format!("{}; check `tls`, and the brokers' names in `brokers`", trouble.reason),
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
            let what = format!("kafka topic \"{topic}\": another process wrote as \"{name}\"; looking at what it left");
            return SinkError::retry(what, trouble.code);
        }
        code => return SinkError::retry(format!("kafka topic \"{topic}\": {}", trouble.reason), code),
    };
    SinkError::config(format!("kafka topic \"{topic}\": {mends}"))
}

/// A topic that is not there.
pub(super) fn unknown_topic(topic: &str) -> SinkError {
    SinkError::config(format!("kafka topic \"{topic}\" does not exist: create it, or allow DESCRIBE on it"))
}

/// There is no record of an epoch that was published.
pub(super) fn record_lost(topic: &str, name: &str, epoch: u64, after: u64, recorded: u64) -> SinkError {
    let found = if recorded == 0 { "none".to_owned() } else { format!("epoch {recorded}") };
    SinkError::fatal(
        format!("kafka topic \"{topic}\": group \"{name}\" has to have epoch {after} on record, and has {found}"),
        format!(
            "the record expired, or the topic was made anew, so that nobody knows whether epoch {epoch} was published: \
             look into the topic, and set the group's offset of partition 0 to {epoch} if it was, to {after} if not; \
             raise `offsets.retention.minutes` of the brokers"
        ),
    )
}
