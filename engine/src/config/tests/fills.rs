//! `${NAME}` and `${file:PATH}`: what they fill in, and that nothing shows it.

use std::collections::HashMap;
use std::env::VarError;
use std::path::Path;

use proptest::prelude::*;

use super::super::fill::{Filler, Secrets};
use super::super::mapping::Mapping;
use super::{region_at, region_with};
use crate::config::{ConnectorOptions, SinkOptions};
use crate::diagnostic::render_all;

/// What must never be seen.
const SECRET: &str = "hunter2-and-\"more\"";

const WITH_SECRETS: &str = r#"
region = "${REGION}"
[checkpoint]
url = "s3://acme/${SECRET}/state"
[residency]
allow = ["${REGION}", "eu-*"]
[sources.orders]
connector = "file"
path = "data/${SECRET}/*.ndjson"
schema = { ts = "timestamp" }
dead_letters = "${SECRET}"
[tables.products]
url = "${SECRET}.csv"
[sinks.lake]
connector = "parquet"
url = "var/${SECRET}"
partition_by = ["${SECRET}"]
[pipelines.p]
sql = "SELECT '${SECRET}' AS token FROM orders"
sink = "lake"
"#;

fn variables() -> [(&'static str, &'static str); 2] {
    [("SECRET", SECRET), ("REGION", "eu-west-1")]
}

/// True if any telling part of the secret is in `text`.
fn leaks(text: &str) -> bool {
    text.contains("hunter2")
}

#[test]
fn variables_are_filled_in_everywhere() {
    let region = region_with(WITH_SECRETS, &variables()).unwrap();
    assert_eq!(&*region.name, "eu-west-1");
    assert_eq!(region.checkpoint.url, format!("s3://acme/{SECRET}/state"));
    let ConnectorOptions::File(file) = &region.sources["orders"].connector else { panic!("not a file") };
    assert_eq!(file.path, format!("data/{SECRET}/*.ndjson"));
    let SinkOptions::Parquet(parquet) = &region.sinks["lake"].options else { panic!("not parquet") };
    assert_eq!(parquet.partition_by, [SECRET]);
    assert_eq!(region.pipelines["p"].sql, format!("SELECT '{SECRET}' AS token FROM orders"));
}

#[test]
fn debug_shows_what_is_written_and_never_what_is_filled_in() {
    let region = region_with(WITH_SECRETS, &variables()).unwrap();
    let shown = format!(
        "{region:?} {region:#?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        region.sources,
        region.sinks,
        region.tables,
        region.pipelines,
        region.checkpoint,
        region.residency,
        region.secrets,
        region.sources["orders"].connector,
        region.pipelines["p"].origin,
    );
    assert!(!leaks(&shown), "{shown}");
    assert!(!shown.contains("eu-west-1"), "{shown}");
    assert!(shown.contains("data/${SECRET}/*.ndjson"), "{shown}");
}

