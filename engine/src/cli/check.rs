//! `watershed check`: is a region file right, and what would it do?

use std::fmt::Write;
use std::io::Write as _;
use std::sync::Arc;

use arrow::datatypes::Schema;
use humantime::format_duration;
use watershed_connectors::Source;
use watershed_sinks::ByteSize;

use super::args::Check;
use super::failure::{Failure, Outcome, load, refused_sql};
use super::infer::{Inferred, infer};
use super::places::{self, check_sinks, open_all};
use super::screen::Screen;
use crate::config::{ConnectorOptions, OnBad, PipelineConfig, Region, SourceConfig};
use crate::diagnostic::Diagnostic;
use crate::plan::{PlannedPipeline, plan_region};
use crate::schema::type_name;

/// Splits that are named; of more, only the number is told.
const SHOWN_SPLITS: usize = 10;

/// Checks a region file and prints what it would do.
pub(super) async fn check(arguments: Check, screen: &Arc<Screen>) -> Outcome {
    let mut region = load(&arguments.file)?;
    screen.hide(&region.secrets);
    print(screen, &head(&region))?;
    let lacking = infer_missing(&mut region, screen).await?;
    for source in region.sources.values() {
        print(screen, &about_source(source).await?)?;
    }
    let planned = plan_region(&region).await.map_err(|errors| refused_sql(&region, errors))?;
    check_sinks(&region, &planned)?;
    for pipeline in &planned.pipelines {
        if let Some(config) = region.pipelines.get(&*pipeline.name) {
            print(screen, &about_pipeline(&region, config, pipeline))?;
        }
    }
    if arguments.connect {
        let (opened, failed) = open_all(&region, &planned).await;
        print(screen, &format!("\n{}\n", opened.join("\n")))?;
        if let Some(failure) = Failure::of(failed) {
            return Err(failure);
        }
    }
    print(screen, &verdict(&region, &lacking))
}

/// Gives every source without a schema the one that its first records suggest, and prints that. Says which they were.
async fn infer_missing(region: &mut Region, screen: &Screen) -> Outcome<Vec<String>> {
    let mut lacking = Vec::new();
    for config in region.sources.values_mut().filter(|config| config.schema.is_none()) {
        let source = places::source(config)?;
        let refused = |why: String| {
            let message = format!("source `{}` has no schema, and none can be inferred: {why}", config.name);
            let error = Diagnostic::at(config.location.clone(), message);
            Failure::wrong(error.help("declare it: schema = { ts = \"timestamp\", amount = \"double\" }"))
        };
        if config.connector.connector() == "stdin" {
            return Err(refused("standard input can be read only once".to_string()));
        }
        let Inferred { toml, schema, event_time, records } =
            infer(config, source.as_ref()).await.map_err(|why| refused(screen.redact(&why)))?;
        if let Some(event_time) = &event_time
            && schema.fields.iter().all(|field| field.name != *event_time)
        {
            return Err(refused(format!("its records have no field `{event_time}` to be the event time")));
        }
        let table = format!("[sources.{}]", config.name);
        print(
            screen,
            &format!(
                "\n# {table} has no schema. {records} records suggest this one; paste it below {table}:\n\n{toml}"
            ),
        )?;
        lacking.push(config.name.clone());
        config.schema = Some(schema);
        config.event_time = event_time;
    }
    Ok(lacking)
}

fn head(region: &Region) -> String {
    format!(
        "region {}: {} lanes, a checkpoint every {} in {}\n",
        region.name,
        region.lanes,
        format_duration(region.checkpoint.interval),
        region.checkpoint.url,
    )
}

