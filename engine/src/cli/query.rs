//! `watershed query`: SQL over what the pipelines wrote.
//!
//! The one idea: rows go from the plan to where they are wanted batch by batch. The plan may be of one region, here, or of
//! many, in `federation`.

use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, TableReference};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use futures::TryStreamExt;

use super::args::{Query, RowFormat};
use super::failure::{Failure, Outcome, load};
use super::lake::{self, Lake, Reading};
use super::rows::{Output, Rows, is_closed};
use super::screen::Screen;
use crate::config::{Region, TableConfig};
use crate::diagnostic::{Diagnostic, Location, nearest};
use crate::plan::open_table;
use crate::sql::SqlError;

/// Runs one query and writes its rows.
pub(super) async fn query(arguments: Query, screen: &Screen) -> Outcome {
    let (sql, file) = match arguments.files_and_sql.as_slice() {
        [file, sql] => (sql, Path::new(file)),
        _ => return Err(usage("a query takes a region file and the SQL")),
    };
    let target = Target::of(&arguments)?;
    let region = load(file)?;
    screen.hide(&region.secrets);
    let session = session(region.memory)?;
    let Planned { plan, readings } = plan(&session, &region, arguments.sink.as_deref(), sql).await?;
    if arguments.explain {
        return explain(&session, plan, &readings, sql).await;
    }
    let frame = session.execute_logical_plan(plan).await.map_err(|error| wrong(sql, error.into()))?;
    let stream = frame.execute_stream().await.map_err(failed)?;
    match target.write(stream).await {
        Err(failure) => Err(broken_file(&session, &readings).await.unwrap_or(failure)),
        written => written,
    }
}

/// The failure that a broken file makes, by its name; none if it is not that.
pub(super) async fn broken_file(session: &SessionContext, readings: &[Reading]) -> Option<Failure> {
    for reading in readings {
        if let Some(error) = reading.broken(session).await {
            return Some(failed(error));
        }
    }
    None
}

pub(super) fn usage(message: &str) -> Failure {
    Failure::wrong(Diagnostic::new(message).help("watershed query FILE SQL, or watershed query --all FILE... SQL"))
}

/// The failure of a query that was right.
pub(super) fn failed(error: DataFusionError) -> Failure {
    lake::failed("the query failed", &error)
}

/// Where rows are wanted, and how.
#[derive(Debug)]
pub(super) struct Target {
    format: RowFormat,
    /// A file; none: standard output.
    output: Option<PathBuf>,
}

impl Target {
    pub(super) fn of(arguments: &Query) -> Outcome<Self> {
        let output = arguments.output.clone();
        let extension = output.as_ref().and_then(|path| path.extension()?.to_str());
        let by_name = match extension {
            Some("csv") => RowFormat::Csv,
            Some("json") => RowFormat::Json,
            Some("ndjson" | "jsonl") => RowFormat::Ndjson,
            Some("parquet") => RowFormat::Parquet,
            _ => RowFormat::Table,
        };
        let format = arguments.format.unwrap_or(by_name);
        if format == RowFormat::Parquet && output.is_none() {
            let error = Diagnostic::new("--format parquet writes a file, not to standard output");
            return Err(Failure::wrong(error.help("name it: --output rows.parquet")));
        }
        Ok(Self { format, output })
    }

    /// Writes the rows of a stream as they come. Whoever does not want them any more ends it, and nothing is wrong.
    pub(super) async fn write(&self, mut stream: SendableRecordBatchStream) -> Outcome {
        let out = match &self.output {
            Some(path) => Output::file(path).map_err(|error| self.cannot_write(&error.into()))?,
            None => Output::stdout(),
        };
        let mut rows = Rows::new(self.format, stream.schema(), out).map_err(|error| self.cannot_write(&error))?;
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            match rows.write(&batch) {
                Err(error) if is_closed(&error) => return Ok(()),
                written => written.map_err(|error| self.cannot_write(&error))?,
            }
        }
        match rows.finish() {
            Err(error) if is_closed(&error) => Ok(()),
            finished => {
                let kept = finished.and_then(|out| Ok(out.keep()?));
                kept.map_err(|error| self.cannot_write(&error))
            }
        }
    }

    fn cannot_write(&self, error: &ArrowError) -> Failure {
        let to = self.output.as_ref().map_or_else(|| "standard output".to_string(), |path| path.display().to_string());
        Failure::running(format!("cannot write the rows to {to}: {error}"))
    }
}

