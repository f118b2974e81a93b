//! `watershed-bench generate`.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::args::Generate;
use super::failure::{Failure, Outcome};
use super::screen::Screen;
use super::signals;
use crate::generate::{EventTime, Events, Load, Progress, Report, send};
use crate::numbers::{bytes, count, millis, short};
use crate::page;
use crate::target::{self, Manners};

/// The variables that hold secrets; the command line is for everybody to see.
const TOKEN: &str = "WATERSHED_BENCH_TOKEN";
const CONNECTION_STRING: &str = "WATERSHED_BENCH_CONNECTION_STRING";

pub(super) async fn generate(arguments: Generate, screen: &Arc<Screen>) -> Outcome {
    let to = arguments.to.to_string();
    let load = load(&arguments);
    let manners = Manners {
        patience: arguments.patience,
        token: std::env::var(TOKEN).ok(),
        connection_string: std::env::var(CONNECTION_STRING).ok(),
        properties: arguments.properties.clone(),
    };
    let target = target::open(&arguments.to, &manners).await;
    let target = target.map_err(|why| Failure::running(format!("{to}: {why}")))?;
    // Reports that can't be written are better known before than after an hour of load.
    for path in arguments.report.iter().chain(&arguments.html) {
        write(path, "")?;
    }
    let stop = signals::listen(screen)?;
    let report = send(load, target, stop, |progress| screen.progress(&line(&progress))).await;
    screen.say(&summary(&report, &to));
    if let Some(path) = &arguments.report {
        let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::running(error.to_string()))?;
        write(path, &format!("{text}\n"))?;
    }
    if let Some(path) = &arguments.html {
        write(path, &page::page(&report, &to))?;
    }
    match &report.trouble {
        Some(why) => Err(Failure::running(format!("{to}: {} events failed: {why}", count(report.failed)))),
        None => Ok(()),
    }
}

fn load(arguments: &Generate) -> Load {
    let schedules = [&arguments.rate, &arguments.steps, &arguments.sine, &arguments.burst];
    let time = arguments.start.map_or(EventTime::Intended, |start| EventTime::From(start.timestamp_millis()));
    Load {
        events: Events {
            seed: arguments.seed,
            disorder: arguments.disorder,
            time,
            rate: arguments.event_rate,
            ..Events::new(arguments.profile)
        },
        // The command line takes one of them at most.
        schedule: schedules.into_iter().flatten().next().cloned(),
        events_at_most: arguments.events,
        length: arguments.length,
        producers: u64::from(arguments.producers),
        batch_bytes: arguments.batch,
        linger: arguments.linger.0,
        bytes_under_way: arguments.in_flight,
        batches_under_way: usize::from(arguments.requests),
        tolerance: arguments.tolerance.0,
    }
}

fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| Failure::running(format!("cannot write {}: {error}", path.display())))
}

fn line(progress: &Progress) -> String {
    let seconds = progress.elapsed.as_secs();
    let mut line = format!(
        "{}:{:02}  {} due  {} sent  {} acknowledged  {}/s  p50 {}  p99 {}  {} late",
        seconds / 60,
        seconds % 60,
        count(progress.due),
        count(progress.sent),
        count(progress.acknowledged),
        short(progress.acknowledged as f64 / progress.elapsed.as_secs_f64().max(1e-3)),
        millis(progress.p50_ms),
        millis(progress.p99_ms),
        count(progress.late),
    );
    if progress.failed > 0 {
        line.push_str(&format!("  {} failed", count(progress.failed)));
    }
    line
}

fn summary(report: &Report, to: &str) -> String {
    let latency = &report.latency;
    let mut text = format!(
        "{} events ({}) to {to} in {} s: {} events/s, {}/s\n",
        count(report.acknowledged),
        bytes(report.bytes as f64),
        short(report.wall_s),
        short(report.events_per_s),
        bytes(report.bytes as f64 / report.wall_s.max(1e-9)),
    );
    text.push_str(&format!(
        "  due {}  sent {}  acknowledged {}  late {}  failed {}  sent again {} times\n",
        count(report.due),
        count(report.sent),
        count(report.acknowledged),
        count(report.late),
        count(report.failed),
        count(report.retries),
    ));
    let since = if report.scheduled { "the moment of the schedule" } else { "an event is made" };
    text.push_str(&format!(
        "  from {since} to the acknowledgement: p50 {}  p90 {}  p99 {}  p99.9 {}  p99.99 {}  max {}\n",
        millis(latency.p50_ms),
        millis(latency.p90_ms),
        millis(latency.p99_ms),
        millis(latency.p999_ms),
        millis(latency.p9999_ms),
        millis(latency.max_ms),
    ));
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Events, Load, load};
    use crate::cli::args::{Arguments, Command};
    use watershed_connectors::Profile;

    #[test]
    fn suites_send_as_the_command_line_does_by_default() {
        let arguments = Arguments::parse_from(["watershed-bench", "generate", "--profile", "orders", "--to", "stdout"]);
        let Command::Generate(generate) = arguments.command else { panic!("another command") };
        assert_eq!(load(&generate), Load::flat_out(Events::new(Profile::Orders)));
    }
}
