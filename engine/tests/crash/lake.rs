//! What readers of a lake see.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{ParquetReadOptions, SessionContext};

use super::scenario::Scenario;

/// The rows of every table as text, sorted.
#[derive(Debug, PartialEq)]
pub(crate) struct Lake(BTreeMap<String, Vec<String>>);

impl Lake {
    /// Reads it as a lake engine does: every visible file, or those that a table's log names.
    pub(crate) fn read(scenario: &Scenario) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let tables = scenario.tables.iter();
        Self(tables.map(|table| (table.to_string(), runtime.block_on(rows(scenario, table)))).collect())
    }

    pub(crate) fn rows(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Panics with what differs.
    pub(crate) fn assert_equals(&self, expected: &Self, what: &str) {
        for (table, expected) in &expected.0 {
            let rows = &self.0[table];
            if rows == expected {
                continue;
            }
            let only = |a: &[String], b: &[String]| -> Vec<String> {
                let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
                a.iter().for_each(|row| *counts.entry(row).or_default() += 1);
                b.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
                counts.into_iter().filter(|(_, n)| *n > 0).map(|(row, n)| format!("{n} x {row}")).take(5).collect()
            };
            panic!(
                "{what}: table {table} has {} rows, not {}\ntoo many: {:#?}\nmissing: {:#?}",
                rows.len(),
                expected.len(),
                only(rows, expected),
                only(expected, rows)
            );
        }
    }
}

async fn rows(scenario: &Scenario, table: &str) -> Vec<String> {
    let folder = scenario.path(table);
    let places = match logged(&folder) {
        Some(files) => files.into_iter().collect(),
        None if has_files(&folder) => vec![folder.to_str().unwrap().to_owned()],
        None => Vec::new(),
    };
    if places.is_empty() {
        return Vec::new();
    }
    let context = SessionContext::new();
    let options = ParquetReadOptions::default();
    let frame = context.read_parquet(places, options).await.unwrap();
    // A dead letter says when it was written, which is another time in every life.
    let columns: Vec<_> = frame.schema().fields().iter().map(|field| field.name().clone()).collect();
    let kept: Vec<&str> =
        columns.iter().map(String::as_str).filter(|c| table != "dead_letters" || *c != "time").collect();
    let batches = frame.select_columns(&kept).unwrap().collect().await.unwrap();
    let format = FormatOptions::default().with_null("∅");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &format).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            // The folder of a scenario has another name each time.
            rows.push(values.join(" | ").replace(scenario.path("").to_str().unwrap(), ""));
        }
    }
    rows.sort();
    rows
}

/// The files of a Delta table, by every entry of its log; none if there is no log.
fn logged(folder: &Path) -> Option<BTreeSet<String>> {
    let entry = |version| std::fs::read_to_string(folder.join(format!("_delta_log/{version:020}.json"))).ok();
    let mut files = BTreeSet::new();
    entry(0)?;
    for line in (0..).map_while(entry).flat_map(|entry| entry.lines().map(str::to_owned).collect::<Vec<_>>()) {
        let action: serde_json::Value = serde_json::from_str(&line).unwrap();
        let file = |kind: &str| Some(folder.join(action[kind]["path"].as_str()?).to_str().unwrap().to_owned());
        if let Some(file) = file("add") {
            assert!(files.insert(file), "{} adds a file twice", folder.display());
        }
        if let Some(file) = file("remove") {
            assert!(files.remove(&file), "{} removes what it does not have", folder.display());
        }
    }
    Some(files)
}

fn has_files(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('_');
        !hidden && (path.extension().is_some_and(|e| e == "parquet") || path.is_dir() && has_files(&path))
    })
}
