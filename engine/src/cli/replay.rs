//! `watershed replay`: pipelines run again over the archive of their sources, for a range of event time, into a place of
//! their own.
//!
//! The one idea: a replay is a run of the same region file in which sources are archives, sinks are folders below `--into`,
//! and the state is there, too. So it is as exact as any run: killed and started again, it goes on.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::physical_expr::expressions::Column;
use watershed_connectors::ReplayOptions;
use watershed_sinks::ParquetOptions;
use watershed_sinks::store::{Location, StoreOptions, without_credentials};

use super::args::Replay;
use super::exchange::Exchange;
use super::failure::{Failure, Outcome, load, refused_sql};
use super::run::{Drive, check_report_place, drive};
use super::screen::Screen;
use crate::checkpoint::{Chain, Manifest, Place};
use crate::config::{Checkpoint, ConnectorOptions, Region, SinkConfig, SinkOptions, SourceConfig};
use crate::decode::Format;
use crate::diagnostic::Diagnostic;
use crate::environment::System;
use crate::plan::{PlannedPipeline, PlannedRegion, Stage, plan_region};
use crate::rows::RowOp;
use crate::schema::SourceSchema;

/// Runs pipelines again over what an archive holds.
pub(super) async fn replay(arguments: Replay, screen: &Arc<Screen>) -> Outcome {
    let mut region = load(&arguments.file)?;
    screen.hide(&region.secrets);
    if let Some(path) = &arguments.report {
        check_report_place(path)?;
    }
    let range = range(&arguments)?;
    check_folder(&arguments.into)?;
    let planned = plan_region(&region).await.map_err(|errors| refused_sql(&region, errors))?;
    let chosen = chosen(&planned, &arguments)?;
    let archives = named_archives(&region, &arguments)?;
    let exchanges = match arguments.replace {
        true => exchanges(&region, &planned, &chosen, &arguments.into, &range).await?,
        false => Vec::new(),
    };
    for source in sources_of(&planned, &chosen) {
        let archive = match archives.get(&source) {
            Some(place) => place.clone(),
            None => found_archive(&planned, &source)?,
        };
        let Some(config) = region.sources.get_mut(&source) else { continue };
        into_replay(config, archive, &range, &arguments.into);
    }
    region.pipelines.retain(|name, _| chosen.contains(name));
    // The daemon itself may be running, on the same address.
    region.http = None;
    send_into(&mut region, &arguments.into)?;
    if let Some(lanes) = arguments.lanes {
        region.lanes = lanes;
    }
    check_into(&region).await?;
    let planned = plan_region(&region).await.map_err(|errors| refused_sql(&region, errors))?;
    let drive_it = Drive {
        report: arguments.report,
        quiet: arguments.quiet,
        reset_state: false,
        drain: false,
        only: range.wanted(),
    };
    let quiet = drive_it.quiet;
    if !drive(region, planned, drive_it, screen).await? {
        return Ok(());
    }
    for exchange in exchanges {
        let (came, went) = exchange.run()?;
        if !quiet {
            screen.print(&format!("  {exchange}: {came} files took the place of {went}\n"));
        }
    }
    Ok(())
}

/// A place in a store would be taken for a folder of that name.
fn check_folder(into: &Path) -> Outcome {
    let text = into.display().to_string();
    let why = match Location::of(&text) {
        Ok(Location::Folder(folder)) if folder == into => return Ok(()),
        Ok(_) => format!("--into {}: a replay writes to a folder of this machine", without_credentials(&text)),
        Err(error) => format!("--into {}: {error}", without_credentials(&text)),
    };
    Err(Failure::wrong(Diagnostic::new(why).help("name a folder; copy its files to a store afterwards")))
}