/// Runs the query, and prints what it read in place of its rows.
async fn explain(session: &SessionContext, plan: LogicalPlan, readings: &[Reading], sql: &str) -> Outcome {
    let frame = session.execute_logical_plan(plan).await.map_err(|error| wrong(sql, error.into()))?;
    let plan = frame.create_physical_plan().await.map_err(|error| wrong(sql, error.into()))?;
    let mut rows: u64 = 0;
    let mut stream = execute_stream(plan.clone(), session.task_ctx()).map_err(failed)?;
    while let Some(batch) = stream.try_next().await.map_err(failed)? {
        rows += batch.num_rows() as u64;
    }
    let mut text = format!("{rows} row{}\n", if rows == 1 { "" } else { "s" });
    for reading in readings {
        text.push_str(&format!("{reading}\n"));
    }
    text.push_str(&DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(false).to_string());
    match io::Write::write_all(&mut io::stdout().lock(), text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::running(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// A session for queries over what pipelines wrote. What sorts, groups and joins keep goes to the local disk beyond
/// `memory` bytes, or ends the query where it cannot.
pub(super) fn session(memory: usize) -> Outcome<SessionContext> {
    // The bounds that a footer has are of the file's type. Where a column has another in the table they would be taken for
    // none, and a minimum over all files for that of the others.
    let mut config = SessionConfig::new()
        .with_information_schema(false)
        .with_collect_statistics(false)
        .set_bool("datafusion.sql_parser.collect_spans", true);
    config.options_mut().execution.time_zone = Some("UTC".into());
    // The cache of listings goes by path alone, and the tables of two pipelines have the same: each is a store of its own.
    let runtime = RuntimeEnvBuilder::new()
        .with_object_list_cache_limit(0)
        .with_memory_limit(memory, 1.0)
        .build_arc()
        .map_err(|error| Failure::running(format!("cannot set up the query: {error}")))?;
    let session = SessionContext::new_with_config_rt(config, runtime);
    crate::aggregate::register(&session);
    Ok(session)
}

/// A query that can be run.
pub(super) struct Planned {
    pub(super) plan: LogicalPlan,
    /// What it reads.
    pub(super) readings: Vec<Reading>,
}

/// A table of a region.
pub(super) enum Table<'r> {
    /// What a pipeline wrote.
    Lake(Lake<'r>),
    /// What pipelines join.
    Reference(&'r TableConfig),
}

impl<'r> Table<'r> {
    /// The table called `name`, if there is one: pipelines first, then their late rows, then reference tables.
    ///
    /// What a pipeline wrote is read in the sink called `sink`, else in its first one.
    pub(super) fn find(region: &'r Region, name: &str, sink: Option<&str>) -> Outcome<Option<Self>> {
        if let Some(pipeline) = region.pipelines.get(name) {
            return Lake::of(region, pipeline, sink).map(|lake| Some(Self::Lake(lake)));
        }
        let late = Lake::late(region, name).map(Self::Lake);
        Ok(late.or_else(|| region.tables.get(name).map(Self::Reference)))
    }
}

/// Plans the query over the tables that it names, and no others.
pub(super) async fn plan(session: &SessionContext, region: &Region, sink: Option<&str>, sql: &str) -> Outcome<Planned> {
    let (statement, named) = parse(session, sql)?;
    let mut readings = Vec::new();
    for table in &named {
        let name = table.table();
        match Table::find(region, name, sink)? {
            Some(Table::Lake(lake)) => {
                lake.tell_of_standby();
                let reading = lake.register(session, name).await?;
                readings.push(reading.ok_or_else(|| lake.nothing())?);
            }
            Some(Table::Reference(config)) => register_reference(session, config).await?,
            None if is_function(session, table) => {}
            None => return Err(unknown_table(region, sql, table)),
        }
    }
    let plan = session.state().statement_to_plan(statement).await.map_err(|error| wrong(sql, error.into()))?;
    only_reads(&plan, sql)?;
    Ok(Planned { plan, readings })
}

/// Parses one statement; gives it with the tables that it names.
pub(super) fn parse(session: &SessionContext, sql: &str) -> Outcome<(Statement, Vec<TableReference>)> {
    let state = session.state();
    let dialect = state.config().options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect).map_err(|error| wrong(sql, error.into()))?;
    let named = state.resolve_table_references(&statement).map_err(|error| wrong(sql, error.into()))?;
    Ok((statement, named))
}

/// True for a function that makes rows, such as `generate_series`.
pub(super) fn is_function(session: &SessionContext, table: &TableReference) -> bool {
    session.state().table_functions().contains_key(table.table())
}

/// Refuses what would change anything.
pub(super) fn only_reads(plan: &LogicalPlan, sql: &str) -> Outcome {
    let only_reads = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    only_reads.verify_plan(plan).map_err(|_| wrong(sql, SqlError::new("a query only reads").help("write a SELECT")))
}

async fn register_reference(session: &SessionContext, config: &TableConfig) -> Outcome {
    let cannot_read = |error: &SqlError| {
        let mut diagnostic = Diagnostic::new(error.message.clone());
        diagnostic.help = error.help.clone();
        Failure::Running(diagnostic)
    };
    let opened = open_table(config).await.map_err(|error| cannot_read(&error))?;
    if let Some((url, store)) = opened.store {
        session.register_object_store(url.as_ref(), store);
    }
    let table = TableReference::bare(config.name.as_str());
    session.register_table(table, opened.provider).map_err(|error| cannot_read(&error.into()))?;
    Ok(())
}

pub(super) fn unknown_table(region: &Region, sql: &str, table: &TableReference) -> Failure {
    let names = || region.pipelines.keys().chain(region.tables.keys()).map(String::as_str);
    let help = match nearest(table.table(), names()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("the tables are {}", names().collect::<Vec<_>>().join(", ")),
    };
    let error = SqlError::new(format!("there is no table `{table}` in region `{}`", region.name)).help(help);
    wrong(sql, SqlError { position: find_word(sql, table.table()), ..error })
}

/// Line and column of the first `word` in `sql`, without regard to case.
pub(super) fn find_word(sql: &str, word: &str) -> Option<(usize, usize)> {
    let (sql, word) = (sql.to_ascii_lowercase(), word.to_ascii_lowercase());
    let at = sql.find(&word)?;
    let before = &sql[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
}

/// The failure for wrong SQL, at its place in what was typed.
pub(super) fn wrong(sql: &str, error: SqlError) -> Failure {
    let mut diagnostic = match error.position {
        Some((line, column)) => {
            let source_line = sql.lines().nth(line.saturating_sub(1)).unwrap_or_default().to_string();
            let rest = source_line.chars().skip(column.saturating_sub(1));
            let width = rest.take_while(|c| c.is_alphanumeric() || *c == '_').count().max(1);
            Diagnostic::at(Location { file: PathBuf::from("SQL"), line, column, width, source_line }, error.message)
        }
        None => Diagnostic::new(error.message),
    };
    diagnostic.help = error.help;
    Failure::wrong(diagnostic)
}
