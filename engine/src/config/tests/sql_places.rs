//! Errors in SQL are shown where the user wrote it: in the region file, or in a file of its own.

use super::{good, region_at, region_with};
use crate::config::Region;
use crate::sql::SqlError;

/// The place of `needle` in the SQL of pipeline `p`, as line, column and width in the file.
fn locate(region: &Region, needle: &str) -> (usize, usize, usize) {
    let pipeline = &region.pipelines["p"];
    let at = pipeline.sql.find(needle).expect("the needle is in the SQL");
    let before = &pipeline.sql[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let location = pipeline.origin.locate(&pipeline.sql, line, column);
    assert!(location.source_line.chars().count() >= location.column - 1);
    (location.line, location.column, location.width)
}

fn with_sql(sql: &str) -> String {
    format!("region = \"eu\"\n[sinks.o]\nconnector = \"null\"\n[pipelines.p]\nsink = \"o\"\nsql = {sql}\n")
}

#[test]
fn sql_on_one_line() {
    let region = good(&with_sql("\"SELECT colour FROM orders\""));
    assert_eq!(locate(&region, "colour"), (6, 15, 6));
}

#[test]
fn sql_over_several_lines() {
    let region = good(&with_sql("\"\"\"\nSELECT é, colour\n  FROM orders\"\"\""));
    assert_eq!(locate(&region, "SELECT"), (7, 1, 6));
    assert_eq!(locate(&region, "colour"), (7, 11, 6));
    assert_eq!(locate(&region, "orders"), (8, 8, 6));
    let literal = good(&with_sql("'''SELECT '\\d' AS x,\n colour FROM orders'''"));
    assert_eq!(locate(&literal, "colour"), (7, 2, 6));
}

#[test]
fn sql_with_escapes_and_joined_lines() {
    let region = good(&with_sql("\"SELECT \\\"a\\\", \\u0062, colour\""));
    assert_eq!(locate(&region, "colour"), (6, 30, 6));
    let joined = good(&with_sql("\"\"\"SELECT \\\n   x, colour\"\"\""));
    assert_eq!(locate(&joined, "colour"), (7, 7, 6));
}

#[test]
fn sql_behind_a_filled_in_value() {
    let sql = with_sql("\"SELECT '${TOKEN}', colour\"");
    let region = region_with(&sql, &[("TOKEN", "a very long secret\nover two lines")]).unwrap();
    assert_eq!(locate(&region, "colour"), (6, 27, 6));
    assert_eq!(locate(&region, "very"), (6, 16, 1));
}

#[test]
fn sql_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.sql"), "-- ${NOT_FILLED}\nSELECT colour\n").unwrap();
    let toml = with_sql("\"\"").replace("sql = \"\"", "sql_file = \"p.sql\"");
    let region = region_at(&folder.path().join("eu.toml"), &toml, &[]).unwrap();
    assert_eq!(locate(&region, "colour"), (2, 8, 6));
    assert!(region.pipelines["p"].origin.file().ends_with("p.sql"));
}

#[test]
fn a_place_behind_the_end_is_the_end() {
    let region = good(&with_sql("\"SELECT\""));
    let pipeline = &region.pipelines["p"];
    for (line, column) in [(1, 7), (1, 99), (9, 9), (0, 0)] {
        let location = pipeline.origin.locate(&pipeline.sql, line, column);
        assert_eq!((location.line, location.width <= 6), (6, true), "{line}:{column}");
    }
}

#[test]
fn an_sql_error_becomes_a_diagnostic_in_the_file() {
    let sql = with_sql("\"SELECT '${TOKEN}', colour\"");
    let region = region_with(&sql, &[("TOKEN", "hunter2")]).unwrap();
    let pipeline = &region.pipelines["p"];
    let error = SqlError {
        message: "unknown column `colour` beside 'hunter2'".to_string(),
        position: Some((1, 19)),
        help: Some("did you mean `hunter2`?".to_string()),
    };
    let shown = pipeline.origin.diagnose("p", &pipeline.sql, &error).to_string();
    let expected = "error: unknown column `colour` beside '${TOKEN}'
 --> region.toml:6:27
  |
6 | sql = \"SELECT '${TOKEN}', colour\"
  |                           ^^^^^^
  = help: did you mean `${TOKEN}`?";
    assert_eq!(shown, expected);
    let nowhere = pipeline.origin.diagnose("p", &pipeline.sql, &SqlError::new("too many windows"));
    assert!(nowhere.message.starts_with("pipeline `p`: "), "{nowhere}");
}
