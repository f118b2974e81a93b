//! Bytes that nobody meant: whatever comes in, every record is a row or a bad record, and takes no more than it pays for.

use arrow::datatypes::{Field, Schema};
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};

use super::formats::{known, messages, order_proto};
use super::*;

/// Always the same numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % below.max(1)
    }

    /// A message with some bytes changed, cut, doubled or made up.
    fn spoil(&mut self, message: &[u8]) -> Vec<u8> {
        let mut bytes = message.to_vec();
        for _ in 0..=self.roll(3) {
            let at = self.roll(bytes.len());
            match self.roll(6) {
                0 => bytes.truncate(at),
                1 => bytes.extend_from_within(at..),
                2 if !bytes.is_empty() => bytes[at] = [0xff, 0x80, 0x7f, 0x00][self.roll(4)],
                3 => bytes = (0..self.roll(60)).map(|_| self.roll(256) as u8).collect(),
                _ if !bytes.is_empty() => bytes[at] ^= 1 << self.roll(8),
                _ => {}
            }
        }
        bytes
    }
}

const COLUMNS: [(&str, &str); 12] = [
    ("id", "bigint"),
    ("ts", "timestamp"),
    ("day", "date"),
    ("amount", "decimal(12,2)"),
    ("price", "float"),
    ("country", "string"),
    ("blob", "bytes"),
    ("tags", "list<string>"),
    ("address", "struct<city: string, zip: int>"),
    ("counts", "map<string, bigint>"),
    ("inner", "json"),
    ("unused", "json"),
];

/// Decodes spoiled messages among good ones: these come out as ever.
fn withstands(format: &Format, good: &[Vec<u8>], rounds: usize) {
    let schema = schema(&COLUMNS);
    let mut decoder = decoder(format, &schema, &all(&schema)).unwrap();
    let mut decode = |sent: &Records| match decoder.unpack(sent, &|_| true) {
        Some(unpacked) => (decoder.decode(&unpacked.records), unpacked.records.rejected().len(), true),
        None => (decoder.decode(sent), 0, false),
    };
    let (whole, _, packed) = decode(&records(&good[..1]));
    assert_eq!(whole.bad, []);
    let expected = rows(&whole.batch);
    let mut dice = Dice(7);
    for round in 0..rounds {
        let spoiled: Vec<Vec<u8>> = (0..4).map(|_| dice.spoil(&good[round % good.len()])).collect();
        let mut sent = vec![good[0].clone()];
        sent.extend(spoiled);
        sent.push(good[0].clone());
        let (decoded, rejected, _) = decode(&records(&sent));
        if !packed {
            assert_eq!(decoded.batch.num_rows() + decoded.bad.len(), 6, "round {round}");
        }
        assert!(rejected <= 4 || packed, "round {round}");
        let found = rows(&decoded.batch);
        assert_eq!(found[..expected.len()], expected, "round {round}");
        assert_eq!(found[found.len() - expected.len()..], expected, "round {round}");
    }
}

#[test]
fn avro() {
    let avsc = include_str!("../../../tests/formats/order.avsc");
    withstands(&known(&[avsc]), &messages("orders.bare.messages"), 5000);
    withstands(&known(&[avsc]), &messages("orders.single.messages"), 1000);
}

#[test]
fn protobuf() {
    withstands(&order_proto(), &messages("orders.protobuf.messages"), 5000);
}

#[test]
fn arrow() {
    for stream in ["orders.plain.arrows", "orders.lz4.arrows", "orders.zstd.arrows"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats").join(stream);
        withstands(&Format::Arrow, &[std::fs::read(path).unwrap()], 300);
    }
}

/// Whole numbers of items that are said to follow, with nothing behind them.
#[test]
fn counts_that_nothing_pays_for() {
    let nulls =
        r#"{"type": "record", "name": "R", "fields": [{"name": "tags", "type": {"type": "array", "items": "null"}}]}"#;
    let schema = schema(&[("tags", "list<string>")]);
    let mut decoder = decoder(&known(&[nulls]), &schema, &[0]).unwrap();
    // 2^62 nulls, a string of 2^62 bytes.
    let many = [&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f][..], &[0x00]].concat();
    let decoded = decoder.decode(&records(&[many]));
    assert!(decoded.bad[0].reason.contains("it holds more values than its bytes can"), "{:?}", decoded.bad);
    let few = decoder.decode(&records(&[b"\x06\x00"]));
    assert_eq!(rows(&few.batch), ["[null,null,null]"]);
}

