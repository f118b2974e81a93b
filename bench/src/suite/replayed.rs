//! One run over a file: from the start of the process until it has ended with every row in the lake.

use std::path::Path;

use super::daemon::RunReport;
use super::region::{Origin, quoted, region};
use super::spec::Query;
use super::{Bench, lake, state};
use crate::results::{Better, Case, Measured};

const SINK: &str = "connector = \"parquet\"\nurl = \"lake\"";

/// Runs `query` over `input` in an empty folder, and adds what came of it to `case`.
///
/// # Errors
/// If the run fails, or its counts do not add up.
pub(super) fn run(bench: &Bench, query: &Query, input: &Path, folder: &Path, case: &mut Case) -> Result<(), String> {
    let origin = Origin {
        keys: format!("connector = \"file\"\npath = {}", quoted(&input.display().to_string())),
        tables: String::new(),
    };
    let text = region(&bench.suite, query, &origin, SINK);
    let daemon = bench.program.start(folder, &text, bench.suite.daemon.lanes)?;
    let (report, wall) = daemon.report()?;
    check(&report, bench.suite.events.count)?;
    let lake = lake::look(&folder.join("lake"))?;
    if lake.rows != report.rows_out {
        return Err(format!("{} rows went out, and the lake has {}", report.rows_out, lake.rows));
    }
    // These follow from the file and the query alone.
    for (name, value) in
        [("events", report.read), ("late", report.late), ("windows", report.windows), ("rows out", report.rows_out)]
    {
        case.state(name, value)?;
    }
    let millions = report.read as f64 / 1e6;
    let gigabytes = report.bytes_in as f64 / 1e9;
    let less = |name, unit, value| Measured { name, unit, better: Better::Less, value };
    case.add(&[
        less("cpu per million events", "s", report.cpu_s / millions),
        less("cpu per GB", "s", report.cpu_s / gigabytes),
        less("start to exit", "s", wall.as_secs_f64()),
        Measured {
            name: "events per second",
            unit: "/s",
            better: Better::More,
            value: report.read as f64 / report.wall_s,
        },
        less("peak memory", "MB", report.peak_rss_bytes as f64 / 1e6),
        less("lake per million events", "MB", lake.bytes as f64 / 1e6 / millions),
        less("state at the end", "MB", state::bytes(&folder.join("state"))? as f64 / 1e6),
    ]);
    Ok(())
}

/// Every event has to be read, and accounted for.
fn check(report: &RunReport, events: u64) -> Result<(), String> {
    let accounted = report.bad + report.filtered + report.late + report.aggregated;
    if report.read != events || accounted != events {
        return Err(format!(
            "of {events} events {} were read: {} aggregated, {} late, {} filtered, {} bad",
            report.read, report.aggregated, report.late, report.filtered, report.bad
        ));
    }
    Ok(())
}
