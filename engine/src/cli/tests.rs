#![allow(clippy::unwrap_used, clippy::expect_used)]

mod lakes;
mod printed;
mod schemas;

use clap::CommandFactory;
use clap::Parser;
use clap::error::ErrorKind;

use super::args::{Arguments, Command};
use super::failure::Failure;
use super::init::{FILES, init};
use crate::config;
use crate::diagnostic::Diagnostic;

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_has_help_worth_reading() {
    let mut root = Arguments::command();
    let long = root.render_long_help().to_string();
    for needle in ["Exit codes:", "watershed init", "RUST_LOG", "NO_COLOR", "--log-format", "completions"] {
        assert!(long.contains(needle), "{needle} is not in\n{long}");
    }
    for name in ["run", "check", "query"] {
        let help = root.find_subcommand_mut(name).unwrap().render_help().to_string();
        assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
    }
}

#[test]
fn numbers_of_lanes_are_checked() {
    let parsed = |lanes: &str| Arguments::try_parse_from(["watershed", "run", "eu.toml", "--lanes", lanes]);
    assert!(matches!(parsed("4").unwrap().command, Command::Run(run) if run.lanes == Some(4)));
    for wrong in ["0", "1025", "-1", "many"] {
        let error = parsed(wrong).unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::ValueValidation, 2), "{wrong}");
    }
}

#[test]
fn verbosity_may_stand_anywhere() {
    for arguments in [["-vv", "check", "eu.toml"], ["check", "-vv", "eu.toml"], ["check", "eu.toml", "-vv"]] {
        let parsed = Arguments::try_parse_from([&["watershed"][..], &arguments[..]].concat()).unwrap();
        assert_eq!(parsed.verbose, 2);
    }
}

#[test]
fn failures_have_the_exit_codes_of_the_contract() {
    assert_eq!(Failure::running("x").code(), 1);
    assert_eq!(Failure::wrong(Diagnostic::new("x")).code(), 2);
    let two = Failure::Wrong(vec![Diagnostic::new("a"), Diagnostic::new("b")]);
    assert_eq!(two.render(false), "error: a\n\nerror: b\n\n2 errors\n");
}

#[test]
fn init_writes_files_that_are_right_and_replaces_none() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new/place");
    init(&dir).unwrap();
    let region = config::load(&dir.join("watershed.toml")).unwrap();
    assert_eq!(region.pipelines["first"].sinks, ["lake"]);
    assert!(region.pipelines["first"].sql.contains("tumble(orders"));

    let mine = "mine";
    std::fs::write(dir.join("watershed.toml"), mine).unwrap();
    std::fs::remove_file(dir.join("pipelines/first.sql")).unwrap();
    let failure = init(&dir).unwrap_err();
    assert_eq!(failure.code(), 2);
    assert!(failure.render(false).contains("watershed.toml is there already"));
    assert_eq!(std::fs::read_to_string(dir.join("watershed.toml")).unwrap(), mine);
    assert!(!dir.join("pipelines/first.sql").exists(), "nothing is written if anything is there");
    assert_eq!(FILES.len(), 2);
}