/// What `--replace` is to exchange; refused before anything is read.
async fn exchanges(
    region: &Region,
    planned: &PlannedRegion,
    chosen: &[String],
    into: &Path,
    range: &Stretch,
) -> Outcome<Vec<Exchange>> {
    let range = range.wanted().unwrap_or(i64::MIN..i64::MAX);
    let state = newest(&region.checkpoint).await?;
    let mut exchanges = Vec::new();
    for plan in planned.pipelines.iter().filter(|plan| chosen.iter().any(|name| *name == *plan.name)) {
        let exchange = Exchange::of(region, plan, into, &range, state.as_ref())?;
        match exchange.is_done()? {
            true => tracing::warn!(%exchange, "was exchanged already; name a fresh folder to replay it once more"),
            false => exchanges.push(exchange),
        }
    }
    Ok(exchanges)
}

/// The newest manifest of a state folder; none if there is no such folder.
pub(super) async fn newest(checkpoint: &Checkpoint) -> Outcome<Option<Manifest>> {
    let failed = |error: &dyn std::fmt::Display| Failure::running(error.to_string());
    if let Location::Folder(folder) = Location::of(&checkpoint.url).map_err(|error| failed(&error))?
        && !folder.exists()
    {
        return Ok(None);
    }
    let place = Place::open(&checkpoint.url, &checkpoint.store).map_err(|error| failed(&error))?;
    let chain = Chain::at(&place, Arc::new(System::new()));
    chain.newest().await.map_err(|error| failed(&error))
}

/// The event times to replay.
struct Stretch {
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
}

impl Stretch {
    /// In microseconds; none if all are wanted.
    fn wanted(&self) -> Option<Range<i64>> {
        let micros = |moment: DateTime<Utc>| moment.timestamp_micros();
        let bounded = self.from.is_some() || self.to.is_some();
        bounded.then(|| self.from.map_or(i64::MIN, micros)..self.to.map_or(i64::MAX, micros))
    }
}

fn range(arguments: &Replay) -> Outcome<Stretch> {
    let moment = |text: &Option<String>, flag: &str| match text {
        None => Ok(None),
        Some(text) => match DateTime::parse_from_rfc3339(text) {
            Ok(moment) => Ok(Some(moment.to_utc())),
            Err(_) => {
                let error = Diagnostic::new(format!("{flag} {text}: this is no moment"));
                Err(Failure::wrong(error.help("write it as 2026-03-01T00:00:00Z")))
            }
        },
    };
    let stretch = Stretch { from: moment(&arguments.from, "--from")?, to: moment(&arguments.to, "--to")? };
    match (stretch.from, stretch.to) {
        (Some(from), Some(to)) if from >= to => {
            Err(Failure::wrong(Diagnostic::new("--from must be before --to; --to itself is left out")))
        }
        _ => Ok(stretch),
    }
}

/// The pipelines to run: those that were named, or all that have windows.
fn chosen(planned: &PlannedRegion, arguments: &Replay) -> Outcome<Vec<String>> {
    let names: Vec<&str> = planned.pipelines.iter().map(|plan| plan.name.as_ref()).collect();
    if let Some(unknown) = arguments.pipeline.iter().find(|name| !names.contains(&name.as_str())) {
        let error = Diagnostic::new(format!("there is no pipeline `{unknown}`"));
        return Err(Failure::wrong(error.help(format!("the pipelines are {}", names.join(", ")))));
    }
    if !arguments.pipeline.is_empty() {
        return Ok(arguments.pipeline.clone());
    }
    let windowed = planned.pipelines.iter().filter(|plan| matches!(plan.stage, Stage::Windows { .. }));
    let windowed: Vec<String> = windowed.map(|plan| plan.name.to_string()).collect();
    if windowed.is_empty() {
        let error = Diagnostic::new("no pipeline here has windows");
        return Err(Failure::wrong(error.help("name the ones to replay: --pipeline NAME")));
    }
    Ok(windowed)
}

