//! What is decided without a service: options, positions, when a receiver is dead, what an error means.

use std::time::Duration;

use azure_core_amqp::error::{AmqpErrorCondition, AmqpErrorKind};
use azure_core_amqp::{AmqpDescribedError, AmqpError};
use azure_messaging_eventhubs::error::ErrorKind;
use azure_messaging_eventhubs::{EventHubsError, StartLocation, StartPosition};
use serde_json::{Value, json};
use watershed_clients::azure::Trouble;

use super::options;
use crate::eventhubs::failure::{trouble, words};
use crate::eventhubs::look::{Seen, is_due, is_fresh, is_stalled, pause};
use crate::eventhubs::mirror::prefix;
use crate::eventhubs::patience::Patience;
use crate::eventhubs::place::{Extent, Place};
use crate::eventhubs::settings::Settings;
use crate::start::Start;

const ENDPOINT: &str = "amqp://127.0.0.1:5672";

#[test]
fn options_that_make_no_sense_together_are_refused_by_their_keys() {
    let entity = format!("{};EntityPath=other", super::connection_string("all"));
    let application = json!({ "tenant_id": "t", "client_id": "c", "client_secret": "s" });
    let table = [
        (json!({ "connection_string": "key" }), "`connection_string`"),
        (json!({ "connection_string": entity }), "`hub`"),
        (json!({ "namespace": "elsewhere.servicebus.windows.net" }), "`namespace`"),
        (json!({ "connection_string": null }), "`namespace`"),
        (json!({ "connection_string": null, "namespace": "a.b:9093" }), "`namespace`"),
        (json!({ "client_secret": application }), "`client_secret`"),
        (json!({ "connection_string": null, "namespace": "a.b", "client_secret": application }), "`endpoint`"),
        (json!({ "connection_string": null, "namespace": "a.b" }), "`endpoint`"),
        (json!({ "hub": "a/b" }), "`hub`"),
        (json!({ "consumer_group": "" }), "`consumer_group`"),
        (json!({ "prefetch": 0 }), "`prefetch`"),
        (json!({ "owner_level": -1 }), "`owner_level`"),
        (json!({ "refresh": "0s" }), "`refresh`"),
        (json!({ "tls": { "ca": "ca.pem" } }), "SSL_CERT_FILE"),
        (json!({ "endpoint": "127.0.0.1" }), "`endpoint`"),
        (json!({ "endpoint": "https://127.0.0.1" }), "`endpoint`"),
    ];
    for (more, key) in table {
        let error = Settings::new(&options(ENDPOINT, more.clone())).unwrap_err().to_string();
        assert!(error.contains(key), "{more}: {error}");
        assert!(!error.contains("c2VjcmV0"), "{more}: {error}");
    }
}

#[test]
fn positions_are_read_as_they_were_written() {
    let behind = |sequence, offset: Option<&str>| Place::Behind { sequence, offset: offset.map(ToString::to_string) };
    let at = |location, inclusive| StartPosition { location, inclusive };
    let table: [(Place, Value, StartPosition); 4] = [
        (
            behind(7, Some("448")),
            json!({ "sequence": 7, "offset": "448" }),
            at(StartLocation::SequenceNumber(7), false),
        ),
        (behind(0, None), json!({ "sequence": 0 }), at(StartLocation::SequenceNumber(0), false)),
        (behind(-1, None), json!({ "sequence": -1 }), at(StartLocation::Earliest, false)),
        (
            Place::At { enqueued: 1500 },
            json!({ "enqueued": 1500 }),
            at(StartLocation::EnqueuedTime(std::time::UNIX_EPOCH + Duration::from_millis(1500)), true),
        ),
    ];
    for (place, written, start) in table {
        assert_eq!(place.position().0, written);
        assert_eq!(Place::restore(&crate::SplitId::new("0"), &place.position()).unwrap(), place);
        assert_eq!(place.start(), start);
    }
}

#[test]
fn places_know_what_lies_before_and_behind_them() {
    let extent = Extent { begin: 10, last: 19, enqueued: Some(5000) };
    let behind = |sequence| Place::Behind { sequence, offset: None };
    assert_eq!(Place::of(Start::Earliest, extent), behind(9));
    assert_eq!(Place::of(Start::Latest, extent), behind(19));
    let moment = |micros| Start::At(chrono::DateTime::from_timestamp_micros(micros).unwrap());
    assert_eq!(Place::of(moment(2_000_000), extent), Place::At { enqueued: 2000 });
    assert_eq!(Place::of(moment(2_000_001), extent), Place::At { enqueued: 2001 });
    assert_eq!(Place::of(moment(-1), extent), Place::At { enqueued: 0 });

    let table = [
        (4, 9, 5, Some(15), false, false),
        (9, 9, 0, Some(10), false, false),
        (19, 19, 0, Some(0), true, false),
        // Newer than the look, or of another hub.
        (20, 20, 0, Some(0), false, true),
    ];
    for (sequence, among, expired, lag, end, beyond) in table {
        let place = behind(sequence);
        assert_eq!(
            (place.lag(extent), place.is_at_end(extent), place.is_beyond(extent)),
            (lag, end, beyond),
            "{sequence}"
        );
        assert_eq!(place.among(extent), (behind(among), expired), "{sequence}");
    }
    let empty = Extent { begin: 20, last: 19, enqueued: None };
    assert_eq!(behind(4).among(empty), (behind(19), 15));
    assert!(behind(19).is_at_end(empty));
    assert_eq!(Place::At { enqueued: 5 }.among(empty), (Place::At { enqueued: 5 }, 0));
    assert_eq!(Place::At { enqueued: 5000 }.lag(extent), None);
    assert_eq!(Place::At { enqueued: 5001 }.lag(extent), Some(0));
    assert_eq!(Place::At { enqueued: 0 }.lag(Extent { enqueued: None, ..extent }), Some(0));
}

