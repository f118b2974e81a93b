//! `watershed compact`: many small files of a Delta table become few large ones, and what nobody reads any more is deleted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use watershed_sinks::delta::TableUpkeep;
use watershed_sinks::store::Location;
use watershed_sinks::{Amount, Compacted, ParquetOptions, SinkContext, SinkError, Swept, Upkeep as _};

use super::args::Compact;
use super::failure::{Failure, Outcome, load, refused_sql};
use super::places::{check_sinks, sinks};
use super::residency;
use super::screen::Screen;
use super::signals::Signals;
use crate::config::{Region, SinkConfig, SinkOptions};
use crate::diagnostic::{Diagnostic, nearest};
use crate::numbers::{bytes, count};
use crate::plan::{PlannedRegion, plan_region};

const NO_LOG: &str = "a Delta table has a log, by which many files go and one comes at once; write to a sink with \
                      connector = \"delta\", or keep files few from the start by `roll` and `partition_by`";

/// A pipeline's files in a table.
struct Table<'r> {
    sink: &'r SinkConfig,
    options: &'r ParquetOptions,
    context: SinkContext,
}

/// Sweeps every table once, and prints what came of it.
pub(super) async fn compact(arguments: Compact, screen: &Arc<Screen>) -> Outcome {
    let region = load(&arguments.file)?;
    screen.hide(&region.secrets);
    check_name(&region, arguments.sink.as_deref())?;
    let planned = plan_region(&region).await.map_err(|errors| refused_sql(&region, errors))?;
    check_sinks(&region, &planned)?;
    let tables = tables(&region, &planned, arguments.sink.as_deref())?;
    residency::check(&region, &planned).await?;
    let (signals, stop) = Signals::listen(screen)?;
    for table in tables {
        let text = if arguments.dry_run { table.plan().await } else { table.sweep(&|| *stop.borrow()).await }?;
        print(&screen.redact(&text))?;
        if *stop.borrow() {
            return Err(Failure::running("stopped by a signal; what is done is whole, and the next time goes on"));
        }
    }
    drop(signals);
    Ok(())
}

fn check_name(region: &Region, wanted: Option<&str>) -> Outcome {
    let Some(wanted) = wanted else { return Ok(()) };
    let Some(sink) = region.sinks.get(wanted) else {
        let error = Diagnostic::in_file(&region.file, format!("there is no sink `{wanted}`"));
        let names = || region.sinks.keys().map(String::as_str);
        return Err(Failure::wrong(error.help(match nearest(wanted, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the sinks are {}", names().collect::<Vec<_>>().join(", ")),
        })));
    };
    match &sink.options {
        SinkOptions::Delta(_) => Ok(()),
        SinkOptions::Parquet(_) => {
            let error = format!(
                "sink `{wanted}` is plain Parquet: no store takes many files away and puts one there in one step, so that \
                 whoever reads meanwhile would see rows twice, or not at all"
            );
            Err(Failure::wrong(Diagnostic::at(sink.location.clone(), error).help(NO_LOG)))
        }
        SinkOptions::Messages(_) | SinkOptions::Stdout | SinkOptions::Null => {
            let error = format!("sink `{wanted}` keeps no files");
            Err(Failure::wrong(
                Diagnostic::at(sink.location.clone(), error).help("name a sink with connector = \"delta\""),
            ))
        }
    }
}

fn tables<'r>(region: &'r Region, planned: &PlannedRegion, wanted: Option<&str>) -> Outcome<Vec<Table<'r>>> {
    let mut tables = Vec::new();
    for (sink, context) in planned.pipelines.iter().flat_map(|pipeline| sinks(region, pipeline)) {
        if let (SinkOptions::Delta(options), true) = (&sink.options, wanted.is_none_or(|wanted| wanted == sink.name)) {
            tables.push(Table { sink, options, context });
        }
    }
    if !tables.is_empty() {
        return Ok(tables);
    }
    let error = match wanted {
        Some(wanted) => format!("no pipeline writes to sink `{wanted}`"),
        None => {
            "no pipeline writes to a delta sink, and plain Parquet files cannot be compacted: no store takes many away \
                 and puts one there in one step"
                .to_owned()
        }
    };
    Err(Failure::wrong(Diagnostic::in_file(&region.file, error).help(NO_LOG)))
}

