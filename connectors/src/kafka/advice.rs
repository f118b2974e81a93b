//! What errors mean, and what to do about them, in words.

use rdkafka::error::RDKafkaErrorCode;

use super::health::Trouble;
use super::settings::KafkaSettings;
use crate::error::SourceError;

/// The alerts of TLS by which a server says that it wants to know who we are.
const CERTIFICATE_WANTED: [&str; 4] =
    ["alert bad certificate", "alert certificate required", "alert unknown ca", "alert handshake failure"];

/// A connection that does not come about.
pub(super) fn connection(trouble: &Trouble, settings: &KafkaSettings) -> String {
    let Trouble { code, reason } = trouble;
    let way_out = match code {
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => match &settings.sasl {
            Some(sasl) if sasl.mechanism() == "OAUTHBEARER" => "check the token, or what is sent to `token_endpoint`",
            Some(_) => "check `mechanism`, `username` and `password` of `sasl`",
            None => "the brokers want credentials: give `sasl`",
        },
        RDKafkaErrorCode::UnsupportedSASLMechanism => {
            "choose another `mechanism` in `sasl`: the brokers do not take it"
        }
        RDKafkaErrorCode::SSL if reason.contains("certificate verify failed") => {
            "give the authority that signed the brokers' certificates as `tls.ca`, and their own name in `brokers`"
        }
        _ if CERTIFICATE_WANTED.iter().any(|alert| reason.contains(alert)) => {
            "the brokers want a certificate, or another one: see `tls.cert` and `tls.key`"
        }
        RDKafkaErrorCode::SSL => "check `tls`: does this port speak TLS?",
        RDKafkaErrorCode::Resolve => "check the host in `brokers`",
        _ if reason.contains("SSL") || reason.contains("in state APIVERSION") || reason.contains("SASL") => {
            "check `tls` and `sasl`: they may not be what this port speaks"
        }
        _ => "check `brokers`, and whether the network lets us through",
    };
    format!("{reason}; {way_out}")
}

/// A topic that is not there.
pub(super) fn unknown_topic(name: &str, near: &[&str]) -> String {
    let quoted: Vec<String> = near.iter().map(|name| format!("\"{name}\"")).collect();
    let hint = match near {
        [] => "create it, or allow DESCRIBE on it".to_string(),
        _ => format!("did you mean {}?", quoted.join(" or ")),
    };
    format!("topic \"{name}\" does not exist: {hint}")
}

/// A topic that can't be read.
pub(super) fn topic(name: &str, code: RDKafkaErrorCode) -> SourceError {
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => SourceError::config(format!(
            "topic \"{name}\": not allowed; add ACLs READ and DESCRIBE on this topic for us"
        )),
        RDKafkaErrorCode::InvalidTopic => SourceError::config(format!("topic \"{name}\": the brokers refuse the name")),
        code => SourceError::retry(format!("topic \"{name}\""), code),
    }
}

/// A group that can't be committed to.
pub(super) fn group(name: &str, code: RDKafkaErrorCode) -> SourceError {
    match code {
        RDKafkaErrorCode::GroupAuthorizationFailed => SourceError::config(format!(
            "group \"{name}\": not allowed; add the ACL READ on this group for us, or leave `group` out"
        )),
        RDKafkaErrorCode::InvalidGroupId => {
            SourceError::config(format!("group \"{name}\": the brokers refuse the name; change `group`"))
        }
        code => SourceError::retry(format!("group \"{name}\""), code),
    }
}
