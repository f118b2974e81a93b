//! From the last epoch to where a run begins: what of it can be taken over, and what is refused.
//!
//! Decided here, without touching anything; `setup` reads and writes.

use std::collections::BTreeMap;

use super::error::RunError;
use crate::checkpoint::{CutState, MANIFEST_VERSION, Manifest, OutletState, PipelineState};
use crate::plan::{PlannedPipeline, PlannedRegion};
use crate::report::Counts;

/// The first epoch of a run, `epoch`: the state of `previous`, if there is any, under the plan of today.
///
/// `free` is the first epoch that no sink has seen. `stateless` names the sources that come only once and so cannot go on
/// where they were.
pub(super) fn first_epoch(
    previous: Option<&Manifest>,
    epoch: u64,
    planned: &PlannedRegion,
    free: u64,
    stateless: &[&str],
) -> Result<Manifest, RunError> {
    let mut manifest = empty(planned);
    let Some(previous) = previous else {
        manifest.files_before = free.saturating_sub(epoch);
        return Ok(manifest);
    };
    check_place(previous, planned, free)?;
    manifest.files_before = previous.files_before;
    manifest.counters = previous.counters;
    manifest.sources = previous.sources.clone();
    for (name, source) in &mut manifest.sources {
        if planned.region.sources.get(name).is_none_or(|config| config.deduplicate.is_none()) {
            source.seen.clear();
        }
    }
    for name in stateless {
        if let Some(source) = manifest.sources.get_mut(*name) {
            source.splits.clear();
        }
    }
    for plan in &planned.pipelines {
        let Some(state) = previous.pipelines.get(plan.name.as_ref()) else { continue };
        manifest.pipelines.insert(plan.name.to_string(), taken_over(plan, state, previous)?);
    }
    for (name, state) in &previous.pipelines {
        if !manifest.pipelines.contains_key(name) && !is_empty(state) {
            return Err(refused(name, "is not in the region file any more, but the last run left"));
        }
    }
    Ok(manifest)
}

fn empty(planned: &PlannedRegion) -> Manifest {
    let pipelines = planned.pipelines.iter().map(|plan| (plan.name.to_string(), empty_pipeline(plan))).collect();
    Manifest {
        version: MANIFEST_VERSION,
        epoch: 0,
        files_before: 0,
        generation: 0,
        owner: String::new(),
        written_at: String::new(),
        region: planned.region.name.to_string(),
        engine: env!("CARGO_PKG_VERSION").to_string(),
        datafusion: datafusion::DATAFUSION_VERSION.to_string(),
        config_hash: planned.region.hash(),
        counters: Counts::default(),
        sources: BTreeMap::new(),
        pipelines,
    }
}

fn empty_pipeline(plan: &PlannedPipeline) -> PipelineState {
    PipelineState {
        sql_hash: plan.sql_hash.to_string(),
        fingerprint: plan.fingerprint.to_string(),
        watermark: None,
        counters: Counts::default(),
        open_windows: 0,
        cuts: Vec::new(),
        out: OutletState::default(),
        late: OutletState::default(),
    }
}

/// The state is this region's, and not older than its lake.
fn check_place(previous: &Manifest, planned: &PlannedRegion, free: u64) -> Result<(), RunError> {
    let region = planned.region.name.as_ref();
    if previous.region != region {
        return Err(RunError::State(format!(
            "the state at {} is that of region `{}`, not of `{region}`: give each region a [checkpoint] url of its own",
            planned.region.checkpoint.url, previous.region
        )));
    }
    // Files of the epoch that a crash cut short may be staged already, so one more than the next is usual.
    let last = previous.epoch + previous.files_before;
    if free > last + 2 {
        return Err(RunError::State(format!(
            "the state at {} ends at epoch {}, but a sink holds files of epoch {}: the state is older than the lake, and \
             going on from it would write rows twice; restore the newer state, or begin anew with --reset-state",
            planned.region.checkpoint.url,
            last,
            free - 1
        )));
    }
    Ok(())
}

/// The state of a pipeline under its plan of today.
fn taken_over(plan: &PlannedPipeline, state: &PipelineState, previous: &Manifest) -> Result<PipelineState, RunError> {
    let today = empty_pipeline(plan);
    let kept = PipelineState { sql_hash: today.sql_hash, fingerprint: today.fingerprint, ..state.clone() };
    if holds_nothing(state) {
        // What is prepared has its rows in files already.
        return Ok(PipelineState { cuts: Vec::new(), ..kept });
    }
    if state.fingerprint != plan.fingerprint.as_ref() {
        return Err(refused(
            &plan.name,
            "has changed below or at its windows, and can't take over what the last run left:",
        ));
    }
    if previous.datafusion != datafusion::DATAFUSION_VERSION {
        let what = format!(
            "can't take over partial aggregates of DataFusion {} in this build, which has {}; the last run left",
            previous.datafusion,
            datafusion::DATAFUSION_VERSION
        );
        return Err(refused(&plan.name, &what));
    }
    Ok(kept)
}

fn refused(pipeline: &str, what: &str) -> RunError {
    RunError::State(format!(
        "pipeline `{pipeline}` {what} open windows or rows that are in no file yet; put those out first with the old \
         region file and `watershed run FILE --drain`, or leave all state behind with --reset-state (everything is then \
         read again from the start)"
    ))
}

/// True if a state holds neither rows nor open windows; sessions may keep a trace of closed ones.
fn holds_nothing(state: &PipelineState) -> bool {
    let no_panes = state.cuts.iter().all(|cut| match cut {
        CutState::Panes { panes, .. } => panes.is_empty(),
        CutState::Sessions { rows, .. } => rows.is_empty() || state.open_windows == 0,
    });
    no_panes && state.out.rows.is_empty() && state.late.rows.is_empty()
}

/// True if nothing at all would be lost with it.
fn is_empty(state: &PipelineState) -> bool {
    holds_nothing(state) && state.out.prepared.is_empty() && state.late.prepared.is_empty()
}
