//! What needs no server.

use std::time::Duration;

use chrono::{TimeZone, Utc};

use super::options;
use crate::SinkError;
use crate::conformance::context;
use crate::messages::MessageOptions;
use crate::webhook::answer::pause;
use crate::webhook::signature::signature;

const LEAST: &str = "url = \"https://acme.com/hook\"\n";

/// Why options are refused when they meet the rows.
fn refused(text: &str) -> String {
    match options(text).unwrap().check(&context("orders")) {
        Err(SinkError::Config { what }) => what,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn options_are_checked() {
    options(LEAST).unwrap().check(&context("orders")).unwrap();
    assert!(refused("url = \"acme.com\"").contains("no http:// or https:// address"));
    for key in ["batch_rows", "batch_bytes", "max_epoch_bytes"] {
        assert!(refused(&format!("{LEAST}{key} = 0")).contains(&format!("`{key}` cannot be zero")));
    }
    assert!(refused(&format!("{LEAST}timeout = \"0s\"")).contains("`timeout` cannot be zero"));
    assert!(refused(&format!("{LEAST}secret = \"\"")).contains("`secret` is empty"));
    assert!(refused(&format!("{LEAST}headers = {{ \"Idempotency-Key\" = \"1\" }}")).contains("the sink's own"));
    assert!(refused(&format!("{LEAST}headers = {{ \"a b\" = \"1\" }}")).contains("no name of a header"));
    let twice = "token = \"a\"\nheaders = { Authorization = \"b\" }";
    assert!(refused(&format!("{LEAST}{twice}")).contains("leave one of them out"));
}

#[test]
fn secrets_are_not_shown() {
    let given = "url = \"https://u:hidden-1@acme.com/hidden-0?key=hidden-2\"\nsecret = \"hidden-3\"\ntoken = \"hidden-4\"\n\
                 headers = { x = \"hidden-5\" }";
    let options = options(given).unwrap();
    let sink = options.sink(&context("orders"), "hook").unwrap();
    let shown = format!("{options:?} {sink:?} {:?}", options.headers().unwrap());
    assert!(shown.contains("\"https://acme.com\"") && !shown.contains("hidden"), "{shown}");
}

/// As Python's `hmac` makes it: hmac.new(b"whsec_41f7", b'1772323200.{"id":1}\n', "sha256").
#[test]
fn a_signature_is_that_of_time_and_body() {
    let options = options(&format!("{LEAST}secret = \"whsec_41f7\"")).unwrap();
    let made = signature(options.secret.as_ref().unwrap(), 1_772_323_200, b"{\"id\":1}\n");
    assert_eq!(made, "t=1772323200,v1=aa269d0e32cf8af6127c8eec09be42c20fb788d995fa0b55ae29afcce750cb6f");
}

#[test]
fn a_pause_is_seconds_or_a_date_and_never_long() {
    let now = Utc.with_ymd_and_hms(2026, 3, 1, 0, 0, 0).unwrap();
    let cases = [
        ("7", Some(7)),
        (" 0 ", Some(0)),
        ("86400", Some(60)),
        ("Sun, 01 Mar 2026 00:00:20 GMT", Some(20)),
        ("Sat, 28 Feb 2026 00:00:00 GMT", Some(0)),
        ("soon", None),
    ];
    for (text, seconds) in cases {
        assert_eq!(pause(text, now), seconds.map(Duration::from_secs), "{text}");
    }
}