#[test]
fn a_receiver_is_dead_if_it_sits_on_events_while_there_is_room() {
    let patience = Patience::default();
    let dead = Seen { last: 9, received: 8, silent_for: patience.stall, full: false };
    assert!(is_stalled(&patience, dead));
    assert!(!is_stalled(&patience, Seen { received: 9, ..dead }));
    assert!(!is_stalled(&patience, Seen { full: true, ..dead }));
    assert!(!is_stalled(&patience, Seen { silent_for: patience.stall / 2, ..dead }));
}

#[test]
fn an_answer_grows_old_and_is_asked_for_anew() {
    let second = Duration::from_secs(1);
    assert!(is_fresh(second, second * 2) && !is_fresh(second, second * 3));
    assert!(!is_due(second, second / 2, second * 4), "events come, and there was a look");
    assert!(is_due(second, second, second), "nothing comes");
    assert!(is_due(second, second / 2, second * 5), "events come, and there was no look for long");
}

#[test]
fn many_partitions_are_looked_at_less_often() {
    let patience = Patience::default();
    let seconds = |partitions| pause(&patience, partitions).as_secs();
    assert_eq!((seconds(1), seconds(20), seconds(2000)), (1, 1, 100));
}

#[test]
fn errors_of_the_client_are_looked_into() {
    let described = AmqpDescribedError::new(AmqpErrorCondition::NotFound, Some("why".to_string()), Default::default());
    let amqp = AmqpError::from(AmqpErrorKind::AmqpDescribedError(described));
    let error = EventHubsError::from(ErrorKind::AmqpError(amqp));
    assert_eq!(trouble(&error), Trouble::NotFound);
    assert_eq!(words(&error), "amqp:not-found: why");
    assert_eq!(trouble(&EventHubsError::from(ErrorKind::ConsumerDisconnected(None))), Trouble::Stolen);
    let credential = azure_core::Error::with_message(azure_core::error::ErrorKind::Credential, "AADSTS7000215: no");
    assert_eq!(trouble(&EventHubsError::from(credential)), Trouble::Denied);
}

#[test]
fn checkpoints_are_mirrored_in_the_layout_of_microsofts_clients() {
    let settings = Settings::new(&options(ENDPOINT, json!({ "hub": "Orders" }))).unwrap();
    assert_eq!(prefix(&settings), "double.servicebus.windows.net/orders/$default/checkpoint");
}

#[cfg(feature = "kafka")]
#[test]
fn the_kafka_endpoint_is_read_with_the_options_of_a_topic() {
    use crate::stream::StreamOptions;

    let kafka = |more: Value| {
        let mut all = json!({ "protocol": "kafka", "endpoint": null });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options(ENDPOINT, all)
    };
    let options = kafka(json!({ "start": "2026-03-01T00:00:00Z" }));
    let made = format!("{:?}", crate::eventhubs::kafka::options(&options).unwrap());
    for part in
        ["double.servicebus.windows.net:9093", "topic: Some(\"hub\")", "$ConnectionString", "2026-03-01T00:00:00Z"]
    {
        assert!(made.contains(part), "{part} is not in {made}");
    }
    assert!(!made.contains("c2VjcmV0"), "{made}");
    assert_eq!(options.identity(), "eventhubs double.servicebus.windows.net/hub by kafka");
    assert!(options.metadata().iter().any(|field| field.name == "_topic"));
    let application = json!({ "tenant_id": "t", "client_id": "c", "client_secret": "marked" });
    let options = kafka(json!({ "connection_string": null, "namespace": "a.b", "client_secret": application }));
    let made = format!("{:?}", crate::eventhubs::kafka::options(&options).unwrap());
    assert!(made.contains("https://a.b/.default") && !made.contains("marked"), "{made}");
    let table = [
        (json!({ "owner_level": 1 }), "`owner_level`"),
        (json!({ "checkpoint_store": { "url": "az://c" } }), "`checkpoint_store`"),
        (json!({ "connection_string": null, "namespace": "a.b" }), "`connection_string`"),
    ];
    for (more, key) in table {
        let error = crate::eventhubs::kafka::options(&kafka(more)).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}
