//! What is decided without a hub: options, and which events go at once.

use azure_core_amqp::message::AmqpMessageBody;

use super::options;
use crate::conformance::context;
use crate::eventhubs::event::{Batches, Group, groups};
use crate::messages::{Message, MessageOptions};

fn message(key: Option<&str>, value: &str) -> Message {
    Message(key.map(str::to_owned), value.to_owned())
}

#[test]
fn options_are_refused_by_their_keys() {
    let key = "connection_string = \"Endpoint=sb://a.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0\"";
    let table = [
        ("hub = \"orders\"".to_owned(), "`namespace` is missing"),
        (format!("hub = \"a/b\"\n{key}"), "`hub` \"a/b\" is no name"),
        (format!("hub = \"orders\"\n{key}\nmax_epoch_bytes = 0"), "`max_epoch_bytes` cannot be zero"),
        (format!("hub = \"orders\"\n{key}\nkey = \"nam\""), "`key` names \"nam\", which is no column"),
        ("hub = \"orders\"\nconnection_string = \"c2VjcmV0\"".to_owned(), "`connection_string` is none"),
        ("hub = \"orders\"\nnamespace = \"a.b\"\nendpoint = \"amqp://c\"".to_owned(), "`endpoint` is not encrypted"),
    ];
    for (text, expected) in table {
        let error = options(&text).unwrap().check(&context("orders")).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("c2VjcmV0"), "{text}: {error}");
    }
    let found = options(&format!("hub = \"orders\"\n{key}\nendpoint = \"amqps://b:5671\"")).unwrap();
    found.check(&context("orders")).unwrap();
    assert_eq!(found.hosts(), ["b", "a.servicebus.windows.net"]);
    assert!(!format!("{found:?}").contains("c2VjcmV0"));
}

#[test]
fn rows_of_one_key_go_together_in_their_order() {
    let messages = [
        message(Some("b"), "0"),
        message(None, "1"),
        message(Some("a"), "2"),
        message(Some("b"), "3"),
        message(Some(""), "4"),
    ];
    let group = |key, rows: &[usize]| Group { key, rows: rows.to_vec() };
    let all = groups(&messages, |_| true).unwrap();
    assert_eq!(all, [group(Some("b"), &[0, 3]), group(None, &[1, 4]), group(Some("a"), &[2])]);
    assert_eq!(groups(&messages, |row| row > 2).unwrap(), [group(Some("b"), &[3]), group(None, &[4])]);
    let long = [message(Some(&"ä".repeat(128)), "0"), message(Some(&"ä".repeat(129)), "1")];
    assert!(groups(&long[..1], |_| true).is_ok());
    let error = groups(&long, |_| true).unwrap_err().to_string();
    assert!(error.contains("at most 128 characters") && error.contains("choose another column"), "{error}");
}

#[test]
fn batches_are_no_larger_than_the_hub_takes() {
    let messages: Vec<Message> = (0..20).map(|row| message(Some("k"), &"x".repeat(row * 10))).collect();
    let group = Group { key: Some("k"), rows: (0..20).collect() };
    let cut = |limit| -> Result<Vec<Vec<usize>>, String> {
        let batches = Batches::new(&messages, "eu/orders/hub/1", &group, limit);
        batches
            .map(|batch| {
                let batch = batch.map_err(|error| error.to_string())?;
                let bytes = azure_core_amqp::AmqpMessage::serialize(&batch.message).unwrap().len();
                assert!(bytes <= limit, "{bytes} > {limit}");
                Ok(batch.rows)
            })
            .collect()
    };
    assert_eq!(cut(usize::MAX).unwrap(), [(0..20).collect::<Vec<_>>()]);
    let batches = cut(1_000).unwrap();
    assert!(batches.len() > 3 && batches.concat() == (0..20).collect::<Vec<_>>(), "{batches:?}");
    let largest = (300..2_000).find(|limit| cut(*limit).is_ok()).unwrap();
    assert_eq!(cut(largest).unwrap().last().unwrap(), &[19]);
    let error = cut(largest - 1).unwrap_err();
    assert!(error.contains("a row is larger than is taken"), "{error}");
}

#[test]
fn an_event_is_the_same_bytes_however_batches_are_cut() {
    let messages = [message(None, "a"), message(None, "b"), message(None, "a")];
    let events = |limit| -> (usize, Vec<Vec<u8>>) {
        let group = Group { key: None, rows: vec![0, 1, 2] };
        let batches: Vec<_> = Batches::new(&messages, "eu/orders/hub/1", &group, limit).map(Result::unwrap).collect();
        let bodies = batches.iter().flat_map(|batch| match &batch.message.body {
            AmqpMessageBody::Binary(events) => events.clone(),
            other => panic!("{other:?}"),
        });
        (batches.len(), bodies.collect())
    };
    let ((one, together), (three, apart)) = (events(10_000), events(200));
    assert_eq!((one, three), (1, 3));
    assert_eq!(together, apart);
    assert!(together[0] != together[2], "rows that are alike have ids of their own");
}
