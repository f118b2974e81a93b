//! The outside of simulated runs: events in memory, rows in memory, state in memory behind a store that fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use object_store::path::Path;
use watershed_connectors::{
    MemoryQueue, MemorySource, MetadataField, Source, SourceError, StreamOptions, Surroundings,
};
use watershed_sinks::{MemoryRows, MemorySink, ParquetOptions, Sink, SinkContext, SinkError};

use crate::checkpoint::faulty::{Fault, FaultyStore, Operation};
use crate::checkpoint::{Place, StateError};
use crate::config::{Checkpoint, ConnectorOptions, Deduplicate, Region, SinkConfig, SourceConfig, Spill, Standby};
use crate::environment::{Environment, Simulated};
use crate::run::world::{Connect, World};

use super::mirror::{Mirror, MirrorSink};

/// Seconds of disorder that all events of a simulation lie within.
const ANY_ORDER: i64 = 1000;
/// Seconds of the windows below.
const TUMBLE: i64 = 10;
const SLIDE: i64 = 5;
const SIZE: i64 = 15;
const GAP: i64 = 4;

const REGION: &str = r#"
region = "sim"
[sources.orders]
connector = "file"
path = "nowhere"
event_time = "ts"
max_delay = "{max_delay}s"
schema = { ts = { type = "timestamp", format = "epoch_s" }, id = "bigint", user = "bigint" }
[sinks.memory]
connector = "null"
[sinks.mirror]
connector = "null"
[sinks.backup]
connector = "null"
[pipelines.tumbles]
sink = "memory"
sql = "SELECT window_start, user, count(*) AS events, sum(id) AS ids FROM tumble(orders, INTERVAL '10 seconds') GROUP BY window_start, user"
[pipelines.hops]
sink = "memory"
sql = "SELECT window_start, count(*) AS events, sum(id) AS ids FROM hop(orders, INTERVAL '5 seconds', INTERVAL '15 seconds') GROUP BY window_start"
[pipelines.sessions]
sink = "memory"
sql = "SELECT window_start, user, count(*) AS events, sum(id) AS ids FROM session(orders, INTERVAL '4 seconds', user) GROUP BY window_start, window_end, user"
[pipelines.raw]
sink = "memory"
sql = "SELECT ts, user, id FROM orders WHERE id % 3 = 0"
"#;

fn region(max_delay: i64) -> Region {
    let environment = |_: &str| Err(std::env::VarError::NotPresent);
    let text = REGION.replace("{max_delay}", &max_delay.to_string());
    crate::config::parse(std::path::Path::new("sim.toml"), text.into(), &environment, 2).expect("the region is right")
}

/// One event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) time: i64,
    pub(super) id: i64,
    pub(super) user: i64,
    /// Cannot be read.
    pub(super) bad: bool,
}

/// Rows of one pipeline as text, with how often each is there.
pub(super) type Rows = BTreeMap<String, usize>;

/// What the state store may do wrong.
const FAULTS: [(Operation, Fault); 13] = [
    (Operation::Put, Fault::Error),
    (Operation::Put, Fault::LostAnswer),
    (Operation::Put, Fault::Hang),
    (Operation::Put, Fault::DoneAndHang),
    (Operation::Put, Fault::Late),
    (Operation::Put, Fault::FalseConflict),
    (Operation::Put, Fault::Precondition),
    (Operation::Get, Fault::Error),
    (Operation::Get, Fault::Hang),
    (Operation::Get, Fault::BitFlip),
    (Operation::List, Fault::PartialList),
    (Operation::List, Fault::Slow),
    (Operation::Delete, Fault::LostAnswer),
];