fn sources_of(planned: &PlannedRegion, chosen: &[String]) -> Vec<String> {
    let plans = planned.pipelines.iter().filter(|plan| chosen.iter().any(|name| *name == *plan.name));
    let mut sources: Vec<String> =
        plans.flat_map(|plan| plan.branches().map(|(_, branch)| branch.rows.source.to_string())).collect();
    sources.sort();
    sources.dedup();
    sources
}

/// What `--archive SOURCE=PLACE` says.
fn named_archives(region: &Region, arguments: &Replay) -> Outcome<BTreeMap<String, Archive>> {
    let mut archives = BTreeMap::new();
    for text in &arguments.archive {
        let Some((source, place)) = text.split_once('=') else {
            let error = Diagnostic::new(format!("--archive {text}: write SOURCE=PLACE"));
            return Err(Failure::wrong(error.help("as in --archive orders=lake/orders_raw")));
        };
        if !region.sources.contains_key(source) {
            let names: Vec<&str> = region.sources.keys().map(String::as_str).collect();
            let error = Diagnostic::new(format!("--archive {text}: there is no source `{source}`"));
            return Err(Failure::wrong(error.help(format!("the sources are {}", names.join(", ")))));
        }
        let json = [".json", ".ndjson", ".jsonl"].iter().any(|end| {
            let plain = place.trim_end_matches(".gz").trim_end_matches(".zst");
            plain.ends_with(end)
        });
        let format = if json { Format::Json } else { Format::Parquet };
        archives.insert(source.to_string(), Archive { place: place.to_string(), format });
    }
    Ok(archives)
}

/// Where a source's events are kept.
#[derive(Clone)]
struct Archive {
    place: String,
    format: Format,
}

/// The folder of the pipeline that archives `source`: no windows, every column of it, into Parquet.
fn found_archive(planned: &PlannedRegion, source: &str) -> Outcome<Archive> {
    let schema = planned.region.sources.get(source).and_then(|config| config.schema.as_ref());
    let keeps_all = |plan: &&PlannedPipeline| match (&plan.stage, schema) {
        (Stage::Rows(branches), Some(schema)) => {
            let [branch] = branches.as_slice() else { return false };
            *branch.rows.source == *source && branch.rows.ops.iter().all(keeps_rows) && has_columns(plan, schema)
        }
        _ => false,
    };
    let place = |plan: &PlannedPipeline| {
        let sinks = &planned.region.pipelines.get(plan.name.as_ref())?.sinks;
        sinks.iter().find_map(|sink| {
            let SinkConfig { options, standby, .. } = planned.region.sinks.get(sink)?;
            match options {
                SinkOptions::Parquet(options) => {
                    let is_local = options.local_path().is_ok();
                    Some((standby.as_ref(), is_local, files_of(&options.url, &plan.name)))
                }
                // Which of a table's files count is known to its log alone.
                SinkOptions::Delta(_) | SinkOptions::Messages(_) | SinkOptions::Stdout | SinkOptions::Null => None,
            }
        })
    };
    let found: Vec<_> = planned.pipelines.iter().filter(keeps_all).filter_map(place).collect();
    match found.as_slice() {
        [(None, true, place)] => Ok(Archive { place: place.clone(), format: Format::Parquet }),
        [(Some(standby), _, place)] => {
            let place = without_credentials(place);
            let error =
                format!("the archive of source `{source}` is {place}, without the rows that `{}` took", standby.sink);
            let help = format!(
                "it stands by for that sink: copy the files of both into folders below one, and name that: \
                 --archive {source}=FOLDER"
            );
            Err(Failure::wrong(Diagnostic::new(error).help(help)))
        }
        [(None, false, place)] => {
            let error = format!("the archive of source `{source}` is {}", without_credentials(place));
            let help =
                format!("a replay reads local files: copy them, and name their folder: --archive {source}=FOLDER");
            Err(Failure::wrong(Diagnostic::new(error).help(help)))
        }
        [] => {
            let error = Diagnostic::new(format!("no pipeline here archives source `{source}`"));
            let help = format!(
                "an archive is a pipeline such as SELECT * FROM {source} into a parquet sink; or name its place: \
                 --archive {source}=FOLDER"
            );
            Err(Failure::wrong(error.help(help)))
        }
        several => {
            let places: Vec<&str> = several.iter().map(|(_, _, place)| place.as_str()).collect();
            let error = Diagnostic::new(format!("source `{source}` has several archives: {}", places.join(", ")));
            Err(Failure::wrong(error.help(format!("name one: --archive {source}=FOLDER"))))
        }
    }
}