impl Table<'_> {
    fn name(&self) -> String {
        let late = if self.context.late { " (late rows)" } else { "" };
        format!("{}{late} in {}", self.context.pipeline, self.sink.name)
    }

    /// None if nothing was written there.
    fn upkeep(&self) -> Outcome<Option<TableUpkeep>> {
        let place = self.options.check_place().map_err(|error| self.failed(error))?;
        if matches!(place, Location::Folder(folder) if !folder.is_dir()) {
            return Ok(None);
        }
        let upkeep = TableUpkeep::at(self.options.clone(), self.context.clone(), Arc::new(Instant::now));
        Ok(Some(upkeep.map_err(|error| self.failed(error))?.compacting()))
    }

    async fn plan(&self) -> Outcome<String> {
        let Some(mut upkeep) = self.upkeep()? else { return Ok(self.empty()) };
        let planned = upkeep.plan(Utc::now()).await.map_err(|error| self.failed(error))?;
        let mut text = about(&self.name(), &planned, "would become");
        for (folder, Compacted { before, after }) in &planned {
            let _ = writeln!(text, "  {}: {} -> {}", shown(folder), amount(before), files(after.files));
        }
        Ok(text)
    }

    async fn sweep(&self, stop: &(dyn Fn() -> bool + Sync)) -> Outcome<String> {
        let Some(mut upkeep) = self.upkeep()? else { return Ok(self.empty()) };
        let mut swept = Swept::default();
        let done = upkeep.sweep(Utc::now(), stop, &mut swept).await;
        let mut text = about(&self.name(), &swept.compacted, "became");
        for (folder, Compacted { before, after }) in &swept.compacted {
            let _ = writeln!(text, "  {}: {} -> {}", shown(folder), amount(before), amount(after));
        }
        if swept.expired.files > 0 {
            let expired = Amount { files: swept.expired.files, bytes: swept.expired.bytes };
            let partitions = swept.expired.partitions.len();
            let partitions =
                if partitions == 1 { "1 old partition".to_owned() } else { format!("{partitions} old partitions") };
            let are = if expired.files == 1 { "is" } else { "are" };
            let _ = writeln!(text, "  {} of {partitions} {are} out of the table", amount(&expired));
        }
        if swept.vacuumed.files > 0 {
            let are = if swept.vacuumed.files == 1 { "is" } else { "are" };
            let _ = writeln!(text, "  {} that the table no longer has {are} deleted", amount(&swept.vacuumed));
        }
        match done {
            Ok(()) => Ok(text),
            Err(error) => {
                print(&text)?;
                Err(self.failed(error))
            }
        }
    }

    fn empty(&self) -> String {
        format!("{}: nothing is written yet\n", self.name())
    }

    fn failed(&self, error: SinkError) -> Failure {
        let message = format!("{}: {error}", self.name());
        match error {
            SinkError::Config { .. } => Failure::wrong(Diagnostic::at(self.sink.location.clone(), message)),
            _ => Failure::running(message),
        }
    }
}

fn about(name: &str, compacted: &BTreeMap<String, Compacted>, verb: &str) -> String {
    let before: Amount = compacted.values().map(|compacted| compacted.before).sum();
    let after: Amount = compacted.values().map(|compacted| compacted.after).sum();
    match compacted.len() {
        0 => format!("{name}: no small files to merge\n"),
        n => {
            let partitions = if n == 1 { "1 partition".to_owned() } else { format!("{} partitions", count(n as u64)) };
            format!("{name}: in {partitions} {} {verb} {}\n", amount(&before), files(after.files))
        }
    }
}

fn amount(amount: &Amount) -> String {
    format!("{} ({})", files(amount.files), bytes(amount.bytes as f64))
}

fn files(files: u64) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{} files", count(files)) }
}

/// A partition's folder, for people.
fn shown(folder: &str) -> &str {
    if folder.is_empty() { "(no partitions)" } else { folder }
}

/// A reader that has gone is no failure.
fn print(text: &str) -> Outcome {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::running(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
