//! Statements by which somebody else's engine sees what a pipeline wrote as a table.
//!
//! The one idea: a [`LakeTable`] says all that can be known of the files from outside, and each engine is a pure function
//! from it to text, or to the reason why that engine cannot read them.

mod athena;
mod bigquery;
mod delta;
mod duckdb;
mod place;
mod snowflake;
mod spark;
mod synapse;
#[cfg(test)]
mod tests;
mod text;
mod trino;

use clap::ValueEnum;
use watershed_sinks::parquet::{FolderLevel, Layout};

use place::Place;
use text::{Column, columns};

/// An engine that reads lakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Amazon Athena, over S3: partitions are projected, so none has to be added.
    Athena,
    /// BigQuery, over Google Cloud Storage: an external table that wants a partition filter.
    #[value(name = "bigquery")]
    BigQuery,
    /// Azure Synapse, serverless: a view over OPENROWSET.
    Synapse,
    /// Apache Spark SQL.
    Spark,
    /// Trino's Hive connector: partitions are projected.
    Trino,
    /// DuckDB: a view.
    #[value(name = "duckdb")]
    DuckDb,
    /// Snowflake: an external table over a stage.
    Snowflake,
}

/// What a pipeline wrote, as others see it.
#[derive(Debug, Clone)]
pub struct LakeTable {
    /// The table's name.
    pub name: String,
    /// Where the files are: a URL, or a path on this machine.
    pub location: String,
    /// How they lie below it.
    pub layout: Layout,
    /// Whether they are those of a Delta table, which says itself what they hold.
    pub delta: bool,
    /// Another pipeline whose files lie below the same location.
    pub neighbour: Option<String>,
}

/// Why an engine cannot read a table, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unfit {
    /// What does not fit.
    pub message: String,
    /// The way out.
    pub help: String,
}

impl Unfit {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// The statements that make `table` a table of `engine`, each ended by a semicolon and a line break.
pub fn statements(engine: Engine, table: &LakeTable) -> Result<String, Unfit> {
    if table.delta {
        return delta::statements(engine, table);
    }
    match engine {
        Engine::Athena => athena::statements(table),
        Engine::BigQuery => bigquery::statements(table),
        Engine::Synapse => synapse::statements(table),
        Engine::Spark => spark::statements(table),
        Engine::Trino => trino::statements(table),
        Engine::DuckDb => duckdb::statements(table),
        Engine::Snowflake => snowflake::statements(table),
    }
}

impl LakeTable {
    fn place(&self) -> Place<'_> {
        Place::of(&self.location)
    }

    fn levels(&self) -> &[FolderLevel] {
        &self.layout.levels
    }

    /// Columns inside the files, with what `sql_type` calls their types.
    fn columns(&self, engine: &str, sql_type: text::SqlType) -> Result<Vec<Column>, Unfit> {
        columns(engine, &self.layout.columns, sql_type)
    }

    /// Refuses what cannot be told apart: for engines that read folders whole.
    fn check_alone(&self, engine: &str) -> Result<(), Unfit> {
        let Some(neighbour) = &self.neighbour else { return Ok(()) };
        Err(Unfit::new(
            format!("{engine} reads whole folders, and pipeline `{neighbour}` writes into the same one"),
            "give each pipeline a sink of its own, with a `url` of its own",
        ))
    }

    /// Refuses a place that an engine cannot reach.
    fn unreachable(&self, engine: &str, wants: &str, example: &str) -> Unfit {
        Unfit::new(
            format!("{engine} reads {wants}, and this lake is at {}", self.location),
            format!("if {engine} finds it elsewhere, say where: --location {example}"),
        )
    }

    /// The folder levels as a glob, each with a slash behind it.
    fn folders(&self) -> String {
        self.levels().iter().map(|level| format!("{}=*/", level.name)).collect()
    }

    /// The names of this pipeline's files as a glob that no other pipeline's match: an epoch and a number follow.
    fn files(&self) -> String {
        format!("{}{}-[0-9]*.parquet", self.layout.prefix, "[0-9]".repeat(EPOCH_DIGITS))
    }
}

/// Digits of an epoch in a file's name; more would take centuries.
const EPOCH_DIGITS: usize = 8;
/// The folder that stands for null.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";
/// How a place in Azure is written, in advice.
const AZURE: &str = "abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX";
