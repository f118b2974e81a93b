//! Files that no person wrote: whatever the bytes, the answer is a list of diagnostics.

use std::env::VarError;
use std::path::Path;

use proptest::prelude::*;

use super::{errors, good};
use crate::config::parse;
use crate::diagnostic::{Diagnostic, render_all};

fn refused(bytes: Vec<u8>) -> Vec<Diagnostic> {
    parse(Path::new("region.toml"), bytes, &|_| Err(VarError::NotPresent), 1).expect_err("accepted")
}

#[test]
fn a_file_over_a_megabyte_is_refused_unread() {
    let mut bytes = b"region = \"eu\"\n#".to_vec();
    bytes.resize(1024 * 1024 + 1, b'x');
    let shown = render_all(&refused(bytes), false);
    assert!(shown.starts_with("error: the file is larger than 1048576 bytes\n --> region.toml\n"), "{shown}");
}

#[test]
fn a_byte_that_is_no_text_is_pointed_at() {
    let shown = render_all(&refused(b"region = \"eu\"\nname = \"a\xffb\"\n".to_vec()), false);
    assert!(shown.contains("the file is not UTF-8 text") && shown.contains("region.toml:2:10"), "{shown}");
}

#[test]
fn nesting_bombs_end_in_a_diagnostic() {
    let half = 512 * 1024;
    let dotted = "a.".repeat(100) + "a";
    let bombs = [
        format!("x = {}", "[".repeat(half)),
        format!("x = {}1{}", "[".repeat(half / 2), "]".repeat(half / 2)),
        format!("x = {}", "{a=".repeat(half / 3)),
        format!("{}a = 1", "a.".repeat(half / 2)),
        format!("[{}a]", "a.".repeat(half / 2)),
        format!("x = 1\n[x.y]\n{}a = 1", "a.".repeat(half / 2)),
        // Dots within the limit, in every inline table that the parser takes.
        format!("x = [1]\n[x.y]\nz = {}1{}", format!("{{{dotted} = ").repeat(79), "}".repeat(79)),
        format!("z = {}1{}", format!("{{{dotted} =\n").repeat(79), "}".repeat(79)),
        format!("z = \"{}\"", "${".repeat(half / 2)),
        format!("[[{}]]", "x".repeat(half)),
        "[[x]]\n".repeat(half / 6),
    ];
    for (index, bomb) in bombs.into_iter().enumerate() {
        let shown = render_all(&refused(format!("region = \"eu\"\n{bomb}\n").into_bytes()), false);
        assert!(shown.len() < 20_000, "bomb {index} makes {} bytes of errors", shown.len());
    }
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_change_no_place() {
    let shown = errors("\u{feff}region = \"eu\"\r\n\r\n[checkpoint]\r\nintervall = \"10s\"\r\n");
    assert!(shown.contains("region.toml:4:1\n  |\n4 | intervall = \"10s\"\n  | ^^^^^^^^^\n"), "{shown}");
    good("\u{feff}region = \"eu\"\r\n[checkpoint]\r\ninterval = \"10s\"\r\n");
}

#[test]
fn control_characters_in_names_do_not_reach_the_terminal() {
    let shown = errors("region = \"eu\"\n\"\\u001b[2J\" = 1\n[sources.\"\\u001b\"]\nconnector = \"\\u001b[31m\"");
    assert!(!shown.contains('\x1b'), "{shown:?}");
}

/// Pieces that make files which get further than random bytes do.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("region = \"eu\"\n".to_string()),
        Just("[sources.a]\nconnector = \"file\"\n".to_string()),
        Just("[sinks.lake]\nconnector = \"parquet\"\n".to_string()),
        Just("[pipelines.p]\nsink = \"lake\"\n".to_string()),
        Just("schema = { ts = \"timestamp\", a = { type = \"list<".to_string()),
        Just("sql = \"\"\"SELECT ${".to_string()),
        Just("}\"\"\"\n".to_string()),
        "[a-z_]{1,8} = (\"[a-z0-9$\\{\\}:]{0,6}\"|[0-9]{1,20}|\\[\\]|\\{\\}|true|2026-03-01|1e9)\n",
        "[a-z]{1,6}\\.",
        "[\\[\\]{}=\"'\\\\#,.\n ]{1,4}",
        "\\PC{0,4}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let answer = parse(Path::new("region.toml"), bytes, &|_| Err(VarError::NotPresent), 1);
        if let Err(errors) = answer {
            prop_assert!(!errors.is_empty());
            render_all(&errors, true);
        }
    }

    #[test]
    fn any_pieces_are_answered(pieces in prop::collection::vec(fragment(), 0..16)) {
        let bytes = pieces.concat().into_bytes();
        let answer = parse(Path::new("region.toml"), bytes, &|name| Ok(format!("<{name}>")), 1);
        if let Err(errors) = answer {
            prop_assert!(!errors.is_empty());
            render_all(&errors, false);
        }
    }
}