#[test]
fn diagnostics_show_what_is_written_and_never_what_is_filled_in() {
    // Each value is wrong where it stands; whoever reports it is tempted to quote it.
    let cases = [
        "region = \"${S}\"",
        "region = \"eu\"\nlinger = \"${S}\"",
        "region = \"eu\"\n[checkpoint]\ninterval = \"${S}\"",
        "region = \"eu\"\n[http]\nlisten = \"${S}\"",
        "region = \"eu\"\n[residency]\nallow = [\"${S}\"]",
        "region = \"eu\"\n[residency]\nallow = [\"[${S}\"]",
        "region = \"eu\"\n[sources.a]\nconnector = \"${S}\"",
        "region = \"eu\"\n[sources.a]\nconnector = \"stdin\"\nformat = \"${S}\"",
        "region = \"eu\"\n[sources.a]\nconnector = \"stdin\"\nformat = { type = \"csv\", delimiter = \"${S}\" }",
        "region = \"eu\"\n[sources.a]\nconnector = \"stdin\"\non_bad = \"${S}\"",
        "region = \"eu\"\n[sources.a]\nconnector = \"stdin\"\nmax_future = \"${S}\"",
        "region = \"eu\"\n[sources.a]\nconnector = \"stdin\"\nschema = { a = \"${S}\" }",
        "region = \"eu\"\n[sources.a]\nconnector = \"stdin\"\nschema = { a = { type = \"timestamp\", format = \"%${S}\" } }",
        "region = \"eu\"\n[sources.a]\nconnector = \"stdin\"\nschema = { a = \"bigint\" }\nevent_time = \"${S}\"",
        "region = \"eu\"\n[sources.a]\nconnector = \"stdin\"\nschema_file = \"${S}\"",
        "region = \"eu\"\n[sources.a]\nconnector = \"file\"\npath = \"${S}.gz\"\nfollow = true",
        "region = \"eu\"\n[sources.a]\nconnector = \"file\"\npath = \"x\"\nmax_record_bytes = \"${S}\"",
        "region = \"eu\"\n[sources.a]\nconnector = \"generator\"\nprofile = \"${S}\"",
        "region = \"eu\"\n[sources.a]\nconnector = \"generator\"\nprofile = \"orders\"\nrate = \"${S}\"",
        "region = \"eu\"\n[sources.a]\nconnector = \"generator\"\nprofile = \"orders\"\nstart = \"${S}\"",
        "region = \"eu\"\n[sinks.a]\nconnector = \"parquet\"\nurl = \"hdfs://${S}\"",
        "region = \"eu\"\n[residency]\nallow = [\"eu\"]\n[checkpoint]\nurl = \"s3://b\"\naws_region = \"${S}\"",
        "region = \"eu\"\n[sinks.a]\nconnector = \"parquet\"\nurl = \"x\"\nroll = { size = \"${S}\", every = \"${S}\" }",
        "region = \"eu\"\n[sinks.a]\nconnector = \"parquet\"\nurl = \"x\"\ncompression = \"${S}\"",
        "region = \"eu\"\n[tables.a]\nurl = \"${S}\"",
        "region = \"eu\"\n[tables.a]\nurl = \"a.csv\"\nformat = \"${S}\"",
        "region = \"eu\"\n[pipelines.a]\nsql_file = \"${S}\"\nsink = \"${S}\"\nlate = \"${S}\"",
        "region = \"eu\"\nlanes = \"${S}\"",
    ];
    for case in cases {
        let errors = region_with(case, &[("S", SECRET)]).expect_err(case);
        let shown = render_all(&errors, false);
        assert!(!leaks(&shown) && !leaks(&format!("{errors:?}")), "{case}\n{shown}");
        assert!(shown.contains("${S}"), "{case}\n{shown}");
    }
}

#[test]
fn a_secret_that_is_spelled_out_is_hidden_too() {
    let sasl =
        |mechanism: &str| format!("{{ mechanism = \"{mechanism}\", username = \"u\", password = \"spelled-out\" }}");
    let toml = |mechanism: &str| {
        format!(
            "region = \"r\"\n[sources.a]\nconnector = \"kafka\"\nbrokers = \"b:9092\"\ntopic = \"t\"\n\
             schema = {{ id = \"bigint\" }}\nsasl = {}\n",
            sasl(mechanism)
        )
    };
    let shown = super::errors(&toml("PLAIM"));
    assert!(shown.contains("PLAIM") && !shown.contains("spelled-out"), "{shown}");
    let shown = format!("{:?}", super::good(&toml("PLAIN")));
    assert!(!shown.contains("spelled-out"), "{shown}");
}

#[test]
fn an_address_that_is_a_secret_is_hidden_too() {
    let region = |connector: &str, rest: &str| {
        format!("region = \"r\"\n[residency]\nallow = [\"r\"]\n[sinks.a]\nconnector = \"{connector}\"\n{rest}\n")
    };
    let hook = "url = \"https://u:hidden-0@acme.com/hidden-1?key=hidden-2\"";
    let table = "url = \"postgresql://u:hidden-3@acme.com/lake\"\ntable = \"a\"";
    let keys = "url = \"host=acme.com password=hidden-4\"\ntable = \"a\"";
    let hub = "hub = \"a\"\nconnection_string = \"Endpoint=sb://acme.servicebus.windows.net/;\
               SharedAccessKeyName=a;SharedAccessKey=hidden-5\"";
    for (connector, options) in [("http", hook), ("postgres", table), ("postgres", keys), ("eventhubs", hub)] {
        let shown = super::errors(&region(connector, options));
        assert!(shown.contains("nothing says in which region") && !shown.contains("hidden"), "{shown}");
        let shown = format!("{:?}", super::good(&region(connector, &format!("{options}\nlocation = \"r\""))));
        assert!(!shown.contains("hidden"), "{shown}");
    }
    let region = super::good(&format!("region = \"r\"\n[sinks.a]\nconnector = \"http\"\n{hook}\n"));
    assert_eq!(region.secrets.redact("hidden-2 hidden-0"), "*** ***");
}

