//! From the last epoch to where a run begins: what of it can be taken over, and what is refused.
//!
//! Decided here, without touching anything; `setup` reads and writes.

use super::error::RunError;
use super::outlet::Opened;
use crate::checkpoint::{CutState, MANIFEST_VERSION, Manifest, OutletState, PipelineState, SourceState};
use crate::config::{OnBad, SourceConfig};
use crate::plan::{PlannedPipeline, PlannedRegion};
use crate::report::Counts;

/// The first epoch of a run, `epoch`: the state of `previous`, if there is any, under the plan of today.
///
/// `opened` is what the places of sinks said. `stateless` names the sources that come only once and so cannot go on
/// where they were.
pub(super) fn first_epoch(
    previous: Option<&Manifest>,
    epoch: u64,
    planned: &PlannedRegion,
    opened: &Opened,
    stateless: &[&str],
) -> Result<Manifest, RunError> {
    let mut manifest = empty(planned);
    let free = opened.free;
    let Some(previous) = previous else {
        if let Some((sink, why)) = &opened.silent {
            return Err(RunError::State(format!(
                "sink `{sink}` does not answer: before the first epoch of a state it has to, as nobody knows what its place \
                 holds; start again when it is back ({why})"
            )));
        }
        manifest.files_before = free.saturating_sub(epoch);
        return Ok(manifest);
    };
    check_place(previous, planned, free)?;
    manifest.files_before = previous.files_before;
    manifest.counters = previous.counters;
    manifest.sources.extend(previous.sources.clone());
    let mut anew: Vec<&str> = stateless.to_vec();
    for (name, source) in &mut manifest.sources {
        let Some(config) = planned.region.sources.get(name) else { continue };
        let identity = config.connector.identity();
        if source.identity != identity && !source.splits.is_empty() {
            tracing::warn!(source = %name, "this is not the source that the state is about: it is read from its start");
            anew.push(&config.name);
        }
        source.identity = identity;
        let key = key_columns(config);
        if source.key != key {
            source.seen.clear();
            source.key = key;
        }
    }
    for name in &anew {
        if let Some(source) = manifest.sources.get_mut(*name) {
            source.splits.clear();
            source.seen.clear();
            source.delivered.clear();
        }
    }
    for plan in &planned.pipelines {
        let Some(state) = previous.pipelines.get(plan.name.as_ref()) else { continue };
        let mut state = taken_over(plan, state, previous)?;
        let reads_anew = plan.branches().all(|(_, branch)| anew.contains(&branch.rows.source.as_ref()));
        if reads_anew && holds_nothing(&state) {
            // Time begins anew as well: nothing of what comes is late for what went before.
            (state.closed_through, state.last_window) = (None, None);
            state.cuts.clear();
        }
        manifest.pipelines.insert(plan.name.to_string(), state);
    }
    for (name, state) in &previous.pipelines {
        if !manifest.pipelines.contains_key(name) && !is_empty(state) {
            return Err(refused(name, "is not in the region file any more, but the last run left"));
        }
    }
    check_outlets(&manifest, planned)?;
    Ok(manifest)
}

/// What the state holds for a sink must still have one.
fn check_outlets(manifest: &Manifest, planned: &PlannedRegion) -> Result<(), RunError> {
    let region = &planned.region;
    let unwanted = |outlet: &OutletState| outlet.holds_rows() || !outlet.prepared.is_empty();
    for (name, state) in &manifest.pipelines {
        let config = region.pipelines.get(name);
        let late = config.and_then(|config| config.late.as_ref());
        let sinks = config.map_or(&[][..], |config| &config.sinks);
        let gone = |outlet: &OutletState, sinks: &[String]| {
            let named = outlet.prepared.keys().chain(outlet.held.keys()).chain(outlet.behind.keys());
            named.into_iter().find(|sink| !sinks.contains(sink)).cloned()
        };
        let late_gone = late.and_then(|late| gone(&state.late, std::slice::from_ref(late)));
        if let Some(sink) = gone(&state.out, sinks).or(late_gone) {
            return Err(RunError::State(format!(
                "pipeline `{name}`: the state holds rows for sink `{sink}`, which the pipeline no longer has; give it back \
                 and run with --drain first, or leave the rows behind with --reset-state"
            )));
        }
        let stands_by = |sink: &String| region.sinks.get(sink).is_some_and(|sink| sink.standby.is_some());
        if let Some(sink) = state.out.turns.keys().find(|sink| !stands_by(sink)) {
            return Err(RunError::State(format!(
                "pipeline `{name}`: a standby has taken rows of sink `{sink}`, which names none any more before it has all of \
                 its own; give it back until it is up, or leave the rows behind with --reset-state"
            )));
        }
        let spills = |sink: &&String| region.sinks.get(*sink).is_some_and(|sink| sink.spill.is_some());
        if let Some(sink) = state.out.behind.keys().chain(state.late.behind.keys()).find(|sink| !spills(sink)) {
            return Err(RunError::State(format!(
                "pipeline `{name}`: rows are spilled for sink `{sink}`, which does not spill any more; give it \
                 on_outage = \"spill\" back until it has all of its rows, or leave them behind with --reset-state"
            )));
        }
        if late.is_none() && unwanted(&state.late) {
            return Err(RunError::State(format!(
                "pipeline `{name}`: the state holds late rows, but `late` names no sink any more; give it back for one \
                 run, or leave the rows behind with --reset-state"
            )));
        }
    }
    for (name, state) in &manifest.sources {
        let kept = region.sources.get(name).is_some_and(|config| config.on_bad == OnBad::DeadLetter);
        if !kept && unwanted(&state.dead_letters) {
            return Err(RunError::State(format!(
                "source `{name}`: the state holds dead letters that are in no file yet; bring the source back with \
                 on_bad = \"dead_letter\" for one run, or leave them behind with --reset-state"
            )));
        }
    }
    Ok(())
}

