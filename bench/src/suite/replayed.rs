//! One run over a file: from the start of the process until it has ended with every row in the lake.

use std::path::Path;
use std::time::Duration;

use super::daemon::Counts;
use super::lake::{self, Lake};
use super::region::{Origin, STATE, quoted, region};
use super::spec::{Query, Suite};
use super::{Bench, state};
use crate::results::{Better, Case, Measured};

const SINK: &str = "connector = \"parquet\"\nurl = \"lake\"";

/// Runs `query` over `input` in an empty folder, and adds what came of it to `case`. Gives the time it ran.
///
/// # Errors
/// If the run fails, or its counts do not add up.
pub(super) fn run(
    bench: &Bench,
    query: &Query,
    input: &Path,
    folder: &Path,
    case: &mut Case,
) -> Result<Duration, String> {
    let daemon = bench.program.start(folder, &over(&bench.suite, query, input), bench.suite.daemon.lanes)?;
    let (report, wall) = daemon.report()?;
    let total = &report.total;
    let lake = settle(total, bench.suite.events.count, folder, case)?;
    let millions = total.read as f64 / 1e6;
    let gigabytes = total.bytes_in as f64 / 1e9;
    let less = |name, unit, value| Measured { name, unit, better: Better::Less, value };
    case.add(&[
        less("cpu per million events", "s", report.cpu_s / millions),
        less("cpu per GB", "s", report.cpu_s / gigabytes),
        less("start to exit", "s", wall.as_secs_f64()),
        Measured {
            name: "events per second",
            unit: "/s",
            better: Better::More,
            value: total.read as f64 / report.wall_s,
        },
        less("peak memory", "MB", report.peak_rss_bytes as f64 / 1e6),
        less("lake per million events", "MB", lake.bytes as f64 / 1e6 / millions),
        less("state at the end", "MB", state::bytes(&folder.join(STATE))? as f64 / 1e6),
    ]);
    Ok(Duration::from_secs_f64(report.wall_s.max(0.0)))
}

/// The region file of `query` over `input`, into Parquet.
pub(super) fn over(suite: &Suite, query: &Query, input: &Path) -> String {
    let keys = format!("connector = \"file\"\npath = {}", quoted(&input.display().to_string()));
    region(suite, query, &Origin { keys, tables: String::new() }, SINK)
}

/// Looks whether each of `events` is accounted for, every row in the lake, and all as in other runs of the case.
///
/// # Errors
/// Says what is not.
pub(super) fn settle(counts: &Counts, events: u64, folder: &Path, case: &mut Case) -> Result<Lake, String> {
    let accounted = counts.bad + counts.filtered + counts.late + counts.aggregated;
    if counts.read != events || accounted != events {
        return Err(format!(
            "of {events} events {} were read: {} aggregated, {} late, {} filtered, {} bad",
            counts.read, counts.aggregated, counts.late, counts.filtered, counts.bad
        ));
    }
    let lake = lake::look(&folder.join("lake"))?;
    if lake.rows != counts.rows_out {
        return Err(format!("{} rows went out, and the lake has {}", counts.rows_out, lake.rows));
    }
    // These follow from the file and the query alone.
    for (name, value) in
        [("events", counts.read), ("late", counts.late), ("windows", counts.windows), ("rows out", counts.rows_out)]
    {
        case.state(name, value)?;
    }
    Ok(lake)
}
