//! The sources of a run: opened, and tapped by pipelines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use watershed_connectors::{Known, Source, SourceError, SplitId};

use super::attempts::Attempts;
use super::clock::SourceClock;
use super::dead_letters::DeadLetters;
use super::delays::Delays;
use super::error::RunError;
use super::intake::{LaneKeys, LaneSource};
use super::lane::{Tap, TapKind};
use super::redelivery::{self, Redelivery};
use super::schemas::Schemas;
use super::world::World;
use crate::checkpoint::{SourceState, SplitState};
use crate::config::{ConnectorOptions, Region, SourceConfig};
use crate::decode::with_metadata;
use crate::dedup::{SeenKeys, supports_key};
use crate::plan::{CutPlan, CutWindow, PlannedPipeline, Stage};
use crate::schema::SourceSchema;
use crate::window::Work;

/// Shards of the keys that were seen: so many that lanes seldom meet.
const SEEN_SHARDS: usize = 64;

/// A source that some pipeline reads.
pub(super) struct LiveSource {
    pub(super) name: Arc<str>,
    pub(super) config: SourceConfig,
    pub(super) source: Arc<dyn Source>,
    pub(super) splits: Vec<SplitId>,
    pub(super) clock: Arc<SourceClock>,
    pub(super) taps: Arc<Vec<Tap>>,
    /// What came before, where records that come twice are taken once.
    pub(super) seen: Option<Arc<SeenKeys>>,
    /// What was delivered, where the origin may deliver a record again.
    pub(super) redelivery: Option<Arc<Redelivery>>,
    /// Where records name their schemas by number: who knows these.
    pub(super) schemas: Option<Arc<Schemas>>,
    /// Whether the chunks of a split may take effect on several lanes: rows become groups of panes and nothing else, in
    /// whichever order, and nothing is told from what came before.
    pub(super) spreads: bool,
    /// How long its events take, where they are compared with the clock as they come.
    pub(super) delays: Option<Arc<Delays>>,
    projection: Vec<usize>,
    event_time: Option<usize>,
}

/// Names of the sources that some pipeline reads.
pub(super) fn names(plans: &[PlannedPipeline]) -> Vec<Arc<str>> {
    let names: BTreeSet<Arc<str>> =
        plans.iter().flat_map(|plan| plan.branches().map(|(_, branch)| branch.rows.source.clone())).collect();
    names.into_iter().collect()
}

impl LiveSource {
    /// Opens a source; of a drain, nothing more will come.
    pub(super) fn open(
        region: &Region,
        name: &Arc<str>,
        plans: &[PlannedPipeline],
        world: &World,
        drain: bool,
    ) -> Result<Self, RunError> {
        let failed = |error| RunError::Source { source_name: name.to_string(), error };
        let Some(config) = region.sources.get(name.as_ref()) else {
            return Err(RunError::Config(format!("there is no source `{name}`")));
        };
        let Some(schema) = &config.schema else {
            return Err(RunError::Config(format!("source `{name}` has no schema")));
        };
        let source = world.connect.source(config).map_err(failed)?;
        let schemas = config.registry.as_ref().map(|registry| Schemas::new(registry, name)).transpose();
        let schemas = schemas.map_err(failed)?.map(Arc::new);

        let late_wanted = |plan: &PlannedPipeline| {
            region.pipelines.get(plan.name.as_ref()).is_some_and(|config| config.late.is_some())
        };
        let mut wanted: BTreeSet<usize> = BTreeSet::new();
        let (mut windowed, mut grouped) = (false, true);
        for plan in plans {
            for (cut, branch) in plan.branches().filter(|(_, branch)| branch.rows.source == *name) {
                wanted.extend(&branch.rows.columns);
                grouped &= groups(plan, cut) && !late_wanted(plan);
                windowed |= matches!(plan.stage, Stage::Windows { .. });
                if late_wanted(plan) {
                    wanted.extend(0..schema.fields.len());
                }
            }
        }
        let timed = windowed || config.connector.range().is_some() || config.deduplicate.is_some();
        for key in config.deduplicate.iter().flat_map(|deduplicate| &deduplicate.columns) {
            let column = schema.fields.iter().position(|field| field.name == *key);
            if let Some(field) = column.map(|column| &schema.fields[column])
                && !supports_key(&field.data_type)
            {
                let message = format!("source `{name}`: can't deduplicate on `{key}`, a {}", field.type_name());
                return Err(RunError::Config(message));
            }
            wanted.extend(column);
        }
        let time_column = config.event_time.as_ref().filter(|_| timed);
        let time_column = time_column.and_then(|time| schema.fields.iter().position(|field| field.name == *time));
        wanted.extend(time_column);
        let projection: Vec<usize> = wanted.into_iter().collect();
        let (beside, columns): (Vec<_>, Vec<_>) =
            projection.iter().filter_map(|&column| schema.fields.get(column)).partition(|field| field.metadata);
        source.project(&columns.iter().map(|field| field.name.clone()).collect::<Vec<_>>());
        let beside = beside.iter().map(|field| field.name.as_str()).collect();
        let redelivery = redelivery::describe(source.as_ref(), config, beside, SEEN_SHARDS)?;
        let event_time = time_column.and_then(|column| projection.iter().position(|wanted| *wanted == column));
        let endless = !drain && source.discovers() && !source.bounded();
        let compared = event_time.is_some() && config.max_future.is_some() && !source.bounded();
        Ok(Self {
            name: name.clone(),
            config: config.clone(),
            source,
            splits: Vec::new(),
            clock: Arc::new(SourceClock::new(endless)),
            taps: Arc::new(taps(name, plans, &projection)),
            seen: config.deduplicate.as_ref().map(|d| Arc::new(SeenKeys::new(micros(d.within), SEEN_SHARDS))),
            spreads: grouped && redelivery.is_none() && config.deduplicate.is_none(),
            delays: compared.then(Arc::default),
            redelivery: redelivery.map(Arc::new),
            schemas,
            projection,
            event_time,
        })
    }

