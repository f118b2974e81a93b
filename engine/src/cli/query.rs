//! `watershed query`: SQL over what the pipelines wrote.

use std::io;
use std::path::PathBuf;

use datafusion::common::TableReference;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionConfig;
use futures::TryStreamExt;

use super::args::Query;
use super::failure::{Failure, Outcome, load};
use super::lake;
use super::rows::{Rows, is_closed};
use super::screen::Screen;
use crate::config::Region;
use crate::diagnostic::{Diagnostic, Location, nearest};
use crate::sql::SqlError;

/// Runs one query and prints its rows.
pub(super) async fn query(arguments: Query, screen: &Screen) -> Outcome {
    let region = load(&arguments.file)?;
    screen.hide(&region.secrets);
    let session = session()?;
    let plan = plan(&session, &region, &arguments.sql).await?;
    let failed = |error: &dyn std::fmt::Display| Failure::running(format!("the query failed: {error}"));
    let frame = session.execute_logical_plan(plan).await.map_err(|error| wrong(&arguments.sql, error.into()))?;
    let mut stream = frame.execute_stream().await.map_err(|error| failed(&error.strip_backtrace()))?;
    let mut rows = Rows::new(arguments.format, stream.schema(), io::stdout().lock());
    loop {
        let batch = stream.try_next().await.map_err(|error| failed(&error.strip_backtrace()))?;
        let written = match batch {
            Some(batch) => rows.write(batch),
            None => break,
        };
        match written {
            Err(error) if is_closed(&error) => return Ok(()),
            written => written.map_err(|error| failed(&error))?,
        }
    }
    match rows.finish() {
        Err(error) if is_closed(&error) => Ok(()),
        finished => finished.map_err(|error| failed(&error)),
    }
}

/// A session for queries over what pipelines wrote.
pub(super) fn session() -> Outcome<SessionContext> {
    let mut config =
        SessionConfig::new().with_information_schema(false).set_bool("datafusion.sql_parser.collect_spans", true);
    config.options_mut().execution.time_zone = Some("UTC".into());
    // The cache of listings goes by path alone, and the tables of two pipelines have the same: each is a store of its own.
    let runtime = RuntimeEnvBuilder::new()
        .with_object_list_cache_limit(0)
        .build_arc()
        .map_err(|error| Failure::running(format!("cannot set up the query: {error}")))?;
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

/// Plans the query over the tables that it names, and no others.
pub(super) async fn plan(session: &SessionContext, region: &Region, sql: &str) -> Outcome<LogicalPlan> {
    let state = session.state();
    let dialect = state.config().options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect).map_err(|error| wrong(sql, error.into()))?;
    let named = state.resolve_table_references(&statement).map_err(|error| wrong(sql, error.into()))?;
    for table in &named {
        match region.pipelines.get(table.table()) {
            Some(pipeline) => lake::register(session, region, pipeline).await?,
            None if state.table_functions().contains_key(table.table()) => {}
            None => return Err(unknown_table(region, sql, table)),
        }
    }
    let plan = session.state().statement_to_plan(statement).await.map_err(|error| wrong(sql, error.into()))?;
    let only_reads = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    match only_reads.verify_plan(&plan) {
        Ok(()) => Ok(plan),
        Err(_) => Err(wrong(sql, SqlError::new("a query only reads").help("write a SELECT"))),
    }
}

fn unknown_table(region: &Region, sql: &str, table: &TableReference) -> Failure {
    let names = || region.pipelines.keys().map(String::as_str);
    let help = match nearest(table.table(), names()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("the pipelines are {}", names().collect::<Vec<_>>().join(", ")),
    };
    let error = SqlError::new(format!("there is no pipeline `{table}`")).help(help);
    wrong(sql, SqlError { position: find_word(sql, table.table()), ..error })
}

/// Line and column of the first `word` in `sql`, without regard to case.
fn find_word(sql: &str, word: &str) -> Option<(usize, usize)> {
    let (sql, word) = (sql.to_ascii_lowercase(), word.to_ascii_lowercase());
    let at = sql.find(&word)?;
    let before = &sql[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
}

/// The failure for wrong SQL, at its place in what was typed.
fn wrong(sql: &str, error: SqlError) -> Failure {
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
