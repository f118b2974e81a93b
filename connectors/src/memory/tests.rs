#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::conformance::{Fixture, Item};

#[tokio::test]
async fn keeps_the_promises_of_a_source() {
    let make = || MemorySource::new(vec![vec!["a", "", "ccc"], vec![], vec!["d"]]).with_header(*b"x,y");
    let expected = vec![
        ("0".to_owned(), vec![Item::record("a", 0), Item::record("", 1), Item::record("ccc", 2)]),
        ("1".to_owned(), vec![]),
        ("2".to_owned(), vec![Item::record("d", 0)]),
    ];
    let mut fixture = Fixture::new(move || Box::new(make()), expected.clone());
    fixture.header = Some(b"x,y");
    fixture.run().await;
    let mut fixture = Fixture::new(move || Box::new(make().endless()), expected);
    fixture.header = Some(b"x,y");
    fixture.run().await;
}

#[tokio::test]
async fn tells_what_was_acknowledged() {
    let source = MemorySource::new(vec![vec!["a"]]);
    let split = SplitId::new("0");
    let mut reader = source.open(&split, None).await.unwrap();
    assert_eq!(source.acknowledged(&split), None);
    reader.acknowledge(&reader.position()).await.unwrap();
    assert_eq!(source.acknowledged(&split), Some(Position(json!({ "record": 0 }))));
}