#[test]
fn foreign_text_is_redacted_in_every_spelling() {
    let region = region_with(WITH_SECRETS, &variables()).unwrap();
    let json = serde_json::json!({ "path": SECRET }).to_string();
    let text = format!("cannot open {SECRET}: {SECRET:?} {json} in eu-west-1");
    let redacted = region.secrets.redact(&text);
    assert!(!leaks(&redacted), "{redacted}");
    assert_eq!(redacted, r#"cannot open ${SECRET}: "${SECRET}" {"path":"${SECRET}"} in ${REGION}"#);
}

#[test]
fn a_value_inside_a_longer_one_leaves_no_rest() {
    let toml = "region = \"eu\"\n[checkpoint]\nurl = \"${SHORT}/${LONG}\"";
    let region = region_with(toml, &[("SHORT", "hunter"), ("LONG", "hunter2-and-more")]).unwrap();
    assert_eq!(region.secrets.redact("hunter2-and-more, hunter"), "${LONG}, ${SHORT}");
}

#[test]
fn files_are_found_from_the_region_file_and_trimmed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    std::fs::write(folder.path().join("secrets/url"), "  var/from-a-file\n").unwrap();
    let toml = "region = \"eu\"\n[checkpoint]\nurl = \"${file:secrets/url}/state\"";
    let region = region_at(&folder.path().join("eu.toml"), toml, &[]).unwrap();
    assert_eq!(region.checkpoint.url, "var/from-a-file/state");
    assert!(!format!("{region:?}").contains("from-a-file"));
}

#[test]
fn a_file_that_is_too_large_or_no_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("large"), vec![b'x'; 100_000]).unwrap();
    std::fs::write(folder.path().join("binary"), [0xff, 0xfe]).unwrap();
    for (name, why) in
        [("large", "is larger than"), ("binary", "is not UTF-8"), ("missing", "cannot read"), (".", "it is a folder")]
    {
        let toml = format!("region = \"eu\"\n[checkpoint]\nurl = \"x${{file:{name}}}\"");
        let errors = region_at(&folder.path().join("eu.toml"), &toml, &[]).unwrap_err();
        let shown = render_all(&errors, false);
        assert!(shown.contains(why) && shown.contains("eu.toml:3:9"), "{shown}");
    }
}

#[test]
fn two_dollars_stand_for_one_brace() {
    let region = region_with("region = \"eu\"\n[checkpoint]\nurl = \"a$${b}$c{d}${X}$\"", &[("X", "y")]).unwrap();
    assert_eq!(region.checkpoint.url, "a${b}$c{d}y$");
}

#[test]
fn a_filled_in_value_is_not_filled_again() {
    let region = region_with("region = \"eu\"\n[checkpoint]\nurl = \"${A}\"", &[("A", "${B}"), ("B", "no")]).unwrap();
    assert_eq!(region.checkpoint.url, "${B}");
}

fn fill(text: &str, variables: &HashMap<String, String>) -> Option<String> {
    let environment = |name: &str| variables.get(name).cloned().ok_or(VarError::NotPresent);
    let mut filler = Filler { environment: &environment, folder: Path::new("."), secrets: Secrets::default() };
    filler.fill(text, &Mapping::identity()).ok().map(|filled| filled.text)
}

proptest! {
    #[test]
    fn escaping_gives_any_text_back(text in "[a-z${}]{0,20}") {
        let escaped = text.replace("${", "$${");
        prop_assert_eq!(fill(&escaped, &HashMap::new()), Some(text));
    }

    #[test]
    fn values_land_between_what_stands_around_them(before in "[a-z]{0,5}", value in ".{0,10}", after in "[a-z]{0,5}") {
        let variables = HashMap::from([("V".to_string(), value.clone())]);
        prop_assert_eq!(fill(&format!("{before}${{V}}{after}"), &variables), Some(format!("{before}{value}{after}")));
    }
}
