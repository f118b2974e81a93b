//! `watershed query --all`: one query over the tables of many regions.
//!
//! The one idea: a query is parted at its lowest aggregates. What is below one is done in each region, and gives a partial
//! state for each group; only those travel, and are merged here, and the rest of the query runs over them. So no row leaves
//! its region, and the answer is that of the same query over all rows in one place.
//!
//! | region file | who does the region's part |
//! |---|---|
//! | `[http]` with a `query_token` | the region's daemon, which is asked over HTTP |
//! | no `[residency]`, and no daemon, or one that can't be reached | this process, which reads the lake |
//! | `[residency]`, and no daemon, or one that can't be reached | nobody: the query is refused |
//!
//! A query that has no aggregate at its bottom moves rows. It runs here, over the lakes, if no region has `[residency]`.
//!
//! | room | what |
//! |---|---|
//! | `split` | from SQL to the parts and what is above them |
//! | `part` | a region's part |
//! | `wire` | a region's answer as bytes |
//! | `remote` | asking a daemon |
//! | `serve` | the daemon's side of that |

mod part;
mod remote;
mod serve;
mod split;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::DataFrame;
use futures::{StreamExt, stream};
use globset::Glob;

use self::part::{Limits, Refused, with_region};
pub(super) use self::serve::Counter;
use self::split::Split;
use self::wire::Answer;
use super::args::Query;
use super::failure::{Failure, Outcome, load};
use super::query::{Table, Target, failed, is_function, only_reads, parse, session, unknown_table, usage, wrong};
use super::screen::Screen;
use crate::aggregate::GroupTable;
use crate::config::Region;
use crate::diagnostic::Diagnostic;
use crate::plan::physical_plan;
use crate::sql::SqlError;

/// How many regions are asked at a time: their answers are held in memory.
const AT_A_TIME: usize = 8;

/// Runs one query over many regions and writes its rows.
pub(super) async fn query_all(arguments: Query, screen: &Screen) -> Outcome {
    let Some((sql, files)) = arguments.files_and_sql.split_last().filter(|(_, files)| !files.is_empty()) else {
        return Err(usage("a query over many regions takes their files and the SQL"));
    };
    let target = Target::of(&arguments)?;
    let regions = load_all(files, screen)?;
    check_tables(&regions, sql)?;
    let answers = ask_all(&regions, sql).await?;
    let stream = match answers {
        Answers::Aggregates(answers) => merged(&regions, answers, sql).await?,
        Answers::Rows(why) => rows(&regions, sql, why).await?,
    };
    target.write(stream).await
}

/// What all regions said.
enum Answers {
    /// Each its part.
    Aggregates(Vec<Answer>),
    /// The query moves rows, for this reason.
    Rows(SqlError),
}

fn load_all(files: &[String], screen: &Screen) -> Outcome<Vec<Region>> {
    let mut regions: Vec<Region> = Vec::new();
    for file in files {
        for path in expand(file)? {
            let region = load(&path)?;
            screen.hide(&region.secrets);
            if let Some(same) = regions.iter().find(|other| other.name == region.name) {
                let error =
                    format!("{} and {} are both of region `{}`", same.file.display(), path.display(), region.name);
                return Err(Failure::wrong(Diagnostic::new(error).help("each region counts once: name it once")));
            }
            regions.push(region);
        }
    }
    Ok(regions)
}

/// The files that a pattern names, where the shell has left it as it is. A file of that very name comes first.
fn expand(text: &str) -> Outcome<Vec<PathBuf>> {
    let path = Path::new(text);
    let pattern = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if path.exists() || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![path.to_path_buf()]);
    }
    let refused = |why: &dyn std::fmt::Display| {
        let error = Diagnostic::new(format!("`{text}`: {why}"));
        Failure::wrong(error.help("name region files, or a pattern of them such as 'regions/*.toml'"))
    };
    let matcher = Glob::new(pattern).map_err(|error| refused(error.kind()))?.compile_matcher();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = folder.read_dir().map_err(|error| refused(&error))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found: Vec<_> = names.filter(|name| matcher.is_match(name)).map(|name| path.with_file_name(name)).collect();
    found.sort();
    match found.is_empty() {
        true => Err(refused(&"there is no such file")),
        false => Ok(found),
    }
}

