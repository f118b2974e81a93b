//! What comes again and what does not, and what comes with it.

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;

use super::*;

/// Half is acknowledged, then the process ends: the other half comes again, and at once.
async fn a_restart_brings_what_was_not_acknowledged(orders: Orders) {
    orders.publish_numbers(0..20).await;
    let source = orders.source();
    let mut reader = open(&*source, None).await;
    let all = read_some(&mut *reader, 20).await;
    assert_eq!(set(&all).len(), 20);
    let half = Position(json!({ "delivered": 10 }));
    reader.acknowledge(&half).await.unwrap();
    reader.acknowledge(&half).await.unwrap();
    drop(reader);
    source.close().await;

    let source = orders.source();
    let mut reader = open(&*source, Some(&half)).await;
    assert_eq!(reader.position(), half);
    let rest = read_all(&mut *reader).await;
    assert_eq!(set(&rest), numbers(&all)[10..].iter().copied().collect());
    assert_eq!(rest.position(0), 10, "the count goes on");
    reader.acknowledge(&reader.position()).await.unwrap();
    drop(reader);
    source.close().await;

    let source = orders.source();
    let mut reader = open(&*source, None).await;
    assert!(read_all(&mut *reader).await.is_empty(), "everything was acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub -- cargo test … --ignored"]
async fn a_restart_brings_the_rest_on_googles_fake() {
    a_restart_brings_what_was_not_acknowledged(Service::true_one().orders().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub-load -- cargo test … --ignored"]
async fn a_restart_brings_the_rest_on_the_fast_server() {
    a_restart_brings_what_was_not_acknowledged(Service::fast_one().orders().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub -- cargo test … --ignored"]
async fn a_restart_brings_the_rest_with_exactly_once_delivery() {
    let service = Service::true_one();
    let orders = service.orders_with(|subscription| subscription.set_enable_exactly_once_delivery(true)).await;
    a_restart_brings_what_was_not_acknowledged(orders).await;
}

/// Every stream gets its part, none gets another's.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub-load -- cargo test … --ignored"]
async fn streams_share_a_subscription() {
    let orders = Service::fast_one().orders().await;
    let source = orders.source_with(json!({ "streams": 3 }));
    let splits = source.splits().await.unwrap();
    let mut readers = Vec::new();
    for split in &splits {
        readers.push(source.open(split, None).await.unwrap());
    }
    orders.publish_numbers(0..3000).await;
    let mut records: Vec<Records> = readers.iter().map(|_| Records::default()).collect();
    let reading = async {
        while records.iter().map(Records::len).sum::<usize>() < 3000 {
            for (reader, records) in readers.iter_mut().zip(&mut records) {
                read(&mut **reader, records).await.unwrap();
            }
        }
    };
    tokio::time::timeout(LONGEST, reading).await.expect("everything comes");
    let all: BTreeSet<usize> = records.iter().flat_map(set).collect();
    assert_eq!(all.len(), 3000);
    assert_eq!(splits.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub -- cargo test … --ignored"]
async fn a_message_comes_with_what_it_says() {
    let service = Service::true_one();
    let letters = service.orders().await;
    let policy = DeadLetterPolicy::new().set_dead_letter_topic(letters.topic()).set_max_delivery_attempts(5);
    let shape =
        |subscription: Subscription| subscription.set_enable_message_ordering(true).set_dead_letter_policy(policy);
    let orders = service.orders_with(shape).await;
    let message = Message::new().set_data("1").set_ordering_key("user-1").set_attributes([("country", "DE")]);
    orders.publish([message]).await;
    let source = orders.source();
    let fields = &crate::pubsub::message::METADATA;
    source.describe(Wanted::pick(fields, fields.iter().map(|field| field.name)));
    let mut reader = open(&*source, None).await;
    let described = read_some(&mut *reader, 1).await.described();
    let shown = |column: usize| arrow::util::display::array_value_to_string(&described[column], 0).unwrap();
    assert!(!shown(0).is_empty(), "an id");
    assert_eq!(shown(1), "user-1");
    let hour_ago = chrono::Utc::now().timestamp_micros() - 3_600_000_000;
    assert!(described[2].as_primitive::<TimestampMicrosecondType>().value(0) > hour_ago);
    assert_eq!(shown(3), "{country: DE}");
    assert_eq!(shown(4), "1");
}

/// What was refused five times goes to the dead-letter topic, and says how often it was delivered until then.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub -- cargo test … --ignored"]
async fn what_is_delivered_too_often_is_read_as_a_dead_letter() {
    const ATTEMPTS: i32 = 5;
    let service = Service::true_one();
    let letters = service.orders().await;
    let policy = DeadLetterPolicy::new().set_dead_letter_topic(letters.topic()).set_max_delivery_attempts(ATTEMPTS);
    let orders = service.orders_with(|subscription| subscription.set_dead_letter_policy(policy)).await;
    orders.publish([Message::new().set_data("1").set_attributes([("country", "DE")])]).await;
    let fields = &crate::pubsub::message::METADATA;
    let wanted = || Wanted::pick(fields, ["_headers", "_delivery_attempt"]);
    for attempt in 1..=ATTEMPTS {
        // A run that dies each time before it has committed.
        let source = orders.source();
        source.describe(wanted());
        let mut reader = open(&*source, None).await;
        let described = read_some(&mut *reader, 1).await.described();
        assert_eq!(arrow::util::display::array_value_to_string(&described[1], 0).unwrap(), attempt.to_string());
        drop(reader);
        source.close().await;
    }
    let source = letters.source();
    source.describe(wanted());
    let mut reader = open(&*source, None).await;
    let letter = read_some(&mut *reader, 1).await;
    assert_eq!(numbers(&letter), [1]);
    let shown = arrow::util::display::array_value_to_string(&letter.described()[0], 0).unwrap();
    assert!(shown.contains("country: DE"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub -- cargo test … --ignored"]
async fn an_ordering_key_keeps_its_order() {
    let service = Service::true_one();
    let orders = service.orders_with(|subscription| subscription.set_enable_message_ordering(true)).await;
    let message =
        |number: usize| Message::new().set_data(number.to_string()).set_ordering_key(format!("user-{}", number % 3));
    orders.publish((0..30).map(message)).await;
    let source = orders.source();
    let mut reader = open(&*source, None).await;
    // The fake holds a key's next message back until the one before is acknowledged.
    let mut all = Vec::new();
    while all.len() < 30 {
        all.extend(numbers(&read_some(&mut *reader, 1).await));
        reader.acknowledge(&reader.position()).await.unwrap();
    }
    for key in 0..3 {
        let of_key: Vec<usize> = all.iter().copied().filter(|number| number % 3 == key).collect();
        assert!(of_key.is_sorted(), "key {key}: {of_key:?}");
    }
}

/// `start` leaves out what was published before, and acknowledges it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub-load -- cargo test … --ignored"]
async fn a_later_start_leaves_out_what_was_before() {
    let orders = Service::fast_one().orders().await;
    orders.publish_numbers(0..5).await;
    let source = orders.source_with(json!({ "start": "latest" }));
    let mut reader = open(&*source, None).await;
    orders.publish_numbers(5..8).await;
    let records = read_some(&mut *reader, 3).await;
    assert_eq!((set(&records), records.skipped()), (BTreeSet::from([5, 6, 7]), 5));
    let position = reader.position();
    reader.acknowledge(&position).await.unwrap();
    drop(reader);
    source.close().await;

    // The checkpoint wins over what `start` would come to now.
    orders.publish_numbers(8..9).await;
    let source = orders.source_with(json!({ "start": "latest" }));
    let mut reader = open(&*source, Some(&position)).await;
    assert_eq!(numbers(&read_some(&mut *reader, 1).await), [8]);
}

/// At the limit nothing comes, and that is no end.
async fn flow_control_holds_back(limit: serde_json::Value) {
    let orders = Service::fast_one().orders().await;
    // Two digits each.
    orders.publish_numbers(10..40).await;
    let source = orders.source_with(limit);
    let mut reader = open(&*source, None).await;
    let mut all = BTreeSet::new();
    for _ in 0..3 {
        let records = read_some(&mut *reader, 10).await;
        all.extend(set(&records));
        assert_eq!(records.len(), 10);
        let mut none = Records::default();
        for _ in 0..40 {
            assert_eq!(read(&mut *reader, &mut none).await.unwrap(), ReadStatus::More, "two seconds of silence");
        }
        assert!(none.is_empty());
        reader.acknowledge(&reader.position()).await.unwrap();
    }
    assert_eq!(all.len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub-load -- cargo test … --ignored"]
async fn a_limit_of_messages_is_no_end() {
    flow_control_holds_back(json!({ "max_outstanding_messages": 10 })).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub-load -- cargo test … --ignored"]
async fn a_limit_of_bytes_is_no_end() {
    flow_control_holds_back(json!({ "max_outstanding_bytes": "20B" })).await;
}
