//! Many records at once: order, framing, sizes, hostile shapes.

use super::*;

fn bad(decoded: &Decoded) -> Vec<usize> {
    decoded.bad.iter().map(|b| b.index).collect()
}

#[test]
fn good_and_bad_records_keep_their_order() {
    let schema = schema(&[("n", "bigint"), ("s", "string")]);
    let payloads: Vec<String> = (0..1000)
        .map(|i| match i % 7 {
            3 => format!("{{\"n\":\"{i}\",\"s\":\"x\"}}"),
            5 => format!("{{\"n\":{i},\"s\":"),
            6 => format!("{{\"s\":\"a longer text for {i}\\n\",\"n\":{i}}}"),
            _ => format!("{{\"n\":{i},\"s\":\"text {i}\"}}"),
        })
        .collect();
    let decoded = decode_json(&schema, &all(&schema), &payloads);
    assert_eq!(bad(&decoded), (0..1000).filter(|i| matches!(i % 7, 3 | 5)).collect::<Vec<_>>());
    let good: Vec<i64> = (0..1000).filter(|i| !matches!(i % 7, 3 | 5)).collect();
    assert_eq!(decoded.batch.column(0).as_primitive::<Int64Type>().values(), good.as_slice());
    assert_eq!(rows(&decoded.batch)[4], "6|a longer text for 6\n");
}

#[test]
fn two_halves_never_make_a_whole() {
    let schema = schema(&[("a", "string"), ("b", "boolean")]);
    let halves = ["{\"a\":\"x\",", "\"b\":true}"];
    assert_eq!(bad(&decode_json(&schema, &all(&schema), &halves)), [0, 1]);
    let inside_a_string = ["{\"a\":\"x", "y\",\"b\":true}"];
    assert_eq!(bad(&decode_json(&schema, &all(&schema), &inside_a_string)), [0, 1]);
    let after_a_good_one = ["{\"a\":\"x\",\"b\":true}", "{\"a\":\"x\",", "{\"a\":\"x\",\"b\":true}"];
    assert_eq!(bad(&decode_json(&schema, &all(&schema), &after_a_good_one)), [1]);
    let two_in_one = ["{\"a\":\"x\"}{\"a\":\"y\"}", "{\"a\":\"x\"} {\"a\":\"y\"}", ""];
    assert_eq!(bad(&decode_json(&schema, &all(&schema), &two_in_one)), [0, 1, 2]);
}

#[test]
fn invalid_utf8_is_bad_and_its_neighbours_are_not() {
    let schema = schema(&[("s", "string")]);
    let payloads: [&[u8]; 5] = [
        "{\"s\":\"größe and some more\"}".as_bytes(),
        b"{\"s\":\"\xff\"}",
        b"{\"s\":\"cut \xf0\x9f\x92",
        b"\xa7 tail\"}",
        "{\"s\":\"💧 and some more\"}".as_bytes(),
    ];
    let decoded = decode_json(&schema, &[0], &payloads);
    assert_eq!(rows(&decoded.batch), ["größe and some more", "💧 and some more"]);
    assert_eq!(bad(&decoded), [1, 2, 3]);
    assert_eq!(decoded.bad[0].reason, "invalid UTF-8 at byte 6");
    assert_eq!(bad(&decode_json(&schema, &[], &payloads)), [1, 2, 3]);
}

#[test]
fn nesting_ends_at_128_levels() {
    let schema = schema(&[("a", "json"), ("b", "bigint")]);
    let nested = |levels: usize| format!("{{\"a\":{}{},\"b\":1}}", "[".repeat(levels), "]".repeat(levels));
    let objects = |levels: usize| format!("{{\"z\":{}1{},\"b\":1}}", "{\"k\":".repeat(levels), "}".repeat(levels));
    let open = "[".repeat(1_000_000);
    let payloads =
        [nested(127), nested(128), objects(127), objects(128), nested(100_000), open, "{\"a\":".repeat(100_000)];
    let decoded = decode_json(&schema, &[0, 1], &payloads);
    assert_eq!(bad(&decoded), [1, 3, 4, 5, 6]);
    for bad in &decoded.bad {
        assert!(bad.reason.ends_with("nested deeper than 128 levels"), "{}", bad.reason);
    }
}