/// A type in which each record holds two of the next: no bytes, and more values than anybody can count.
#[test]
fn values_that_take_no_bytes() {
    let mut inner = r#"{"type": "record", "name": "R0", "fields": []}"#.to_owned();
    for level in 1..40 {
        inner = format!(
            r#"{{"type": "record", "name": "R{level}", "fields": [{{"name": "a", "type": {inner}}}, {{"name": "b", "type": "R{}"}}]}}"#,
            level - 1
        );
    }
    for declared in ["json", "bigint"] {
        let schema = schema(&[("a", declared), ("x", "int")]);
        let mut decoder = decoder(&known(&[&inner]), &schema, &[0, 1]).unwrap();
        let decoded = decoder.decode(&records(&[b""]));
        assert_eq!(decoded.bad.len(), 1, "{declared}");
    }
    let endless = r#"{"type": "record", "name": "R", "fields": [{"name": "x", "type": "R"}]}"#;
    let schema = schema(&[("y", "int")]);
    let mut decoder = decoder(&known(&[endless]), &schema, &[0]).unwrap();
    assert!(decoder.decode(&records(&[b""])).bad[0].reason.contains("nested too deep"));
}

/// Messages in messages in messages.
#[test]
fn deep_messages() {
    let message =
        from_descriptor_set(include_bytes!("../../../tests/formats/orders.desc"), Some("acme.Every")).unwrap();
    let format = Format::Protobuf(ProtobufMessage::Known(message));
    let schema = schema(&[("inner", "json"), ("detail", "json")]);
    let mut decoder = decoder(&format, &schema, &[0, 1]).unwrap();
    let mut nested = Vec::new();
    for _ in 0..500 {
        let mut outer = vec![0xaa, 0x01];
        let mut len = nested.len();
        while len >= 0x80 {
            outer.push(len as u8 | 0x80);
            len >>= 7;
        }
        outer.push(len as u8);
        outer.extend(nested);
        nested = outer;
    }
    let groups = vec![0x0b; 100_000];
    let decoded = decoder.decode(&records(&[nested, groups]));
    let reasons: Vec<&str> = decoded.bad.iter().map(|bad| bad.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "not valid protobuf at byte 0: messages are nested too deep",
            "not valid protobuf at byte 65: groups are nested too deep"
        ]
    );
}

/// A few bytes that say they are many.
#[test]
fn arrow_that_expands() {
    let rows = 200_000;
    let schema = std::sync::Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let zeros: arrow::array::ArrayRef = std::sync::Arc::new(arrow::array::Int64Array::from(vec![0; rows]));
    let batch = RecordBatch::try_new(schema.clone(), vec![zeros]).unwrap();
    for codec in [arrow::ipc::CompressionType::LZ4_FRAME, arrow::ipc::CompressionType::ZSTD] {
        let options = IpcWriteOptions::default().try_with_compression(Some(codec)).unwrap();
        let mut stream = StreamWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
        stream.write(&batch).unwrap();
        let good = stream.into_inner().unwrap();
        assert!(good.len() < 40_000);
        let declared = super::schema(&[("n", "bigint")]);
        let mut decoder = decoder(&Format::Arrow, &declared, &[0]).unwrap();
        let unpacked = decoder.unpack(&records(&[&good]), &|_| true).unwrap();
        assert_eq!(unpacked.records.len(), rows, "{codec:?}");
        // What it says about its size is made larger, smaller, and negative.
        let size = (rows as i64 * 8).to_le_bytes();
        let at = good.windows(8).rposition(|window| window == size).unwrap();
        for lie in [1i64 << 60, 8, -5] {
            let mut bad = good.clone();
            bad[at..at + 8].copy_from_slice(&lie.to_le_bytes());
            let unpacked = decoder.unpack(&records(&[&bad]), &|_| true).unwrap();
            assert_eq!((unpacked.records.len(), unpacked.records.rejected().len()), (0, 1), "{codec:?} {lie}");
        }
    }
}
