//! `watershed ddl`: statements that make the lake a table elsewhere.

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use watershed_sinks::parquet::Layout;
use watershed_sinks::store::{Address, Cloud, Location};
use watershed_sinks::{ParquetOptions, SinkContext};

use super::args::Ddl;
use super::failure::{Failure, Outcome, load, refused_sql};
use super::places::{check_sinks, sinks};
use super::screen::Screen;
use crate::config::{Region, SinkConfig, SinkOptions};
use crate::ddl::{Engine, LakeTable, statements};
use crate::diagnostic::{Diagnostic, nearest};
use crate::plan::{PlannedPipeline, PlannedRegion, plan_region};

/// Prints the statements, or has them carried out.
pub(super) async fn ddl(arguments: Ddl, screen: &Arc<Screen>) -> Outcome {
    let region = load(&arguments.file)?;
    screen.hide(&region.secrets);
    check_names(&region, &arguments.pipeline)?;
    let planned = plan_region(&region).await.map_err(|errors| refused_sql(&region, errors))?;
    check_sinks(&region, &planned)?;
    let tables = tables(&region, &planned, &arguments)?;
    let texts = tables.iter().map(|(sink, table)| {
        statements(arguments.engine, table)
            .map_err(|unfit| Failure::wrong(Diagnostic::at(sink.location.clone(), unfit.message).help(unfit.help)))
    });
    let text = texts.collect::<Outcome<Vec<_>>>()?.join("\n");
    match &arguments.apply {
        Some(database) if arguments.engine == Engine::DuckDb => apply(database, &text),
        Some(_) => Err(Failure::wrong(
            Diagnostic::new("--apply is for --for duckdb only")
                .help("leave it out, and give what is printed to the engine's own client"),
        )),
        None => print(&text),
    }
}

fn check_names(region: &Region, wanted: &[String]) -> Outcome {
    let Some(name) = wanted.iter().find(|name| !region.pipelines.contains_key(*name)) else { return Ok(()) };
    let error = Diagnostic::in_file(&region.file, format!("there is no pipeline `{name}`"));
    let names = || region.pipelines.keys().map(String::as_str);
    Err(Failure::wrong(error.help(match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the pipelines are {}", names().collect::<Vec<_>>().join(", ")),
    })))
}

/// A pipeline's files at one sink.
struct Written<'r> {
    sink: &'r SinkConfig,
    options: &'r ParquetOptions,
    url: &'r str,
    pipeline: &'r PlannedPipeline,
    context: SinkContext,
    late: bool,
}

/// The tables that are wanted, each with the sink that it lies in.
fn tables<'r>(
    region: &'r Region,
    planned: &'r PlannedRegion,
    arguments: &Ddl,
) -> Outcome<Vec<(&'r SinkConfig, LakeTable)>> {
    let all = written(region, planned);
    let is_wanted = |pipeline: &str| arguments.pipeline.is_empty() || arguments.pipeline.iter().any(|n| n == pipeline);
    let wanted: Vec<&Written> = all.iter().filter(|written| is_wanted(&written.pipeline.name)).collect();
    if wanted.is_empty() {
        let error =
            Diagnostic::in_file(&region.file, "no pipeline writes to a parquet sink, so there is no table to make");
        return Err(Failure::wrong(error));
    }
    if arguments.location.is_some() && wanted.len() > 1 {
        let names: Vec<_> = wanted.iter().map(|written| written.table_name(&wanted)).collect();
        let error = format!("--location is one place, and there are {} tables: {}", names.len(), names.join(", "));
        return Err(Failure::wrong(Diagnostic::new(error).help("name one with --pipeline")));
    }
    let table = |written: &&Written<'r>| {
        let layout = written.layout()?;
        let neighbour = all.iter().find(|other| written.holds(other));
        let table = LakeTable {
            name: written.table_name(&wanted),
            location: written.location(region, arguments.location.as_deref())?,
            layout,
            delta: matches!(written.sink.options, SinkOptions::Delta(_)),
            neighbour: neighbour.map(|other| other.pipeline.name.to_string()),
        };
        Ok((written.sink, table))
    };
    wanted.iter().map(table).collect()
}

