#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::kinesis::tests::pack;

#[test]
fn an_aggregate_opens_into_records_with_keys_of_their_own() {
    let aggregate =
        unpack(&pack(&[("a", b"one".as_slice()), ("b", b"".as_slice()), ("a", b"three".as_slice())])).unwrap();
    let records: Vec<_> =
        aggregate.records.iter().map(|packed| (aggregate.key(packed), packed.data.to_vec())).collect();
    assert_eq!(records, [("a", b"one".to_vec()), ("b", Vec::new()), ("a", b"three".to_vec())]);
}

/// Made by aws_kinesis_agg 1.2.3, of keys that repeat.
const FOREIGN: &[u8] =
    b"\xf3\x89\x9a\xc2\x0a\x05alpha\x0a\x04beta\x1a\x07\x08\x00\x1a\x03one\x1a\x07\x08\x01\x1a\x03two\
    \x1a\x09\x08\x00\x1a\x05three\x42\x04\xf8\x37\x4a\x68\xae\xbb\x42\xc2\x29\x39\xc8\x69\x30\xa7";

#[test]
fn aggregates_of_another_producer_open() {
    let aggregate = unpack(FOREIGN).unwrap();
    let records: Vec<_> = aggregate.records.iter().map(|packed| (aggregate.key(packed), &packed.data[..])).collect();
    assert_eq!(records, [("alpha", &b"one"[..]), ("beta", b"two"), ("alpha", b"three")]);
}

#[test]
fn what_only_looks_like_an_aggregate_is_a_plain_record() {
    let good = pack(&[("a", b"one".as_slice()), ("b", b"two".as_slice())]);
    // Every byte belongs to the magic, the message or its digest.
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(unpack(&bad).is_none(), "byte {at} changed");
        assert!(unpack(&good[..at]).is_none(), "cut at {at}");
    }
    let digest = |message: &[u8]| [&MAGIC, message, Md5::digest(message).as_slice()].concat();
    assert!(unpack(&digest(b"\xff\xff")).is_none(), "no protobuf");
    let stray = Aggregate {
        partition_keys: vec!["only".to_string()],
        explicit_hash_keys: Vec::new(),
        records: vec![Packed { partition_key: 1, explicit_hash_key: None, data: Bytes::new() }],
    };
    assert!(unpack(&digest(&stray.encode_to_vec())).is_none(), "a key beyond the table");
    assert!(unpack(&digest(b"")).unwrap().records.is_empty());
}