/// Every table has to be written by a pipeline of every region: a region that is left out in silence is a wrong answer.
fn check_tables(regions: &[Region], sql: &str) -> Outcome {
    let session = session(least_memory(regions))?;
    let (_, named) = parse(&session, sql)?;
    for table in &named {
        let mut tables = BTreeMap::new();
        for region in regions {
            match Table::find(region, table.table(), None)? {
                Some(Table::Lake(lake)) => {
                    lake.tell_of_standby();
                    if let Some(other) = lake.delta_table().and_then(|url| tables.insert(url, &region.name)) {
                        let error =
                            format!("regions `{other}` and `{}` write `{table}` into one Delta table", region.name);
                        let help = format!(
                            "ask one of them, which reads it all: watershed query {} '…'",
                            region.file.display()
                        );
                        return Err(wrong(sql, SqlError::new(error).help(help)));
                    }
                }
                Some(Table::Reference(_)) => {
                    let error =
                        format!("`{table}` is a reference table of region `{}`, and no pipeline wrote it", region.name);
                    let help = "with --all, only what pipelines wrote can be asked for";
                    return Err(wrong(sql, SqlError::new(error).help(help)));
                }
                None if is_function(&session, table) => {}
                None => return Err(unknown_table(region, sql, table)),
            }
        }
    }
    Ok(())
}

/// What the query may take of memory here.
fn least_memory(regions: &[Region]) -> usize {
    regions.iter().map(|region| region.memory).min().unwrap_or_default()
}

async fn ask_all(regions: &[Region], sql: &str) -> Outcome<Answers> {
    let asked = stream::iter(regions).map(|region| ask(region, sql)).buffered(AT_A_TIME).collect::<Vec<_>>().await;
    // That the query moves rows matters more than that some daemon sleeps.
    let moves = asked.iter().find_map(|answer| match answer {
        Err(Refused::Rows(why)) => Some(why.clone()),
        _ => None,
    });
    if let Some(why) = moves {
        return match regions.iter().find(|region| region.residency.is_some()) {
            Some(region) => Err(stays(region, sql, why)),
            None => Ok(Answers::Rows(why)),
        };
    }
    let answers = asked.into_iter().map(|answer| {
        answer.map_err(|refused| match refused {
            Refused::Rows(why) => wrong(sql, why),
            Refused::Broke(error) => failed(error),
            Refused::Failed(failure) => failure,
        })
    });
    answers.collect::<Outcome<Vec<_>>>().map(Answers::Aggregates)
}

/// The refusal of a query that would move rows out of `region`.
fn stays(region: &Region, sql: &str, why: SqlError) -> Failure {
    let message = format!("rows of region `{}` stay there, by its [residency]: {}", region.name, why.message);
    let inside = format!("or run it where they are: watershed query {} '…'", region.file.display());
    let help = why.help.map_or_else(|| inside.clone(), |help| format!("{help};\n{inside}"));
    wrong(sql, SqlError { message, help: Some(help), position: why.position })
}

/// A region's part, by whoever may do it.
async fn ask(region: &Region, sql: &str) -> Result<Answer, Refused> {
    let daemon = region.http.as_ref().and_then(|http| Some((http.address(), http.query_token.as_ref()?)));
    let Some((address, token)) = daemon else {
        if region.residency.is_some() {
            let error = format!("region `{}` has [residency], and no daemon that answers queries", region.name);
            let help = "its rows stay there: let its daemon aggregate them, by [http] with listen, url and query_token";
            return Err(Failure::wrong(Diagnostic::in_file(&region.file, error).help(help)).into());
        }
        return part::run(region, sql, Limits::here(region.memory)).await;
    };
    match remote::ask(&address, token, &region.name, sql).await {
        Ok(answer) => Ok(answer),
        Err(remote::Error::Refused(refused)) => Err(refused),
        Err(remote::Error::Unreachable(why)) if region.residency.is_some() => {
            let error = format!("the daemon of region `{}` at {address} can't be asked: {why}", region.name);
            let help = "by its [residency] its rows stay there, so its lake is not read from here;\n\
                        start the daemon, or say in [http] `url` how it is reached";
            Err(Failure::Running(Diagnostic::new(error).help(help)).into())
        }
        Err(remote::Error::Unreachable(why)) => {
            tracing::warn!(region = %region.name, %address, %why, "its daemon can't be asked; reading its lake from here");
            part::run(region, sql, Limits::here(region.memory)).await
        }
    }
}