async fn about_source(config: &SourceConfig) -> Outcome<String> {
    let mut text = format!("\nsource {}: {}", config.name, config.connector.connector());
    let source = places::source(config)?;
    if matches!(config.connector, ConnectorOptions::Stream(_)) {
        text.push_str(", not asked without --connect\n");
    } else {
        text.push_str(&splits_of(source.as_ref()).await);
    }
    text.push_str(&match &config.event_time {
        Some(event_time) => format!(
            "  event time {event_time}, up to {} out of order, {}\n",
            format_duration(config.max_delay),
            match config.max_future {
                Some(ahead) => format!("bad if more than {} ahead of the clock", format_duration(ahead)),
                None => "however far ahead".to_string(),
            },
        ),
        None => "  no event time, so no windows\n".to_string(),
    });
    text.push_str(&match config.on_bad {
        OnBad::DeadLetter => format!("  bad records go to {}\n", config.dead_letters),
        OnBad::Skip => "  bad records are counted and dropped\n".to_string(),
        OnBad::Fail => "  a bad record ends the run\n".to_string(),
    });
    let columns = config.schema.iter().flat_map(|schema| &schema.fields);
    text.push_str(&table(columns.map(|field| (field.name.clone(), field.type_name()))));
    Ok(text)
}

async fn splits_of(source: &dyn Source) -> String {
    match source.splits().await {
        Ok(splits) if splits.len() == 1 => format!(", 1 split\n  {}\n", splits[0]),
        Ok(splits) => {
            let mut names: String = splits.iter().take(SHOWN_SPLITS).map(|split| format!("  {split}\n")).collect();
            if splits.len() > SHOWN_SPLITS {
                names.push_str(&format!("  and {} more\n", splits.len() - SHOWN_SPLITS));
            }
            format!(", {} splits\n{names}", splits.len())
        }
        // What is not there yet may be there when it runs; --connect asks for it now.
        Err(error) => format!(", no splits now: {error}\n"),
    }
}

fn about_pipeline(region: &Region, config: &PipelineConfig, planned: &PlannedPipeline) -> String {
    let sinks: Vec<_> = config
        .sinks
        .iter()
        .map(|name| match region.sinks.get(name) {
            Some(sink) => format!("{name} ({})", sink.options.connector()),
            None => name.clone(),
        })
        .collect();
    let mut text = format!("\npipeline {} -> {}\n", config.name, sinks.join(", "));
    text.push_str(&columns(&planned.output_schema));
    let sinks = config.sinks.iter().chain(&config.late);
    let kept = sinks.filter_map(|name| Some((name, region.sinks.get(name)?.options.files()?.retain?)));
    for (name, retain) in kept {
        let _ = writeln!(text, "  {name} keeps partitions for {retain}, counted from their end");
    }
    let sinks = config.sinks.iter().chain(&config.late);
    for (name, spill) in sinks.filter_map(|name| Some((name, region.sinks.get(name)?.spill?))) {
        let limit = ByteSize(spill.limit);
        let _ = writeln!(text, "  {name} may be down: up to {limit} of its rows are spilled until it is back");
        if let Some(standby) = region.sinks.get(name).and_then(|sink| sink.standby.as_ref()) {
            let after = format_duration(standby.after);
            let _ = writeln!(text, "  {} takes rows once {name} is down for {after}, until it is back", standby.sink);
        }
    }
    if planned.emit_empty {
        text.push_str("  a window without rows, between two with rows, gives a row as well\n");
    }
    text.push_str("  plan\n");
    for line in planned.describe().lines() {
        let _ = writeln!(text, "    {line}");
    }
    text
}

fn columns(schema: &Schema) -> String {
    table(schema.fields().iter().map(|field| (field.name().clone(), type_name(field.data_type()))))
}

/// Names and types in two columns.
fn table(rows: impl Iterator<Item = (String, String)>) -> String {
    let rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(name, sql_type)| format!("    {name:width$}  {sql_type}\n")).collect()
}

fn verdict(region: &Region, lacking: &[String]) -> String {
    let file = region.file.display();
    if !lacking.is_empty() {
        return format!("\nright so far; `watershed run {file}` needs the schema of {} first\n", lacking.join(", "));
    }
    if region.pipelines.is_empty() {
        return "\nright so far; there are no pipelines yet\n".to_string();
    }
    format!("\nall right; start it with: watershed run {file}\n")
}

/// Prints to standard output, without filled-in values. A reader that has gone is no failure.
fn print(screen: &Screen, text: &str) -> Outcome {
    match std::io::stdout().lock().write_all(screen.redact(text).as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::running(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
