#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn at(line: usize, column: usize, width: usize, source_line: &str) -> Location {
    Location { file: "eu-west-1.toml".into(), line, column, width, source_line: source_line.into() }
}

#[test]
fn shows_place_line_mark_and_help() {
    let diagnostic = Diagnostic::at(at(12, 1, 9, "max_dealy = \"2s\""), "unknown key `max_dealy` in [sources.orders]")
        .help("did you mean `max_delay`?");
    let expected = r#"error: unknown key `max_dealy` in [sources.orders]
  --> eu-west-1.toml:12:1
   |
12 | max_dealy = "2s"
   | ^^^^^^^^^
   = help: did you mean `max_delay`?
"#;
    assert_eq!(diagnostic.render(false), expected);
    assert_eq!(diagnostic.to_string(), expected.trim_end());
}

#[test]
fn without_a_place_only_message_and_help_are_shown() {
    let diagnostic = Diagnostic::new("no pipelines").help("add one\nor two");
    assert_eq!(diagnostic.render(false), "error: no pipelines\n  = help: add one\n          or two\n");
    let in_file = Diagnostic::in_file(Path::new("a.toml"), "cannot read it");
    assert_eq!(in_file.render(false), "error: cannot read it\n --> a.toml\n");
}

#[test]
fn columns_count_characters_and_tabs_are_one_wide() {
    let diagnostic = Diagnostic::at(at(3, 5, 2, "\té = xy"), "bad");
    assert!(diagnostic.render(false).contains("3 |  é = xy\n  |     ^^\n"), "{}", diagnostic.render(false));
}

#[test]
fn marks_never_run_past_the_line() {
    let shown = Diagnostic::at(at(1, 3, 400, "abcd"), "bad").render(false);
    assert!(shown.contains("1 | abcd\n  |   ^^\n"), "{shown}");
    let behind = Diagnostic::at(at(1, 99, 1, "abcd"), "bad").render(false);
    assert!(behind.contains("1 | abcd\n  |     ^\n"), "{behind}");
}

#[test]
fn long_lines_are_cut_around_the_mark() {
    let line = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
    let shown = Diagnostic::at(at(1, 501, 4, &line), "bad").render(false);
    let lines: Vec<&str> = shown.lines().collect();
    let mark = lines[4].find('^').unwrap();
    // The ellipsis in front is one character but three bytes.
    assert_eq!(&lines[3][mark + 2..mark + 6], "HERE");
    assert!(lines[3].chars().count() < 180, "{}", lines[3]);
    assert!(lines[3].ends_with('…'));
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let diagnostic = Diagnostic::at(at(1, 1, 1, "\x1b[2Jx\u{202E}"), "bad \x1b[31m").help("no \x07");
    assert!(!diagnostic.render(false).contains(['\x1b', '\x07', '\u{202E}']));
}

#[test]
fn color_is_only_added_on_request() {
    let diagnostic = Diagnostic::at(at(1, 1, 1, "x"), "bad").help("mend it");
    assert!(diagnostic.render(true).starts_with("\x1b[1;31merror\x1b[0m"));
    assert!(!diagnostic.render(false).contains('\x1b'));
}

#[test]
fn nearest_forgives_a_third_of_the_letters() {
    let known = ["max_delay", "idle_after", "sql"];
    assert_eq!(nearest("max_dealy", known), Some("max_delay"));
    assert_eq!(nearest("IDLE_AFTR", known), Some("idle_after"));
    assert_eq!(nearest("sqk", known), Some("sql"));
    assert_eq!(nearest("compression", known), None);
}