    /// Tells the source what the last epoch knows of it, and finds its splits. One that can't be reached is asked again until
    /// it answers or the run stops.
    pub(super) async fn list(
        &mut self,
        state: Option<&SourceState>,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), RunError> {
        let known = |(id, state): (&String, &SplitState)| {
            let known = Known { position: state.to.clone(), ended: state.ended, left: state.left };
            (SplitId::new(id.as_str()), known)
        };
        let known: Vec<_> = state.iter().flat_map(|state| &state.splits).map(known).collect();
        self.source.restore(&known);
        let mut attempts = Attempts::new(&self.name, None);
        let mut stop = stop.clone();
        loop {
            match self.source.splits().await {
                Ok(splits) => {
                    attempts.succeeded();
                    self.splits = splits;
                    return Ok(());
                }
                Err(error @ SourceError::Retry { .. }) if !*stop.borrow() => attempts.failed(&error, &mut stop).await,
                Err(SourceError::Retry { .. }) => return Ok(()),
                Err(error) => return Err(RunError::Source { source_name: self.name.to_string(), error }),
            }
        }
    }

    fn keys(&self, schema: &SourceSchema) -> Option<LaneKeys> {
        let (seen, config) = (self.seen.clone()?, self.config.deduplicate.as_ref()?);
        let place = |key: &String| {
            let column = schema.fields.iter().position(|field| field.name == *key)?;
            self.projection.iter().position(|wanted| *wanted == column)
        };
        Some(LaneKeys { seen, columns: config.columns.iter().filter_map(place).collect() })
    }

    /// How far the watermark stays behind the newest event, in microseconds. An archive is read in no order of time: only its
    /// promises count.
    pub(super) fn max_delay(&self) -> i64 {
        match self.config.connector {
            ConnectorOptions::Replay(_) => i64::MAX,
            _ => micros(self.config.max_delay),
        }
    }

    /// True if `plan` reads it.
    pub(super) fn read_by(&self, plan: &PlannedPipeline) -> bool {
        plan.branches().any(|(_, branch)| branch.rows.source == self.name)
    }

    /// The source as one lane reads it.
    pub(super) fn for_lane(&self, dead_letters: &DeadLetters) -> Result<LaneSource, RunError> {
        let schema = self.config.schema.as_ref();
        let schema = schema.ok_or_else(|| RunError::Config(format!("source `{}` has no schema", self.name)))?;
        let decoder = with_metadata(&self.config.format, schema, &self.projection)
            .map_err(|error| RunError::Config(format!("source `{}`: {error}", self.name)))?;
        Ok(LaneSource {
            name: self.name.clone(),
            decoder,
            event_time: self.event_time,
            range: self.config.connector.range(),
            max_delay: self.max_delay(),
            max_future: self.config.max_future.map(micros),
            redelivery: self.redelivery.clone(),
            deduplicate: self.keys(schema),
            dead_letters: dead_letters.clone(),
            delays: self.delays.clone(),
            awaited: self.source.awaited(),
            taps: self.taps.clone(),
        })
    }
}

fn taps(source: &Arc<str>, plans: &[PlannedPipeline], projection: &[usize]) -> Vec<Tap> {
    let place = |column: &usize| projection.iter().position(|wanted| wanted == column);
    let mut taps = Vec::new();
    for (pipeline, plan) in plans.iter().enumerate() {
        let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
        for (cut, branch) in plan.branches() {
            let number = numbers.entry(cut).or_default();
            if branch.rows.source == *source {
                taps.push(Tap {
                    pipeline,
                    cut,
                    branch_number: *number,
                    branch: branch.clone(),
                    columns: branch.rows.columns.iter().filter_map(place).collect(),
                    kind: TapKind::of(window_of(plan, cut)),
                });
            }
            *number += 1;
        }
    }
    taps
}

fn window_of(plan: &PlannedPipeline, cut: usize) -> Option<&CutWindow> {
    cut_of(plan, cut).map(|cut| &cut.window)
}

fn cut_of(plan: &PlannedPipeline, cut: usize) -> Option<&CutPlan> {
    match &plan.stage {
        Stage::Rows(_) => None,
        Stage::Windows { cuts, .. } => cuts.get(cut),
    }
}

/// True if rows become groups of panes.
fn groups(plan: &PlannedPipeline, cut: usize) -> bool {
    cut_of(plan, cut)
        .is_some_and(|cut| matches!(cut.window, CutWindow::Grid(_)) && matches!(cut.work, Work::Aggregate(_)))
}

/// The delay behind the clock at which silent sources let their watermark go on; none if one of them must not.
pub(super) fn clock_delay(sources: &[&LiveSource]) -> Option<i64> {
    let delay = |live: &&LiveSource| {
        let follows = live.config.max_future.is_some() && !live.source.bounded();
        follows.then(|| micros(live.config.max_delay))
    };
    sources.iter().map(delay).try_fold(0, |most, delay| delay.map(|delay| most.max(delay)))
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