/// Everything that lies in parquet sinks.
fn written<'r>(region: &'r Region, planned: &'r PlannedRegion) -> Vec<Written<'r>> {
    let mut all = Vec::new();
    for pipeline in &planned.pipelines {
        let late = region.pipelines.get(&*pipeline.name).and_then(|config| config.late.as_ref());
        for (sink, context) in sinks(region, pipeline) {
            if let Some(options) = sink.options.files() {
                let url = options.url.trim_end_matches('/');
                all.push(Written { sink, options, url, pipeline, context, late: late == Some(&sink.name) });
            }
        }
    }
    all
}

impl Written<'_> {
    fn layout(&self) -> Outcome<Layout> {
        let layout = self.options.layout(&self.context);
        layout.map_err(|error| Failure::wrong(Diagnostic::at(self.sink.location.clone(), error.to_string())))
    }

    /// The pipeline's name; with the sink's where it writes to several.
    fn table_name(&self, all: &[&Written]) -> String {
        let pipeline = &self.pipeline.name;
        let sinks = all.iter().filter(|other| other.pipeline.name == *pipeline && !other.late);
        match self.late {
            true => format!("{pipeline}_late"),
            false if sinks.count() > 1 => format!("{pipeline}_{}", self.sink.name),
            false => pipeline.to_string(),
        }
    }

    /// True if another's files lie in or below the same folder.
    fn holds(&self, other: &Written) -> bool {
        let (Ok(here), Ok(there)) = (Location::of(self.url), Location::of(other.url)) else { return false };
        let (options, others) = (&self.options.store, &other.options.store);
        let is_other = other.pipeline.name != self.pipeline.name || !here.is_same(options, &there, others);
        is_other && here.holds(options, &there, others)
    }

    /// The `url`; where a container's account stands beside it, in the spelling that has both.
    fn url_with_account(&self) -> String {
        let of_azure = |address: &Address| address.cloud == Cloud::Azure && address.account_host.is_none();
        let lacks_account = matches!(Location::of(self.url), Ok(Location::Store(address)) if of_azure(&address));
        let rest = self.url.split_once("://").map(|(_, rest)| rest).filter(|_| lacks_account);
        let Some((account, rest)) = self.options.store.account.as_ref().zip(rest) else { return self.url.to_owned() };
        let (container, path) = rest.split_once('/').unwrap_or((rest, ""));
        format!("abfss://{container}@{account}.dfs.core.windows.net/{path}")
    }

    /// Where the engine finds the files. What was filled in is never printed, so it has to be said again.
    fn location(&self, region: &Region, told: Option<&str>) -> Outcome<String> {
        if let Some(told) = told {
            return Ok(told.trim_end_matches('/').to_owned());
        }
        if region.secrets.redact(self.url) == self.url {
            return Ok(self.url_with_account());
        }
        let error = format!("the `url` of sink `{}` is filled in, and such values are never printed", self.sink.name);
        let help = "say where the lake is: --location s3://BUCKET/PREFIX, with one --pipeline at a time";
        Err(Failure::wrong(Diagnostic::at(self.sink.location.clone(), error).help(help)))
    }
}

/// Has DuckDB's own program carry them out.
fn apply(database: &Path, text: &str) -> Outcome {
    let failed = |error: &dyn std::fmt::Display| Failure::running(format!("cannot run `duckdb`: {error}"));
    let program = Command::new("duckdb").arg("-bail").arg(database).stdin(Stdio::piped()).spawn();
    let mut program = program.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let error = Diagnostic::new("there is no program `duckdb` on this machine's path");
            Failure::Running(error.help("install it, or leave --apply out and run what is printed elsewhere"))
        }
        _ => failed(&error),
    })?;
    if let Some(mut input) = program.stdin.take() {
        match input.write_all(text.as_bytes()) {
            // It has ended before, and says why by its exit code.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(failed(&error)),
            _ => {}
        }
    }
    match program.wait().map_err(|error| failed(&error))? {
        status if status.success() => Ok(()),
        status => Err(Failure::running(format!("duckdb refused the statements ({status})"))),
    }
}

/// A reader that has gone is no failure.
fn print(text: &str) -> Outcome {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::running(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
