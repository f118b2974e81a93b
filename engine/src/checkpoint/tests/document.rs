#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::json;
use watershed_connectors::Position;

use super::super::document::{Unreadable, decode, encode};
use super::*;

/// A manifest with something of everything, floats and odd names too.
fn full(read: u64, float: f64, name: &str) -> Manifest {
    let piece = nowhere(names::segment(1, 7));
    let mut manifest = manifest(read, vec![piece.clone(), piece.clone()]);
    manifest.version = 1;
    manifest.epoch = 1;
    let position = |value| Some(Position(value));
    let split = SplitState {
        from: None,
        to: position(json!({"offset": read, "float": float, "name": name, "none": null})),
        ended: true,
        left: false,
        greatest_time: Some(-1),
    };
    let seen = vec![piece.clone()];
    let splits = [(name.to_string(), split)].into();
    manifest.sources.insert(name.to_string(), SourceState { splits, seen, ..SourceState::default() });
    let pipeline = manifest.pipelines.get_mut("p").unwrap();
    let panes = vec![PaneState { pane: 1, open_from: 2, pieces: vec![piece.clone()] }];
    pipeline.cuts.push(CutState::Panes { closed_through: None, panes });
    pipeline.cuts.push(CutState::Sessions { next: 1, sessions: vec![piece.clone()], rows: vec![piece] });
    manifest
}

#[test]
fn a_manifest_is_readable_json_with_a_checksum() {
    let manifest = full(1, 0.5, "orders");
    let file = encode(&manifest).unwrap();
    assert_eq!(decode(&file).unwrap(), manifest);
    let text = std::str::from_utf8(&file).unwrap();
    assert!(text.starts_with("{\n  \"version\": 1,\n  \"epoch\": 1,\n"), "{text}");
    assert!(text.lines().rev().nth(1).unwrap().starts_with("  \"checksum\": \""), "{text}");
    assert_eq!(manifest.pieces().count(), 6);

    // Another layout says the same.
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(decode(value.to_string().as_bytes()).unwrap(), manifest);
}

#[test]
fn another_version_is_told_from_damage() {
    let mut manifest = full(1, 0.5, "orders");
    manifest.version = 9;
    let file = encode(&manifest).unwrap();
    assert!(matches!(decode(&file), Err(Unreadable::Version(9))));
    let text = String::from_utf8(file.to_vec()).unwrap().replace("\"version\": 9", "\"version\": 8");
    assert!(matches!(decode(text.as_bytes()), Err(Unreadable::Damaged(_))));
}

proptest! {
    #[test]
    fn whatever_is_written_can_be_read(read: u64, float: f64, name: String) {
        let file = encode(&full(read, float, &name)).unwrap();
        prop_assert_eq!(decode(&file).unwrap().counters.read, read);
    }

    #[test]
    fn a_flipped_bit_is_found(read: u64, name: String, bit: prop::sample::Index) {
        let manifest = full(read, 1.5, &name);
        let mut file = encode(&manifest).unwrap().to_vec();
        let bit = bit.index(file.len() * 8);
        file[bit / 8] ^= 1 << (bit % 8);
        // A few flips change the writing and not what is written, such as 1e5 to 1E5.
        if let Ok(read) = decode(&file) {
            prop_assert_eq!(read, manifest);
        }
    }

    #[test]
    fn a_file_cut_short_is_found(read: u64, cut: prop::sample::Index) {
        let file = encode(&full(read, 1.5, "orders")).unwrap();
        // The last byte is only the line's end.
        prop_assert!(decode(&file[..cut.index(file.len() - 1)]).is_err());
    }

    #[test]
    fn garbage_is_an_error(garbage: Vec<u8>) {
        prop_assert!(decode(&garbage).is_err());
    }
}
