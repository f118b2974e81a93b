//! A schema is inferred from the first records of files.

use std::fs;
use std::path::Path;

use crate::cli::infer::infer;
use crate::config::{self, Region};
use crate::connect;

fn region(toml: &str) -> Region {
    let environment = |_: &str| Err(std::env::VarError::NotPresent);
    config::parse(Path::new("eu.toml"), format!("region = \"eu\"\n{toml}").into_bytes(), &environment, 1).unwrap()
}

#[tokio::test]
async fn what_is_printed_makes_the_config_right() {
    let folder = tempfile::tempdir().unwrap();
    let records: String = (0..1500)
        .map(|n| format!("{{\"ts\":{},\"country\":\"DE\",\"amount\":{n}.5,\"@id\":{n}}}\n", 1_772_323_200_000i64 + n))
        .collect();
    fs::write(folder.path().join("a.ndjson"), records).unwrap();
    let toml = format!("[sources.orders]\nconnector = \"file\"\npath = \"{}/*.ndjson\"\n", folder.path().display());
    let before = region(&toml);
    let config = &before.sources["orders"];
    let source = connect::source(config).unwrap();
    let inferred = infer(config, source.as_ref()).await.unwrap();
    assert_eq!((inferred.records, inferred.event_time.as_deref()), (1000, Some("ts")));

    let after = region(&format!("{toml}{}", inferred.toml));
    assert_eq!(after.sources["orders"].schema.as_ref(), Some(&inferred.schema));
    assert_eq!(after.sources["orders"].event_time.as_deref(), Some("ts"));

    // With an event time of one's own, only the schema is printed.
    let toml = format!("{toml}event_time = \"ts\"\n");
    let own = region(&toml);
    let config = &own.sources["orders"];
    let inferred = infer(config, source.as_ref()).await.unwrap();
    assert!(region(&format!("{toml}{}", inferred.toml)).sources["orders"].schema.is_some(), "{}", inferred.toml);
}

#[tokio::test]
async fn csv_of_several_files_goes_by_the_first_header() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1.csv"), "id,name\n1,a\n").unwrap();
    fs::write(folder.path().join("2.csv"), "id,name\n2,b\n").unwrap();
    fs::write(folder.path().join("3.csv"), "other\nx\n").unwrap();
    let toml = format!("[sources.s]\nconnector = \"file\"\nformat = \"csv\"\npath = \"{}\"\n", folder.path().display());
    let region = region(&toml);
    let config = &region.sources["s"];
    let inferred = infer(config, connect::source(config).unwrap().as_ref()).await.unwrap();
    let names: Vec<_> = inferred.schema.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!((names, inferred.records), (vec!["id", "name"], 2));
}

#[tokio::test]
async fn no_records_is_no_schema() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty.ndjson"), "").unwrap();
    let toml = format!("[sources.s]\nconnector = \"file\"\npath = \"{}/empty.ndjson\"\n", folder.path().display());
    let region = region(&toml);
    let config = &region.sources["s"];
    let error = infer(config, connect::source(config).unwrap().as_ref()).await.unwrap_err();
    assert!(error.contains("no records"), "{error}");
}
