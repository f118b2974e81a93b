//! The small parts: places of string values in the file, quoting, and the declarations of keys.

use proptest::prelude::*;
use toml::de::{DeTable, DeValue};

use super::super::document::{Document, shorten};
use super::super::keys::{Default, Key, KeySet};
use super::super::mapping::Mapping;
use super::super::tree::{Value, literal};
use super::super::written::*;
use crate::config::reference;

/// For each character of the value of `x`, the text in the file at its place.
fn places(toml: &str) -> Vec<(char, String)> {
    let table = DeTable::parse(toml).unwrap();
    let value = table.get_ref().get("x").unwrap();
    let DeValue::String(text) = value.get_ref() else { panic!("no string") };
    let mapping = Mapping::of_string(&toml[value.span()], value.span().start, text);
    let place = |at: usize| toml[mapping.file_offset(at)..].chars().next().unwrap();
    text.char_indices().map(|(at, c)| (c, place(at).to_string())).collect()
}

#[test]
fn every_character_of_a_string_is_found_in_the_file() {
    for toml in [
        "x = \"abc\"",
        "x = 'a\\bc'",
        "x = \"\"\"\nabc\n  déf\"\"\"",
        "x = '''\r\nabc \\ déf'''",
        "x = \"\"\"\"quoted\" text\"\"\"",
        "x = ''''quoted' text'''",
    ] {
        for (c, found) in places(toml) {
            assert!(c.to_string() == found || c == '\n' && found == "\r", "{c:?} is at {found:?} in {toml:?}");
        }
    }
}

#[test]
fn an_escape_is_found_at_its_backslash_and_what_follows_behind_it() {
    let found = places(r#"x = "a\tb\u00e9c\x41d\U0001F600e\\f\"g""#);
    let text: String = found.iter().map(|(_, found)| found.as_str()).collect();
    assert_eq!(text, r"a\b\c\d\e\f\g");
    let joined = places("x = \"\"\"a\\\n    b\\\n\n  c\"\"\"");
    let text: String = joined.iter().map(|(c, found)| format!("{c}{found}")).collect();
    assert_eq!(text, "aabbcc");
}

proptest! {
    #[test]
    fn places_grow_with_the_value_and_stay_inside_the_string(text in "\\PC{0,30}", escape in any::<bool>()) {
        let raw = match escape {
            true => text.chars().map(|c| format!("\\U{:08X}", u32::from(c))).collect(),
            false => text.replace('\\', "\\\\").replace('"', "\\\""),
        };
        let toml = format!("x = \"{raw}\"");
        let table = DeTable::parse(&toml).unwrap();
        let value = table.get_ref().get("x").unwrap();
        let mapping = Mapping::of_string(&toml[value.span()], value.span().start, &text);
        let places: Vec<usize> = text.char_indices().map(|(at, _)| mapping.file_offset(at)).collect();
        prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", places);
        prop_assert!(places.iter().all(|place| value.span().contains(place)));
    }
}

#[test]
fn values_are_quoted_on_one_short_line() {
    assert_eq!(shorten("  a b "), "a b");
    assert_eq!(shorten("a\nb"), "a…");
    assert_eq!(shorten(&"x".repeat(100)).chars().count(), 61);
    let document = Document::new("x.toml".into(), "a = \"\"\"\nb\"\"\"".to_string());
    assert_eq!(document.written(&(4..document.text().len())), "b");
}

/// All key sets of the config.
fn all_keys() -> Vec<&'static Key> {
    let sets = [
        RegionKeys::KEYS,
        CheckpointKeys::KEYS,
        HttpKeys::KEYS,
        ResidencyKeys::KEYS,
        SourceKeys::KEYS,
        FormatKeys::KEYS,
        FieldKeys::KEYS,
        SinkKeys::KEYS,
        TableKeys::KEYS,
        PipelineKeys::KEYS,
    ];
    sets.into_iter().flatten().collect()
}

#[test]
fn every_default_is_a_value_that_toml_knows() {
    for key in all_keys() {
        if let Default::Value(toml) = key.default {
            let node = literal(toml, 0..0).unwrap_or_else(|| panic!("{}: {toml}", key.name));
            assert!(matches!(node.value, Value::String(_) | Value::Boolean(_)), "{}: {toml}", key.name);
        }
    }
}

#[test]
fn the_reference_names_every_key_with_its_meaning() {
    let text = reference();
    for key in all_keys() {
        assert!(!key.name.starts_with("r#") && !key.doc.is_empty());
        assert!(text.contains(&format!("| `{}` | ", key.name)), "{} is not in the reference", key.name);
    }
    for line in ["| `idle_after` | `\"10s\"` |", "| source `file` | `path`, `follow`, `max_record_bytes` |"] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