/// What the lake must hold, by the plainest way to compute it.
pub(super) fn expected(events: &[Event]) -> BTreeMap<&'static str, Rows> {
    let mut tables: BTreeMap<&'static str, Rows> = BTreeMap::new();
    let mut tumbles: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    let mut hops: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    let mut users: BTreeMap<i64, Vec<Event>> = BTreeMap::new();
    let add = |sums: &mut (i64, i64), event: &Event| *sums = (sums.0 + 1, sums.1 + event.id);
    let bad = events.iter().filter(|event| event.bad).count();
    let events: Vec<Event> = events.iter().filter(|event| !event.bad).copied().collect();
    for event in &events {
        add(tumbles.entry((event.time.div_euclid(TUMBLE) * TUMBLE, event.user)).or_default(), event);
        let last = event.time.div_euclid(SLIDE) * SLIDE;
        for start in (0..SIZE / SLIDE).map(|back| last - back * SLIDE) {
            add(hops.entry(start).or_default(), event);
        }
        users.entry(event.user).or_default().push(*event);
        if event.id % 3 == 0 {
            *tables
                .entry("raw")
                .or_default()
                .entry(format!("{} {} {}", event.time, event.user, event.id))
                .or_default() += 1;
        }
    }
    let mut sessions: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    for (user, mut events) in users {
        events.sort_by_key(|event| event.time);
        let mut start = None;
        let mut last = i64::MIN;
        for event in &events {
            if event.time >= last.saturating_add(GAP) || start.is_none() {
                start = Some(event.time);
            }
            last = event.time;
            add(sessions.entry((start.unwrap_or_default(), user)).or_default(), event);
        }
    }
    tables.insert("tumbles", tumbles.iter().map(|((s, u), (n, ids))| (format!("{s} {u} {n} {ids}"), 1)).collect());
    tables.insert("hops", hops.iter().map(|(s, (n, ids))| (format!("{s} {n} {ids}"), 1)).collect());
    if bad > 0 {
        tables.insert("orders dead", Rows::from([("dead letters".to_string(), bad)]));
    }
    tables.insert("sessions", sessions.iter().map(|((s, u), (n, ids))| (format!("{s} {u} {n} {ids}"), 1)).collect());
    tables
}

/// What a reader of the lake sees.
pub(super) fn seen(rows: &MemoryRows, pipeline: &str) -> Rows {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
    let mut seen = Rows::new();
    if pipeline.ends_with(" dead") {
        return Rows::from([("dead letters".to_string(), rows.rows(pipeline))]);
    }
    for batch in rows.batches(pipeline) {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| match column.as_primitive_opt::<Int64Type>() {
                Some(column) => column.value(row),
                None => column.as_primitive::<TimestampMicrosecondType>().value(row) / 1_000_000,
            });
            let text: Vec<String> = values.map(|value| value.to_string()).collect();
            *seen.entry(text.join(" ")).or_default() += 1;
        }
    }
    seen
}

/// The outside of every life of one simulation.
#[derive(Clone)]
pub(super) struct Outside {
    pub(super) events: Vec<Vec<Event>>,
    pub(super) rows: MemoryRows,
    pub(super) store: FaultyStore,
    pub(super) environment: Arc<Simulated>,
    /// Batches that a sink hands over together.
    pub(super) holding: usize,
    /// Seconds by which an event may come after a later one of its split.
    pub(super) disorder: i64,
    /// The events as a queue that delivers some of them again; then `events` has its splits, not theirs.
    pub(super) queue: Option<MemoryQueue>,
    /// The source takes each id once.
    pub(super) deduplicates: bool,
    /// A second sink of every pipeline, which is down at times.
    pub(super) mirror: Option<Mirror>,
    /// Whether rows become groups and nothing else, so that the chunks of a split may be spread over lanes.
    pub(super) grouped: bool,
}

fn sends_twice(seed: u64) -> bool {
    seed.is_multiple_of(2)
}

/// Options that stand for a queue in the region.
#[derive(Debug)]
struct QueueOptions;

impl StreamOptions for QueueOptions {
    fn connector(&self) -> &'static str {
        "queue"
    }

    fn identity(&self) -> String {
        "queue".to_string()
    }

    fn metadata(&self) -> &'static [MetadataField] {
        MemoryQueue::METADATA
    }

    fn source(&self, _around: &Surroundings) -> Result<Arc<dyn Source>, SourceError> {
        Err(SourceError::config("the outside of the simulation has the queue"))
    }
}

impl Outside {
    pub(super) fn new(seed: u64, events: Vec<Vec<Event>>, faulty: bool, holding: usize, disorder: i64) -> Arc<Self> {
        let environment = Arc::new(Simulated::new(seed));
        let shared: Arc<dyn Environment> = environment.clone();
        let store = FaultyStore::new(Arc::new(InMemory::new()), shared, seed);
        for (operation, fault) in FAULTS.into_iter().filter(|_| faulty) {
            store.fail(operation, fault, 0.03);
        }
        Arc::new(Self {
            events,
            rows: MemoryRows::new(),
            store,
            environment,
            holding,
            disorder,
            queue: None,
            deduplicates: false,
            mirror: None,
            grouped: false,
        })
    }

    /// The same outside without pipelines that keep rows or sessions.
    pub(super) fn grouped(self: Arc<Self>) -> Arc<Self> {
        Arc::new(Self { grouped: true, ..Self::clone(&self) })
    }

    /// True if the region has this pipeline, or writes these dead letters.
    pub(super) fn has(&self, pipeline: &str) -> bool {
        !self.grouped || !matches!(pipeline, "sessions" | "raw")
    }