/// The files that one pipeline has written below a folder; others may write there, too.
fn files_of(url: &str, pipeline: &str) -> String {
    let digits = |count: usize| "[0-9]".repeat(count);
    format!("{}/**/{pipeline}-{}*-{}*.parquet", url.trim_end_matches('/'), digits(8), digits(4))
}

/// True for a step that leaves every row in place and every column under its name.
fn keeps_rows(op: &RowOp) -> bool {
    let RowOp::Project { exprs, schema } = op else { return false };
    exprs
        .iter()
        .zip(schema.fields())
        .all(|(expr, field)| expr.downcast_ref::<Column>().is_some_and(|column| column.name() == field.name()))
}

/// A folder that holds the replay of something else can't take this one: what it has read would be taken for read.
async fn check_into(region: &Region) -> Outcome {
    let Some(manifest) = newest(&region.checkpoint).await? else { return Ok(()) };
    let other = manifest.sources.iter().find(|(name, state)| {
        let now = region.sources.get(*name).map(|config| config.connector.identity());
        now.is_some_and(|now| now != state.identity)
    });
    match other {
        None => Ok(()),
        Some((name, _)) => {
            let error = format!("--into holds a replay of another range or archive of source `{name}`");
            Err(Failure::wrong(Diagnostic::new(error).help("name a fresh folder, or remove that one")))
        }
    }
}

fn has_columns(plan: &PlannedPipeline, schema: &SourceSchema) -> bool {
    schema.fields.iter().all(|field| plan.output_schema.column_with_name(&field.name).is_some())
}

/// Lets a source read its archive.
fn into_replay(config: &mut SourceConfig, archive: Archive, range: &Stretch, into: &Path) {
    let options = ReplayOptions { path: archive.place, from: range.from, to: range.to };
    config.connector = ConnectorOptions::Replay(options);
    config.format = archive.format;
    config.max_future = None;
    // What is archived has been told from its duplicates.
    config.deduplicate = None;
    config.dead_letters = into.join("_dead_letters").join(&config.name).display().to_string();
    config.dead_letters_store = StoreOptions::default();
}

/// Sends every pipeline into a folder of its own below `into`, and the state there, too.
fn send_into(region: &mut Region, into: &Path) -> Outcome {
    let mut sinks = BTreeMap::new();
    for (name, pipeline) in &mut region.pipelines {
        let parquet = pipeline.sinks.iter().filter_map(|sink| region.sinks.get(sink)).find_map(|sink| {
            let options = sink.options.files()?;
            let (url, store) = (into.join(name).display().to_string(), StoreOptions::default());
            // What is asked for once more does not go for its age.
            let options = ParquetOptions { url, store, retain: None, ..options.clone() };
            Some(SinkConfig { name: name.clone(), options: SinkOptions::Parquet(Box::new(options)), ..sink.clone() })
        });
        let Some(sink) = parquet else {
            let error =
                format!("pipeline `{name}` writes to no parquet or delta sink, so its replay has no place to go");
            return Err(Failure::wrong(Diagnostic::at(pipeline.location.clone(), error)));
        };
        pipeline.sinks = vec![name.clone()];
        pipeline.late = None;
        sinks.insert(name.clone(), sink);
    }
    region.sinks = sinks;
    region.checkpoint.url = into.join("_state").display().to_string();
    region.checkpoint.store = StoreOptions::default();
    region.spill = into.join("_spill");
    Ok(())
}
