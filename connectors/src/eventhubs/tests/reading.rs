//! What comes out of the double, and where a reader stands.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use serde_json::json;
use watershed_eventhubs_double::Double;

use super::{double, items, limits, payload, read_through, read_to_end, source, write};
use crate::conformance::{Fixture, items_of};
use crate::eventhubs::METADATA;
use crate::metadata::Wanted;
use crate::records::Records;
use crate::source::{Lag, Position, ReadStatus, Source, SplitId};

#[tokio::test(flavor = "multi_thread")]
async fn keeps_what_every_source_promises() {
    let (double, endpoint) = double(3, 12).await;
    double.hub().forget(2, 5);
    let expected = vec![
        ("0".to_string(), items(0, 0..12)),
        ("1".to_string(), items(1, 0..12)),
        ("2".to_string(), items(2, 5..12)),
    ];
    // With an owner level a new reader need not wait until the one before it has taken its leave.
    let make = move || Box::new(Shared(source(&endpoint, json!({ "owner_level": 0 })))) as Box<dyn Source>;
    Fixture::new(make, expected).run().await;
}

/// The suite owns its sources.
#[derive(Debug)]
struct Shared(Arc<super::EventHubsSource>);

#[async_trait::async_trait]
impl Source for Shared {
    fn restore(&self, known: &[(SplitId, crate::source::Known)]) {
        self.0.restore(known);
    }

    async fn splits(&self) -> Result<Vec<SplitId>, crate::SourceError> {
        self.0.splits().await
    }

    async fn open(
        &self,
        split: &SplitId,
        from: Option<&Position>,
    ) -> Result<Box<dyn crate::source::Reader>, crate::SourceError> {
        self.0.open(split, from).await
    }