    /// The same outside, with a mirror for which so many bytes of rows may wait.
    /// If it has a standby, that takes over after so long.
    pub(super) fn mirrored(self: Arc<Self>, limit: u64, standby: Option<Duration>) -> Arc<Self> {
        let mirror = Some(Mirror::new(self.environment.clone(), limit, standby));
        Arc::new(Self { mirror, ..Self::clone(&self) })
    }

    /// The same events as a queue, which keeps no order. Half of the seeds send the good ones twice, and have the source
    /// deduplicate them, too.
    pub(super) fn queued(seed: u64, events: Vec<Vec<Event>>, faulty: bool, holding: usize) -> Arc<Self> {
        let mut sent: Vec<Event> = events.iter().flatten().copied().collect();
        let twice = sends_twice(seed).then(|| sent.iter().filter(|event| !event.bad).copied().collect());
        sent.extend(twice.unwrap_or_else(Vec::new));
        let queue = MemoryQueue::new(sent.iter().map(Self::record).collect());
        let outside = Self::new(seed, events, faulty, holding, ANY_ORDER);
        Arc::new(Self { queue: Some(queue), deduplicates: sends_twice(seed), ..Self::clone(&outside) })
    }

    pub(super) fn region(&self) -> Region {
        let mut region = region(self.disorder);
        region.pipelines.retain(|name, _| self.has(name));
        if self.queue.is_some() {
            let source = region.sources.get_mut("orders").expect("the region has the source");
            source.connector = ConnectorOptions::Stream(Arc::new(QueueOptions));
            let within = Duration::from_secs(ANY_ORDER.unsigned_abs());
            source.deduplicate = self.deduplicates.then(|| Deduplicate { columns: vec!["id".to_string()], within });
        }
        if let Some(mirror) = &self.mirror {
            let spill = Spill { limit: mirror.limit, after: Duration::from_secs(5) };
            region.sinks.get_mut("mirror").expect("the region has the mirror").spill = Some(spill);
            region.pipelines.values_mut().for_each(|pipeline| pipeline.sinks.push("mirror".to_string()));
            if let Some(after) = mirror.standby {
                let standby = Some(Standby { sink: "backup".to_string(), after });
                region.sinks.get_mut("mirror").expect("the region has the mirror").standby = standby;
                region.pipelines.values_mut().for_each(|pipeline| pipeline.sinks.push("backup".to_string()));
            }
        }
        region
    }

    fn record(event: &Event) -> String {
        match event.bad {
            true => format!("{{\"ts\":\"never\",\"id\":{}}}", event.id),
            false => Self::json(event),
        }
    }

    fn json(event: &Event) -> String {
        format!("{{\"ts\":{},\"id\":{},\"user\":{}}}", event.time, event.id, event.user)
    }

    /// A sink to `rows`; every other that holds rows back encodes them.
    fn memory(&self, context: &SinkContext, rows: &MemoryRows) -> MemorySink {
        let sink = MemorySink::new(context.pipeline.to_string(), rows.clone()).holding(self.holding);
        if self.holding.is_multiple_of(2) { sink.encoding() } else { sink }
    }

    pub(super) fn world(self: &Arc<Self>) -> World {
        World { environment: self.environment.clone(), connect: self.clone(), watch: Arc::new(|_| {}) }
    }
}

impl Connect for Outside {
    fn source(&self, _config: &SourceConfig) -> Result<Arc<dyn Source>, SourceError> {
        if let Some(queue) = &self.queue {
            return Ok(Arc::new(queue.source(self.events.len())));
        }
        let splits = self.events.iter().map(|split| split.iter().map(Self::record).collect()).collect();
        Ok(Arc::new(MemorySource::new::<String>(splits)))
    }

    fn sink(&self, config: &SinkConfig, context: SinkContext) -> Result<Box<dyn Sink>, SinkError> {
        if let Some(mirror) = self.mirror.as_ref().filter(|_| config.name == "mirror") {
            return Ok(Box::new(MirrorSink::new(mirror.clone(), self.memory(&context, &mirror.rows))));
        }
        if let Some(mirror) = self.mirror.as_ref().filter(|_| config.name == "backup") {
            return Ok(Box::new(self.memory(&context, &mirror.backup)));
        }
        Ok(Box::new(self.memory(&context, &self.rows)))
    }

    fn dead_letters(&self, _options: ParquetOptions, context: SinkContext) -> Result<Box<dyn Sink>, SinkError> {
        Ok(Box::new(MemorySink::new(format!("{} dead", context.pipeline), self.rows.clone())))
    }

    fn state(&self, _checkpoint: &Checkpoint) -> Result<Place, StateError> {
        Ok(Place::of(Arc::new(self.store.clone()), Path::from("state"), "memory".to_string()))
    }
}