/// Merges what the regions said, and runs the rest of the query over it.
async fn merged(regions: &[Region], answers: Vec<Answer>, sql: &str) -> Outcome<SendableRecordBatchStream> {
    // A region that has written nothing yet has no part.
    let answers: Vec<(&Region, Answer)> =
        regions.iter().zip(answers).filter(|(_, answer)| !answer.tables.is_empty() || answer.reads_nothing).collect();
    let Some((_, first)) = answers.first() else {
        let names: Vec<&str> = regions.iter().map(|region| &*region.name).collect();
        return Err(Failure::running(format!("nothing is written yet in the regions {}", names.join(", "))));
    };
    for Answer { region, withheld, .. } in answers.iter().map(|(_, answer)| answer).filter(|answer| answer.withheld > 0)
    {
        tracing::warn!(%region, groups = withheld, "groups of a single event stay in their region, and are not in the answer");
    }
    let session = session(least_memory(regions))?;
    let schemas: BTreeMap<String, SchemaRef> = first.tables.iter().cloned().collect();
    let split = Split::of(&schemas, sql).await.map_err(|refused| refused.shown(sql))?;
    for (index, part) in split.parts.iter().enumerate() {
        let mut groups = GroupTable::new(part.spec.clone()).map_err(failed)?;
        for (region, answer) in &answers {
            let states = answer.parts.get(index).filter(|states| part.takes(states));
            let states = states.ok_or_else(|| differs(region, regions))?;
            groups.merge(states).map_err(failed)?;
        }
        part.fill(groups.finish().map_err(failed)?).map_err(failed)?;
    }
    let plan = physical_plan(&session, &split.above).await.map_err(|error| wrong(sql, error))?;
    execute_stream(plan, session.task_ctx()).map_err(failed)
}

fn differs(region: &Region, regions: &[Region]) -> Failure {
    let first = regions.first().map_or("", |region| &*region.name);
    let error = format!("the answer of region `{}` does not fit that of `{first}`", region.name);
    let help = "the columns that the query uses have to be of the same types in all regions, and the daemons of the same version";
    Failure::Running(Diagnostic::new(error).help(help))
}

/// Runs the query here, over the rows of all regions.
async fn rows(regions: &[Region], sql: &str, why: SqlError) -> Outcome<SendableRecordBatchStream> {
    tracing::debug!(why = %why, "reading rows of all regions, as none has [residency]");
    let session = session(least_memory(regions))?;
    let (statement, named) = parse(&session, sql)?;
    for table in &named {
        let mut union: Option<DataFrame> = None;
        for region in regions {
            let Some(Table::Lake(lake)) = Table::find(region, table.table(), None)? else { continue };
            let name = format!("{}.{}", region.name, table.table());
            if lake.register(&session, &name).await?.is_none() {
                continue;
            }
            let frame = session.table(TableReference::bare(name)).await.map_err(failed)?;
            let frame = with_region(frame, &region.name).map_err(failed)?;
            union = Some(match union {
                None => frame,
                Some(union) => union.union_by_name(frame).map_err(failed)?,
            });
        }
        let Some(union) = union else {
            if is_function(&session, table) {
                continue;
            }
            return Err(Failure::running(format!("`{table}` is not written yet in any of the regions")));
        };
        session.register_table(TableReference::bare(table.table()), union.into_view()).map_err(failed)?;
    }
    let plan = session.state().statement_to_plan(statement).await.map_err(|error| wrong(sql, error.into()))?;
    only_reads(&plan, sql)?;
    let frame = session.execute_logical_plan(plan).await.map_err(|error| wrong(sql, error.into()))?;
    frame.execute_stream().await.map_err(failed)
}