    fn bounded(&self) -> bool {
        self.0.bounded()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_begins_behind_what_there_was_even_if_nothing_came_before_it_was_opened_again() {
    let (double, endpoint) = double(1, 5).await;
    let source = source(&endpoint, json!({ "start": "latest" }));
    source.splits().await.unwrap();
    let reader = source.open(&SplitId::new("0"), None).await.unwrap();
    let pinned = reader.position();
    assert_eq!(pinned.0, json!({ "sequence": 4 }));
    drop(reader);
    write(&double, 0, 5..8);
    let (read, position) = read_through(&*source, "0", Some(pinned), 3).await;
    assert_eq!(read, items(0, 5..8));
    assert_eq!(position.0, json!({ "sequence": 7, "offset": "448" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_begins_at_the_first_event_that_came_then() {
    let (double, endpoint) = double(1, 5).await;
    // Enqueued times are whole milliseconds, so that the moment has to be a later one.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let moment = chrono::Utc::now().to_rfc3339();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let source = source(&endpoint, json!({ "start": moment }));
    source.splits().await.unwrap();
    let mut reader = source.open(&SplitId::new("0"), None).await.unwrap();
    assert!(read_to_end(&mut *reader).await.is_empty());
    write(&double, 0, 5..7);
    let (read, _) = read_through(&*source, "0", Some(reader.position()), 2).await;
    assert_eq!(read, items(0, 5..7));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_beside_an_event_comes_as_columns() {
    let (double, endpoint) = double(1, 0).await;
    double.hub().write(0, "a", Some("key"), &[("trace", "7")]);
    double.hub().write(0, "b", None, &[]);
    let source = source(&endpoint, json!({}));
    let names = METADATA.iter().map(|field| field.name);
    source.describe(Wanted::pick(METADATA, names));
    source.splits().await.unwrap();
    let mut reader = source.open(&SplitId::new("0"), None).await.unwrap();
    let mut records = Records::default();
    while records.len() < 2 {
        reader.read(&mut records, limits()).await.unwrap();
    }
    let columns = records.described();
    assert_eq!(columns[0].as_string_view().iter().flatten().collect::<Vec<_>>(), ["0", "0"]);
    assert_eq!(columns[1].as_string_view().iter().flatten().collect::<Vec<_>>(), ["0", "64"]);
    assert_eq!(columns[2].as_primitive::<Int64Type>().values().to_vec(), [0, 1]);
    assert_eq!(columns[3].as_string_view().iter().collect::<Vec<_>>(), [Some("key"), None]);
    let hour_ago = chrono::Utc::now().timestamp_micros() - 3_600_000_000;
    assert!(columns[4].as_primitive::<TimestampMicrosecondType>().values().iter().all(|at| *at > hour_ago));
    let headers = columns[5].as_map();
    assert_eq!((headers.value_length(0), headers.value_length(1)), (1, 0));
    assert_eq!(headers.keys().as_string::<i32>().value(0), "trace");
    assert_eq!(headers.values().as_string_view().value(0), "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_partitions_are_found_and_read_from_their_first_event() {
    let (double, endpoint) = double(2, 3).await;
    let source = source(&endpoint, json!({ "start": "latest", "refresh": "50ms" }));
    assert_eq!(source.splits().await.unwrap().len(), 2);
    double.hub().grow(2);
    write(&double, 3, 0..4);
    while source.splits().await.unwrap().len() < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (read, _) = read_through(&*source, "3", None, 4).await;
    assert_eq!(read, items(3, 0..4));
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_what_is_left() {
    let (double, endpoint) = double(1, 10).await;
    let source = source(&endpoint, json!({}));
    source.splits().await.unwrap();
    let mut reader = source.open(&SplitId::new("0"), None).await.unwrap();
    assert_eq!(reader.lag().records, Some(10));
    read_to_end(&mut *reader).await;
    assert_eq!(reader.lag(), Lag { records: Some(0), behind: Some(Duration::ZERO) });
    drop(double);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_not_taken_for_the_end() {
    let (double, endpoint) = double(1, 1).await;
    let source = source(&endpoint, json!({}));
    source.splits().await.unwrap();
    double.hub().silence(0, true);
    let mut reader = source.open(&SplitId::new("0"), None).await.unwrap();
    let mut records = Records::default();
    assert_eq!(reader.read(&mut records, limits()).await.unwrap(), ReadStatus::More);
    assert!(records.is_empty());
    double.hub().silence(0, false);
    assert_eq!(read_to_end(&mut *reader).await, items(0, 0..1));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_retention_dropped_are_passed_over() {
    let (double, endpoint) = double(1, 10).await;
    let source = source(&endpoint, json!({}));
    source.splits().await.unwrap();
    let (_, position) = read_through(&*source, "0", None, 10).await;
    write(&double, 0, 10..20);
    double.hub().forget(0, 15);
    let (read, _) = read_through(&*source, "0", Some(position), 5).await;
    assert_eq!(read, items(0, 15..20));
}

/// Nothing is waited for that will never come: a partition of which retention left nothing is at its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_retention_emptied_is_at_its_end() {
    let (double, endpoint) = double(1, 10).await;
    let source = source(&endpoint, json!({}));
    source.splits().await.unwrap();
    let (_, position) = read_through(&*source, "0", None, 10).await;
    write(&double, 0, 10..20);
    double.hub().forget(0, 20);
    let mut reader = source.open(&SplitId::new("0"), Some(&position)).await.unwrap();
    assert!(read_to_end(&mut *reader).await.is_empty());
    assert_eq!(reader.lag().records, Some(0));
    // Longer than a receiver may sit on events.
    let quiet = std::time::Instant::now();
    while quiet.elapsed() < Duration::from_secs(1) {
        reader.read(&mut Records::default(), limits()).await.unwrap();
    }
    write(&double, 0, 20..22);
    let (read, _) = read_through(&*source, "0", Some(reader.position()), 2).await;
    assert_eq!(read, items(0, 20..22));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_was_made_anew_is_not_read_on() {
    let (_double, endpoint) = double(1, 3).await;
    let source = source(&endpoint, json!({}));
    source.splits().await.unwrap();
    let beyond = Position(json!({ "sequence": 3, "offset": "192" }));
    let refused = source.open(&SplitId::new("0"), Some(&beyond)).await.err().unwrap().to_string();
    assert!(refused.contains("--reset-state"), "{refused}");
    let foreign = Position(json!({ "offset": 3 }));
    assert!(matches!(source.open(&SplitId::new("0"), Some(&foreign)).await, Err(crate::SourceError::Config { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_bytes_are_set_aside() {
    let (double, endpoint) = double(1, 0).await;
    double.hub().write(0, Vec::new(), None, &[]);
    double.hub().write(0, payload(0, 1), None, &[]);
    let source = source(&endpoint, json!({}));
    source.splits().await.unwrap();
    let mut reader = source.open(&SplitId::new("0"), None).await.unwrap();
    let mut records = Records::default();
    while records.count() < 2 {
        reader.read(&mut records, limits()).await.unwrap();
    }
    assert_eq!(items_of(&records).len(), 2);
    assert_eq!(records.payload(0), b"");
}

/// A double that is used by nobody can be dropped.
#[tokio::test]
async fn a_double_lets_go_of_its_address() {
    let double = Double::start("127.0.0.1:0", 1).await.unwrap();
    let (address, hub) = (double.address(), double.hub().clone());
    drop(double);
    while Double::serve(address, hub.clone()).await.is_err() {
        tokio::task::yield_now().await;
    }
}
