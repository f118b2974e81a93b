//! Decisions that need no broker.

use rdkafka::error::RDKafkaErrorCode;
use serde_json::json;

use super::super::health::{Health, Kind, kind};
use super::super::lost::{Lost, decide};
use super::super::reader;
use super::super::settings::OnLost;
use super::super::topics::{Topic, Topics, near, parse, split, splits};
use crate::source::{Position, SplitId};

#[test]
fn positions_that_are_gone_are_decided_as_the_table_says() {
    let split = SplitId::new("orders/0");
    let go_on = |wanted| match decide(&split, wanted, &(8..20), OnLost::Earliest) {
        Lost::GoOn { at, lost } => Some((at, lost)),
        Lost::Nothing | Lost::Stop(_) => None,
    };
    assert_eq!(go_on(5), Some((8, Some(3))));
    assert_eq!(go_on(25), Some((8, None)));
    assert_eq!((go_on(8), go_on(19), go_on(20)), (None, None, None));
    for (wanted, cause) in [(5, "3 records were deleted"), (21, "made anew")] {
        let Lost::Stop(error) = decide(&split, wanted, &(8..20), OnLost::Fail) else {
            panic!("going on at {wanted} would lose records")
        };
        assert!(error.to_string().contains(cause), "{error}");
    }
    assert!(matches!(decide(&split, 20, &(8..20), OnLost::Fail), Lost::Nothing));
}

#[test]
fn splits_are_called_by_topic_and_partition() {
    assert_eq!(parse(&split("orders", 3)).unwrap(), ("orders", 3));
    for wrong in ["orders", "orders/", "orders/-1", "/3", "orders/x", "a/b/3"] {
        assert!(parse(&SplitId::new(wrong)).is_err(), "{wrong}");
    }
    let topic = |name: &str, partitions, error| Topic { name: name.to_string(), partitions, error };
    let all =
        [topic("b", 2, None), topic("a", 11, None), topic("c", 1, Some(RDKafkaErrorCode::UnknownTopicOrPartition))];
    let names: Vec<String> = splits(&all).iter().map(ToString::to_string).collect();
    assert_eq!(names[..3], ["a/0", "a/1", "a/2"]);
    assert_eq!(names[10..], ["a/10", "b/0", "b/1"]);
}

#[test]
fn a_pattern_takes_whole_names_and_not_those_of_kafka_itself() {
    let topics = Topics::matching("orders|orders-.*|__.*").unwrap();
    for (name, read) in
        [("orders", true), ("orders-eu", true), ("my-orders", false), ("ordersx", false), ("__consumer_offsets", false)]
    {
        assert_eq!(topics.contains(name), read, "{name}");
    }
    assert!(Topics::named(["__consumer_offsets".to_string()]).unwrap().contains("__consumer_offsets"));
    assert!(Topics::matching("orders(").is_err());
    assert!(Topics::named(["orders*".to_string()]).is_err());
}

#[test]
fn near_names_are_those_with_few_letters_to_change() {
    let names = ["orders", "order", "payments", "Orders-eu", "o"];
    assert_eq!(near("ordres", names), ["order", "orders"]);
    assert_eq!(near("orders-EU", names), ["Orders-eu", "orders"]);
    assert!(near("users", ["payments"]).is_empty());
}

#[test]
fn positions_hold_the_next_offset() {
    let split = SplitId::new("orders/0");
    assert_eq!(reader::offset(&split, &reader::position(7)).unwrap(), 7);
    for wrong in [json!({}), json!({ "offset": -1 }), json!({ "offset": "7" }), json!(7)] {
        assert!(reader::offset(&split, &Position(wrong)).is_err());
    }
}

#[test]
fn trouble_is_told_from_its_first_sign_to_its_end() {
    let health = Health::new("orders".into());
    health.failed(RDKafkaErrorCode::Authentication, "nobody knows you");
    assert_eq!(health.refused().unwrap().reason, "nobody knows you");
    health.answered();
    health.failed(RDKafkaErrorCode::BrokerTransportFailure, "one of three went away");
    assert!(!health.told(), "a connection may come back");
    health.failed(RDKafkaErrorCode::AllBrokersDown, "3/3 brokers are down");
    assert!(health.told());
    health.answered();
    assert!(!health.told());
    health.silent();
    assert!(health.told());
    health.answered();
    health.failed(RDKafkaErrorCode::Authentication, "who are you");
    assert!(health.told());
    assert_eq!(health.refused(), None, "who was let in once is not refused for good");
    assert_eq!(health.last().unwrap().reason, "who are you");
    health.answered();
    assert_eq!((health.refused(), health.last()), (None, None));
    assert_eq!(kind(RDKafkaErrorCode::PartitionEOF, ""), Kind::Partition);
    assert_eq!(kind(RDKafkaErrorCode::GroupAuthorizationFailed, ""), Kind::Group);
}

/// A daemon once ended when a broker restarted while it was logging in.
#[test]
fn a_login_that_breaks_off_is_no_refusal() {
    let broken = "SASL OAUTHBEARER mechanism handshake failed: Local: Broker transport failure: broker's supported \
                  mechanisms: (n/a)";
    assert_eq!(kind(RDKafkaErrorCode::Authentication, broken), Kind::Connection);
    assert_eq!(kind(RDKafkaErrorCode::Authentication, "SASL authentication error: Local: Timed out"), Kind::Connection);
    let not_ready = "SASL OAUTHBEARER mechanism handshake failed: Broker: Request not valid in current SASL state";
    assert_eq!(kind(RDKafkaErrorCode::Authentication, not_ready), Kind::Connection);
    let refused = "SASL authentication error: Authentication failed: Invalid username or password";
    assert_eq!(kind(RDKafkaErrorCode::Authentication, refused), Kind::Refused);
}
