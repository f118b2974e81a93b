//! What needs no broker.

use rdkafka::error::RDKafkaErrorCode as Code;

use super::options;
use crate::SinkError;
use crate::conformance::context;
use crate::kafka::advice;
use crate::kafka::client::{Trouble, producer};
use crate::messages::MessageOptions;

const LEAST: &str = "brokers = \"127.0.0.1:9092\"\ntopic = \"alerts\"\n";

/// Why options are refused when they meet the rows.
fn refused(more: &str) -> String {
    match options(&format!("{LEAST}{more}")).unwrap().check(&context("orders")) {
        Err(SinkError::Config { what }) => what,
        other => panic!("{more}: {other:?}"),
    }
}

#[test]
fn options_are_checked_against_the_rows() {
    options(LEAST).unwrap().check(&context("orders")).unwrap();
    options(&format!("{LEAST}key = \"name\"")).unwrap().check(&context("orders")).unwrap();
    assert!(refused("key = \"nam\"").contains("`key` names \"nam\", which is no column; there are ts, id, name"));
    assert!(refused("max_epoch_bytes = 0").contains("cannot be zero"));
    assert!(refused("tls = { cert = \"a.pem\" }").contains("both `cert` and `key`"));
}

#[test]
fn properties_that_the_guarantee_rests_on_are_refused() {
    for (name, instead) in [
        ("transactional.id", "region, pipeline and sink"),
        ("acks", "all replicas"),
        ("group.id", "record of epochs"),
        ("sasl.password", "write `sasl`"),
        ("ssl.key.password", "tls.key_password"),
        ("delivery.timeout.ms", "message.timeout.ms"),
        ("statistics.interval.ms", "nobody reads"),
    ] {
        let why = refused(&format!("properties = {{ \"{name}\" = \"x\" }}"));
        assert!(why.contains(name) && why.contains(instead), "{why}");
    }
    options(&format!("{LEAST}properties = {{ \"compression.type\" = \"zstd\", \"linger.ms\" = 5 }}"))
        .unwrap()
        .check(&context("orders"))
        .unwrap();
}

#[test]
fn limits_of_a_transaction_are_the_users_to_set() {
    let given = |properties: &str| options(&format!("{LEAST}properties = {{ {properties} }}")).unwrap();
    let longer = given("\"transaction.timeout.ms\" = 120000, \"message.timeout.ms\" = 110000");
    assert_eq!(longer.transaction_timeout().unwrap().as_secs(), 120);
    producer(&longer, "name").unwrap();
    producer(&given("\"transaction.timeout.ms\" = \"120000\""), "name").unwrap();
    // What librdkafka refuses has reached it: an answer may take longer than this.
    assert!(producer(&given("\"transaction.timeout.ms\" = 20000"), "name").is_err());
    assert!(producer(&given("\"message.timeout.ms\" = 90000"), "name").is_err());
    let why = refused("properties = { \"transaction.timeout.ms\" = \"1m\" }");
    assert!(why.contains("takes a number of milliseconds"), "{why}");
}

#[test]
fn brokers_are_shown_without_what_stands_before_the_host() {
    for broker in ["kafka://u:hidden@b:9092", "u:hidden@b:9092"] {
        let brokers = format!("brokers = \"{broker}\"\ntopic = \"alerts\"");
        let why = options(&brokers).unwrap().check(&context("orders")).unwrap_err().to_string();
        assert!(why.contains("write b:9092 as host:port") && !why.contains("hidden"), "{why}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let given = "tls = { cert = \"a\", key = \"b\", key_password = \"hidden-1\" }\n\
                 sasl = { mechanism = \"PLAIN\", username = \"u\", password = \"hidden-2\" }";
    let shown = format!("{:?}", options(&format!("{LEAST}{given}")).unwrap());
    assert!(shown.contains("***") && !shown.contains("hidden"), "{shown}");
}

#[test]
fn errors_say_what_to_do() {
    let sorted = |code| advice::sorted("alerts", "watershed/eu/orders/alerts", &Trouble { code, reason: "why".into() });
    for (code, way_out) in [
        (Code::TopicAuthorizationFailed, "ACLs WRITE and DESCRIBE on this topic"),
        (Code::TransactionalIdAuthorizationFailed, "transactional id \"watershed/eu/orders/alerts\""),
        (Code::GroupAuthorizationFailed, "the ACL READ on group \"watershed/eu/orders/alerts\""),
        (Code::MessageSizeTooLarge, "`max.message.bytes`"),
        (Code::SaslAuthenticationFailed, "why; check `mechanism`"),
    ] {
        let error = sorted(code);
        assert!(matches!(error, SinkError::Config { .. }) && error.to_string().contains(way_out), "{error}");
    }
    for passing in [Code::Fenced, Code::InvalidProducerEpoch, Code::OperationTimedOut, Code::AllBrokersDown] {
        assert!(matches!(sorted(passing), SinkError::Retry { .. }), "{passing}");
    }
    let lost = advice::record_lost("alerts", "watershed/eu/orders/alerts", 8, 7, 0).to_string();
    assert!(lost.contains("has to have epoch 7 on record, and has none") && lost.contains("to 8 if it was"), "{lost}");
}
