//! What a person sees of a run: one live line, and a summary at its end.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::numbers::{bytes, count};
use crate::report::{Progress, RunReport};

/// Time between two refreshes of the line: often enough to look alive.
pub(super) const REFRESH: Duration = Duration::from_millis(200);

/// Refreshes over which the rate is taken: two seconds.
const RATE_WINDOW: usize = 10;

/// Remembers the last few seconds, to say how fast it goes now.
#[derive(Debug, Default)]
pub(super) struct Rate {
    seen: VecDeque<(Duration, u64)>,
}

impl Rate {
    /// Events per second over the last refreshes, this one included.
    pub(super) fn update(&mut self, progress: &Progress) -> f64 {
        self.seen.push_back((progress.elapsed, progress.read));
        if self.seen.len() > RATE_WINDOW + 1 {
            self.seen.pop_front();
        }
        let (since, before) = self.seen.front().copied().unwrap_or_default();
        let seconds = progress.elapsed.saturating_sub(since).as_secs_f64();
        if seconds > 0.0 { progress.read.saturating_sub(before) as f64 / seconds } else { 0.0 }
    }
}

/// The live line.
pub(super) fn line(progress: &Progress, rate: f64) -> String {
    let mut parts = vec![
        clock(progress.elapsed),
        format!("{} events", count(progress.read)),
        format!("{}/s", short(rate)),
        format!("watermark {}", progress.watermark.map_or("-".to_string(), moment)),
        format!("{} windows", count(progress.windows)),
        format!("{} rows out", count(progress.rows_out)),
        format!("{} late", count(progress.late)),
    ];
    if progress.bad > 0 {
        parts.push(format!("{} bad", count(progress.bad)));
    }
    parts.join("  ")
}

/// The summary of a finished run.
pub(super) fn summary(report: &RunReport) -> String {
    let total = &report.total;
    let wall = report.wall_s.max(1e-9);
    let mut text = format!(
        "{} events ({}) in {}: {} events/s, {}/s\n",
        count(total.read),
        bytes(total.bytes_in as f64),
        seconds(report.wall_s),
        short(total.read as f64 / wall),
        bytes(total.bytes_in as f64 / wall),
    );
    text.push_str(&format!(
        "  aggregated {}  filtered {}  late {}  bad {}\n",
        count(total.aggregated),
        count(total.filtered),
        count(total.late),
        count(total.bad),
    ));
    text.push_str(&format!(
        "  {} windows, {} rows out, {} files; {} of CPU, {} of memory at most\n",
        count(total.windows),
        count(total.rows_out),
        count(total.files),
        seconds(report.cpu_s),
        bytes(report.peak_rss_bytes as f64),
    ));
    if report.resumed {
        text.push_str(&match total.read {
            0 => format!(
                "  nothing was left to read: the checkpoint has it all ({} so far); --reset-state begins anew\n",
                count(report.lifetime.read)
            ),
            _ => format!("  went on from a checkpoint; {} read in all\n", count(report.lifetime.read)),
        });
    }
    for (name, pipeline) in report.pipelines.iter().filter(|(_, pipeline)| pipeline.open_windows > 0) {
        text.push_str(&format!(
            "  pipeline {name}: {} windows are still open; the checkpoint keeps them for the next run\n",
            count(pipeline.open_windows)
        ));
    }
    text
}

/// A rate in three digits: `9.53M`.
fn short(number: f64) -> String {
    let (scaled, unit) = match number {
        n if n >= 1e9 => (n / 1e9, "G"),
        n if n >= 1e6 => (n / 1e6, "M"),
        n if n >= 1e3 => (n / 1e3, "k"),
        n => return format!("{n:.0}"),
    };
    let decimals = if scaled < 10.0 { 2 } else { usize::from(scaled < 100.0) };
    format!("{scaled:.decimals$}{unit}")
}

fn seconds(seconds: f64) -> String {
    if seconds < 60.0 { format!("{seconds:.2} s") } else { clock(Duration::from_secs_f64(seconds.min(1e9))) }
}

/// Elapsed time as `0:07`, `12:34` or `1:02:03`.
fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A moment in microseconds since the epoch. The ends of time have names, not dates.
pub(super) fn moment(micros: i64) -> String {
    match DateTime::<Utc>::from_timestamp_micros(micros) {
        Some(moment) if micros < i64::MAX / 2 && micros > i64::MIN / 2 => {
            moment.format("%Y-%m-%d %H:%M:%S").to_string()
        }
        _ if micros > 0 => "end".to_string(),
        _ => "-".to_string(),
    }
}
