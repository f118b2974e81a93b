//! What a crash costs: a run over a file is killed in its middle, and a new process goes on over the same folder.
//!
//! The one idea: a checkpoint that is stored says where the middle is, not a clock. What both processes leave together has to
//! be what one leaves that was never killed.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use watershed_connectors::HumanDuration;

use super::daemon::{Daemon, said};
use super::region::STATE;
use super::replayed::{over, settle};
use super::spec::Query;
use super::{Bench, state};
use crate::results::{Better, Case, Measured};

/// What is measured: seconds from the start of the new process until it has read the first event behind its checkpoint.
pub(super) const TIME: &str = "recovery time";
/// A run that is over sooner can end before it is killed.
pub(super) const SHORTEST: Duration = Duration::from_millis(250);
/// A run that is to be killed stores a checkpoint so often, if the suite does not want more of them.
const CHECKPOINTS: u32 = 8;
/// Where it is killed, by checkpoints of those: runs are not all as fast, so one that is over by then is followed by others.
const MIDDLES: [u32; 3] = [4, 3, 2];
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// A run may take longer than the one before it by so many times, and so much.
const PATIENCE: (u32, Duration) = (4, Duration::from_secs(30));

/// Kills a run of `query` over `input` halfway through `took`, the time that one takes, and adds what came of the next
/// process to `case`.
///
/// # Errors
/// If a run fails, can't be killed in its middle, or what it leaves is not what others left.
pub(super) fn run(
    bench: &Bench,
    query: &Query,
    input: &Path,
    took: Duration,
    case: &mut Case,
    stop: &watch::Receiver<bool>,
) -> Result<(), String> {
    let mut suite = bench.suite.clone();
    let interval = suite.daemon.checkpoint.0.min(took / CHECKPOINTS);
    suite.daemon.checkpoint = HumanDuration(interval);
    let events = suite.events.count;
    for middle in MIDDLES {
        let epoch = (took * middle / CHECKPOINTS).div_duration_f64(interval) as u64;
        let folder = bench.folder()?;
        let folder = folder.path();
        let daemon = bench.program.start(folder, &over(&suite, query, input), suite.daemon.lanes)?;
        kill(daemon, &folder.join(STATE), epoch.max(1), took * PATIENCE.0 + PATIENCE.1)?;
        if *stop.borrow() {
            return Err("stopped".to_owned());
        }
        let daemon = bench.program.start_again(folder, suite.daemon.lanes)?;
        let begun = daemon.begun_at();
        let (report, _) = daemon.report()?;
        if !report.resumed {
            return Err("the second process did not go on from a checkpoint".to_owned());
        }
        settle(&report.lifetime, events, folder, case)?;
        // It had all been read.
        if report.total.read == 0 {
            continue;
        }
        let first = said(folder, "first records").ok_or("the log does not say when the first event was read")?;
        let value = (first - begun).as_seconds_f64();
        case.add(&[Measured { name: TIME, unit: "s", better: Better::Less, value }]);
        return Ok(());
    }
    Err(format!("{} times all was read before the first was killed: read more events", MIDDLES.len()))
}

/// Kills a run as soon as it has stored `epoch`. One that ends before has ended well.
fn kill(mut daemon: Daemon, state: &Path, epoch: u64, within: Duration) -> Result<(), String> {
    let begun = Instant::now();
    while state::epoch(state) < epoch {
        if !daemon.runs() {
            return daemon.report().map(drop);
        }
        if begun.elapsed() > within {
            let seconds = within.as_secs();
            return Err(format!("checkpoint {epoch} was not stored within {seconds} s:\n{}", daemon.last_words()));
        }
        thread::sleep(LOOK_EVERY);
    }
    daemon.kill();
    Ok(())
}