fn empty(planned: &PlannedRegion) -> Manifest {
    let source = |(name, config): (&String, &SourceConfig)| {
        let (identity, key) = (config.connector.identity(), key_columns(config));
        (name.clone(), SourceState { identity, key, ..SourceState::default() })
    };
    let read = |(name, _): &(&String, &SourceConfig)| planned.pipelines.iter().any(|plan| reads(plan, name));
    let sources = planned.region.sources.iter().filter(read).map(source).collect();
    let pipelines = planned.pipelines.iter().map(|plan| (plan.name.to_string(), empty_pipeline(plan))).collect();
    Manifest {
        version: MANIFEST_VERSION,
        epoch: 0,
        files_before: 0,
        generation: 0,
        owner: String::new(),
        lost_split: None,
        written_at: String::new(),
        region: planned.region.name.to_string(),
        engine: env!("CARGO_PKG_VERSION").to_string(),
        datafusion: datafusion::DATAFUSION_VERSION.to_string(),
        config_hash: planned.region.hash(),
        counters: Counts::default(),
        sources,
        pipelines,
    }
}

/// The columns by which a source tells records that come twice; none if it takes them all.
fn key_columns(config: &SourceConfig) -> Vec<String> {
    config.deduplicate.as_ref().map_or(Vec::new(), |deduplicate| deduplicate.columns.clone())
}

fn reads(plan: &PlannedPipeline, source: &str) -> bool {
    plan.branches().any(|(_, branch)| *branch.rows.source == *source)
}

fn empty_pipeline(plan: &PlannedPipeline) -> PipelineState {
    PipelineState {
        sql_hash: plan.sql_hash.to_string(),
        fingerprint: plan.fingerprint.to_string(),
        sketches: plan.sketches,
        closed_through: None,
        last_window: None,
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
    // A crash may leave files of the next epoch staged, and of the one after it, begun while the next was being stored.
    let last = previous.epoch + previous.files_before;
    if free > last + 3 {
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
    let kept = PipelineState {
        sql_hash: today.sql_hash,
        fingerprint: today.fingerprint,
        sketches: today.sketches,
        ..state.clone()
    };
    if holds_nothing(state) {
        // What is prepared has its rows in files already.
        let same = state.fingerprint == *plan.fingerprint;
        return Ok(match same {
            true => kept,
            // The windows of today may lie on another grid.
            false => PipelineState { cuts: Vec::new(), last_window: None, ..kept },
        });
    }
    if state.fingerprint != plan.fingerprint.as_ref() {
        return Err(refused(
            &plan.name,
            "has changed below or at its windows, and can't take over what the last run left:",
        ));
    }
    if state.sketches != plan.sketches {
        let what = format!(
            "can't take over approximate aggregates that Watershed {} has kept in format {}, in this build, which has \
             format {}; the last run left",
            previous.engine, state.sketches, plan.sketches
        );
        return Err(refused(&plan.name, &what));
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
    no_panes && !state.out.holds_rows() && !state.late.holds_rows()
}

/// True if nothing at all would be lost with it.
fn is_empty(state: &PipelineState) -> bool {
    holds_nothing(state) && state.out.prepared.is_empty() && state.late.prepared.is_empty()
}
