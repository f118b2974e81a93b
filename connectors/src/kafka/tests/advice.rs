//! Every error has a way out.

use rdkafka::error::RDKafkaErrorCode as Code;
use serde_json::json;

use super::super::advice;
use super::super::health::Trouble;
use super::{around, options};
use crate::error::SourceError;

#[test]
fn a_connection_that_fails_says_what_to_mend() {
    let keys = |sasl: bool| match sasl {
        true => json!({ "brokers": "b:1", "topic": "a",
            "sasl": { "mechanism": "PLAIN", "username": "u", "password": "marked" } }),
        false => json!({ "brokers": "b:1", "topic": "a" }),
    };
    for (code, reason, sasl, words) in [
        (Code::Authentication, "invalid credentials", true, "`username` and `password`"),
        (Code::Authentication, "no", false, "give `sasl`"),
        (Code::UnsupportedSASLMechanism, "no", true, "`mechanism`"),
        (Code::SSL, "certificate verify failed: self-signed", false, "`tls.ca`"),
        (Code::SSL, "tlsv13 alert certificate required", false, "`tls.cert` and `tls.key`"),
        (Code::BrokerTransportFailure, "ssl/tls alert bad certificate: in state APIVERSION_QUERY", false, "`tls.cert`"),
        (Code::SSL, "wrong version number", false, "speak TLS"),
        (Code::Resolve, "Failed to resolve", false, "the host in `brokers`"),
        (Code::BrokerTransportFailure, "Disconnected in state APIVERSION_QUERY", false, "`tls` and `sasl`"),
        (Code::BrokerTransportFailure, "Connection refused", false, "the network"),
    ] {
        let settings = options(keys(sasl)).resolve(&around()).unwrap();
        let text = advice::connection(&Trouble { code, reason: reason.to_string() }, &settings);
        assert!(text.contains(reason) && text.contains(words) && !text.contains("marked"), "{text}");
    }
}

#[test]
fn a_missing_permission_is_the_users_to_mend_and_an_election_is_not() {
    let names = |error: SourceError, words: &str| {
        assert!(matches!(error, SourceError::Config { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    names(advice::topic("orders", Code::TopicAuthorizationFailed), "READ and DESCRIBE");
    names(advice::group("g", Code::GroupAuthorizationFailed), "READ on this group");
    assert!(matches!(advice::topic("orders", Code::LeaderNotAvailable), SourceError::Retry { .. }));
    assert!(matches!(advice::group("g", Code::CoordinatorNotAvailable), SourceError::Retry { .. }));
    assert!(advice::unknown_topic("ordres", &["orders"]).contains("did you mean \"orders\"?"));
    assert!(advice::unknown_topic("ordres", &[]).contains("create it"));
}
