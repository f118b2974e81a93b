//! What needs no server.

use super::options;
use crate::SinkError;
use crate::conformance::{context, schema};
use crate::messages::{Message, MessageOptions};
use crate::postgres::table::{Name, create, insert, json};

const LEAST: &str = "url = \"postgresql://u@db.acme.com/lake\"\ntable = \"alerts\"\n";

/// Why options are refused when they meet the rows.
fn refused(text: &str) -> String {
    match options(text).unwrap().check(&context("orders")) {
        Err(SinkError::Config { what }) => what,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn options_are_checked_against_the_rows() {
    let least = options(LEAST).unwrap();
    least.check(&context("orders")).unwrap();
    assert_eq!(least.hosts(), ["db.acme.com"]);
    assert!(refused("url = \"http://acme.com\"\ntable = \"a\"").contains("no address of a database"));
    assert!(refused(&LEAST.replace("alerts", "a.b.c")).contains("too many dots"));
    assert!(refused(&LEAST.replace("alerts", "a.")).contains("names no table"));
    assert!(refused(&format!("{LEAST}key = [\"nam\"]")).contains("`key` names \"nam\", which is no column"));
    assert!(refused(&format!("{LEAST}key = []")).contains("`key` is empty"));
    assert!(refused(&format!("{LEAST}max_epoch_bytes = 0")).contains("cannot be zero"));
    let twice = "url = \"postgresql://u:hidden@h/d\"\ntable = \"a\"\npassword = \"hidden\"";
    let why = refused(twice);
    assert!(why.contains("leave one of them out") && !why.contains("hidden"), "{why}");
}

#[test]
fn encryption_is_not_turned_off_in_silence() {
    for asked in ["sslmode=require", "sslmode=verify-full", "sslmode=verify-ca", "sslrootcert=ca.pem"] {
        let why = refused(&LEAST.replace("/lake", &format!("/lake?{asked}")));
        assert!(why.contains("write tls = true"), "{asked}: {why}");
    }
    options(&format!("{}tls = false", LEAST.replace("/lake", "/lake?sslmode=disable"))).unwrap().config().unwrap();
}

#[test]
fn a_character_that_no_text_holds_is_replaced() {
    let sent = |row: &str| json(&[Message(None, row.to_owned()), Message(None, "{}".to_owned())]);
    assert_eq!(sent(r#"{"a":"x\u0000y\\\u0000"}"#), r#"[{"a":"x\ufffdy\\\ufffd"},{}]"#);
    let escaped = r#"{"a":"\\u0000 \" é"}"#;
    assert_eq!(sent(escaped), format!("[{escaped},{{}}]"));
}

#[test]
fn secrets_are_not_shown() {
    let given = "url = \"postgresql://u:hidden-1@h/d\"\ntable = \"a\"";
    let options = options(given).unwrap();
    let shown = format!("{options:?} {:?}", options.sink(&context("orders"), "db").unwrap());
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn names_are_quoted_whatever_is_in_them() {
    let table = Name::parse("a\"b.C d").unwrap();
    assert_eq!(table.quoted(), "\"a\"\"b\".\"C d\"");
    assert_eq!(table.record(), "\"a\"\"b\".\"watershed_epochs\"");
    let columns = ["x\"; DROP".to_owned()];
    assert!(insert(&table, &columns, &[]).contains("(\"x\"\"; DROP\")"));
    assert!(insert(&table, &columns, &columns).ends_with("ON CONFLICT (\"x\"\"; DROP\") DO NOTHING"));
}

#[test]
fn a_table_that_is_missing_is_spelled_out() {
    let made = create(&Name::parse("alerts").unwrap(), &schema(), &["id".to_owned()]);
    let columns = "\"ts\" timestamptz, \"id\" bigint, \"name\" text, PRIMARY KEY (\"id\")";
    assert_eq!(made, format!("CREATE TABLE \"alerts\" ({columns})"));
}