#[test]
fn a_string_of_a_megabyte() {
    let schema = schema(&[("s", "string"), ("n", "bigint")]);
    let long = "0123456789abcdef".repeat(1 << 16);
    let payloads = [
        format!("{{\"s\":\"{long}\",\"n\":1}}"),
        format!("{{\"s\":\"{long}\\n\",\"n\":2}}"),
        format!("{{\"s\":\"{long}"),
    ];
    let decoded = decode_json(&schema, &[0, 1], &payloads);
    assert_eq!(bad(&decoded), [2]);
    let strings = decoded.batch.column(0).as_string_view();
    assert_eq!(strings.value(0), long);
    assert_eq!(strings.value(1), long.clone() + "\n");
    assert_eq!(strings.data_buffers().len(), 1);
}

#[test]
fn a_decoder_is_as_good_as_new_after_any_chunk() {
    let schema = schema(&[("s", "string"), ("l", "list<bigint>"), ("m", "map<string, struct<x: bytes>>")]);
    let mut decoder = super::super::json::fast(&schema, &[0, 1, 2]).unwrap();
    let good = records(&["{\"s\":\"twelve and more bytes\",\"l\":[1,2],\"m\":{\"k\":{\"x\":\"AAEC\"}}}"]);
    let broken = records(&[
        "{\"s\":\"\\u0041\",\"l\":[1,\"x\"],\"m\":{\"k\":{\"x\":\"AAEC\"}}}",
        "{\"m\":{\"k\":{\"x\":\"AAEC\"},\"l\":[1]}",
        "{\"s\":1}",
    ]);
    let first = decoder.decode(&good);
    assert_eq!(decoder.decode(&broken).batch.num_rows(), 0);
    assert_eq!(decoder.decode(&records::<&str>(&[])).batch.num_rows(), 0);
    assert_same(&decoder.decode(&good), &first, "again");
    assert_eq!(rows(&first.batch), ["twelve and more bytes|[1,2]|<k={x:000102}>"]);
}

#[test]
fn keys_in_any_order_and_any_number() {
    let schema = schema(&[("a", "bigint"), ("b", "string"), ("c", "double")]);
    let orders = [
        "{\"a\":1,\"b\":\"x\",\"c\":0.5}",
        "{\"c\":0.5,\"b\":\"x\",\"a\":1}",
        "{ \"b\": \"x\", \"a\": 1, \"c\": 0.5 }",
        "{\"b\":\"x\",\"q\":[1],\"c\":0.5,\"a\":1}",
        "{\"a\":1,\"c\":0.5,\"b\":\"x\",\"r\":null}",
    ];
    let payloads: Vec<&str> = orders.iter().cycle().take(500).copied().collect();
    let decoded = decode_json(&schema, &[0, 1, 2], &payloads);
    assert!(rows(&decoded.batch).iter().all(|row| row == "1|x|0.5"));
    // More distinct keys than are remembered, some of them absurdly long.
    let many: Vec<String> =
        (0..3000).map(|i| format!("{{\"key{i}{}\":{i},\"a\":{i},\"k{i}\":\"\"}}", "y".repeat(i % 400))).collect();
    let decoded = decode_json(&schema, &[0], &many);
    assert_eq!(decoded.batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>(), 2999 * 1500);
}

/// The opening of a record, once learned, must not be taken for a way between two values.
#[test]
fn a_record_does_not_open_twice() {
    let schema = schema(&[("a", "bigint"), ("b", "bigint")]);
    let payloads = ["{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", "{\"b\":2{\"a\":1}", ",\"a\":1}", ",\"a\":1,\"b\":2}"];
    assert_eq!(bad(&decode_json(&schema, &[0, 1], &payloads)), [2, 3, 4]);
}
