//! A lane: one thread that takes chunks of records from decode to pane, alone.
//!
//! Lanes share nothing per event. What they hand to pipelines goes over bounded channels, so that a slow sink stops
//! them, and they in turn the readers. Messages of a lane arrive in order: what it says after a chunk comes after it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::cast::{as_date32_array, as_primitive_array};
use datafusion::common::{DataFusionError, Result as DataFusionResult};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use watershed_connectors::{Records, SplitId};

use super::clock::{PipelineClock, SplitClock};
use super::dead_letters::{DeadLetter, DeadLetters};
use super::error::RunError;
use super::ledger::Ledger;
use crate::decode::Decode;
use crate::plan::{CutWindow, PlannedBranch};
use crate::report::Counters;
use crate::rows::Rows;
use crate::watermark::SplitWatermark;
use crate::window::{PaneGrid, PanePart, PaneRows, PaneStore};

/// A split on its lane.
#[derive(Debug)]
pub(crate) struct LaneSplit {
    /// Number of the split in this run.
    pub(crate) number: usize,
    /// Index of its source.
    pub(crate) source: usize,
    pub(crate) id: SplitId,
    pub(crate) clock: Arc<SplitClock>,
}

/// What a lane is told.
pub(crate) enum LaneMessage {
    /// Records of a split, and the memory they take.
    Chunk { split: Arc<LaneSplit>, records: Records, permit: OwnedSemaphorePermit },
    /// The split is silent and caught up.
    Idle(Arc<LaneSplit>),
    /// The split has ended.
    Ended(Arc<LaneSplit>),
    /// Hand over what pipeline `pipeline` holds up to `through`.
    Seal { pipeline: usize, through: i64 },
}

/// What a pipeline is told by lanes.
pub(crate) enum PipelineMessage {
    /// A watermark may have moved.
    Progress,
    /// Rows of a pipeline without windows.
    Rows { batch: RecordBatch, permit: Arc<OwnedSemaphorePermit> },
    /// Rows on their way into a session.
    Session(Box<SessionRows>),
    /// Late rows, as the source's rows.
    Late(RecordBatch),
    /// The answer to [`LaneMessage::Seal`]: panes by cut.
    Sealed(Vec<(usize, PanePart, PaneRows)>),
    /// No more records will come.
    Drained,
}

/// Rows for a session window.
pub(crate) struct SessionRows {
    pub(crate) cut: usize,
    pub(crate) branch: usize,
    pub(crate) rows: Rows,
    pub(crate) times: ScalarBuffer<i64>,
    /// The pipeline's watermark before each row.
    pub(crate) watermarks: Vec<i64>,
    pub(crate) keys: Vec<ArrayRef>,
    pub(crate) ledger: Arc<Ledger>,
    /// The source's rows, where late ones are wanted.
    pub(crate) source_rows: Option<RecordBatch>,
    /// Freed when the rows are in their session.
    pub(crate) _permit: Arc<OwnedSemaphorePermit>,
}

/// What a pipeline is to a lane.
pub(crate) struct LanePipeline {
    pub(crate) name: Arc<str>,
    pub(crate) sender: mpsc::Sender<PipelineMessage>,
    pub(crate) clock: Arc<PipelineClock>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) allowed_lateness: i64,
    /// True if late rows go to a sink.
    pub(crate) wants_late: bool,
}

/// One reader of a source's rows: a branch of a pipeline.
pub(crate) struct Tap {
    pub(crate) pipeline: usize,
    pub(crate) cut: usize,
    pub(crate) branch_number: usize,
    pub(crate) branch: PlannedBranch,
    /// The branch's columns, by index into the decoded batch.
    pub(crate) columns: Vec<usize>,
    pub(crate) kind: TapKind,
}

pub(crate) enum TapKind {
    Rows,
    Grid(PaneGrid),
    Session,
}

impl TapKind {
    pub(crate) fn of(window: Option<&CutWindow>) -> Self {
        match window {
            None => Self::Rows,
            Some(CutWindow::Grid(grid)) => Self::Grid(*grid),
            Some(CutWindow::Session { .. }) => Self::Session,
        }
    }
}

/// A source as one lane reads it.
pub(crate) struct LaneSource {
    pub(crate) name: Arc<str>,
    pub(crate) decoder: Box<dyn Decode>,
    /// Event time, by index into the decoded batch, if a window needs it.
    pub(crate) event_time: Option<usize>,
    /// Microseconds.
    pub(crate) max_delay: i64,
    /// Microseconds ahead of the clock; none: any.
    pub(crate) max_future: Option<i64>,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) taps: Arc<Vec<Tap>>,
}

/// One lane.
pub(crate) struct Lane {
    pub(crate) inbox: mpsc::UnboundedReceiver<LaneMessage>,
    pub(crate) sources: Vec<LaneSource>,
    pub(crate) pipelines: Arc<Vec<LanePipeline>>,
    pub(crate) stores: BTreeMap<(usize, usize), PaneStore>,
    pub(crate) total: Arc<Counters>,
    pub(crate) splits: BTreeMap<usize, SplitWatermark>,
}

/// Records decoded and checked.
struct Decoded {
    batch: RecordBatch,
    times: Option<ScalarBuffer<i64>>,
}

/// A closed channel: the pipeline has ended, and with it the run.
struct Closed;

enum Stopped {
    Closed,
    Failed(RunError),
}

impl From<RunError> for Stopped {
    fn from(error: RunError) -> Self {
        Self::Failed(error)
    }
}

impl From<Closed> for Stopped {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl Lane {
    /// Works until every sender of messages is gone.
    pub(crate) fn run(mut self) -> Result<(), RunError> {
        while let Some(message) = self.inbox.blocking_recv() {
            match self.handle(message) {
                Ok(()) => {}
                Err(Stopped::Closed) => return Ok(()),
                Err(Stopped::Failed(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn handle(&mut self, message: LaneMessage) -> Result<(), Stopped> {
        match message {
            LaneMessage::Chunk { split, records, permit } => self.chunk(&split, &records, Arc::new(permit)),
            LaneMessage::Idle(split) => {
                split.clock.set_idle();
                Ok(self.progress(split.source)?)
            }
            LaneMessage::Ended(split) => {
                self.splits.remove(&split.number);
                split.clock.end();
                Ok(self.progress(split.source)?)
            }
            LaneMessage::Seal { pipeline, through } => {
                let mut sealed = Vec::new();
                for (&(_, cut), store) in self.stores.range_mut((pipeline, 0)..(pipeline + 1, 0)) {
                    sealed.extend(store.seal(through).into_iter().map(|(pane, rows)| (cut, pane, rows)));
                }
                Ok(send(&self.pipelines[pipeline], PipelineMessage::Sealed(sealed))?)
            }
        }
    }

    /// Tells every pipeline that reads `source` to look at its watermark.
    fn progress(&self, source: usize) -> Result<(), Closed> {
        let mut told = None;
        for tap in self.sources[source].taps.iter() {
            if told != Some(tap.pipeline) {
                send(&self.pipelines[tap.pipeline], PipelineMessage::Progress)?;
                told = Some(tap.pipeline);
            }
        }
        Ok(())
    }

    fn chunk(
        &mut self,
        split: &Arc<LaneSplit>,
        records: &Records,
        permit: Arc<OwnedSemaphorePermit>,
    ) -> Result<(), Stopped> {
        let source = &mut self.sources[split.source];
        let decoded = source.decode(split, records, &self.pipelines, &self.total)?;
        let rows = decoded.batch.num_rows();
        let mut reads = vec![None; self.pipelines.len()];
        for tap in source.taps.iter() {
            reads[tap.pipeline] = Some(self.pipelines[tap.pipeline].counters.clone());
        }
        let ledger = Ledger::open(&self.total, reads.into_iter(), rows);

        let before = self.splits.entry(split.number).or_insert_with(|| SplitWatermark::new(source.max_delay));
        let mut after = before.clone();
        if let Some(times) = &decoded.times {
            after.advance(times);
        }
        if rows > 0 {
            let chunk = Chunk { split, decoded: &decoded, before, after: after.now(), ledger, permit };
            for tap in source.taps.iter() {
                let pipeline = &self.pipelines[tap.pipeline];
                match chunk.feed(tap, pipeline, self.stores.get_mut(&(tap.pipeline, tap.cut))) {
                    Ok(()) => {}
                    Err(Fed::Closed) => return Err(Stopped::Closed),
                    Err(Fed::Failed(error)) => return Err(RunError::query(&pipeline.name, &error).into()),
                }
            }
        }
        if decoded.times.is_some() {
            *before = after;
            split.clock.publish(before.now());
        }
        Ok(self.progress(split.source)?)
    }
}

fn send(pipeline: &LanePipeline, message: PipelineMessage) -> Result<(), Closed> {
    pipeline.sender.blocking_send(message).map_err(|_| Closed)
}

impl LaneSource {
    /// Decodes records, sets the bad ones aside, and reads event times.
    fn decode(
        &mut self,
        split: &LaneSplit,
        records: &Records,
        pipelines: &[LanePipeline],
        total: &Counters,
    ) -> Result<Decoded, RunError> {
        let decoded = self.decoder.decode(records);
        for warning in self.decoder.take_warnings() {
            tracing::warn!(source = %self.name, split = %split.id, "{warning}");
        }
        let mut letters: Vec<DeadLetter> =
            records.rejected().iter().map(|r| DeadLetter::new(r.position, r.reason.clone(), &r.bytes)).collect();
        letters.extend(
            decoded
                .bad
                .iter()
                .map(|b| DeadLetter::new(records.position(b.index), b.reason.clone(), records.payload(b.index))),
        );
        let mut batch = decoded.batch;
        let mut times = None;
        if let Some(column) = self.event_time {
            let read = event_times(batch.column(column)).map_err(|error| RunError::query(&self.name, &error))?;
            let faults = time_faults(&read, batch.column(column), self.max_future);
            times = Some(read);
            if !faults.is_empty() {
                let record_of = good_records(records.len(), decoded.bad.iter().map(|bad| bad.index));
                let mut keep = vec![true; batch.num_rows()];
                for (row, reason) in faults {
                    keep[row] = false;
                    let record = record_of[row];
                    letters.push(DeadLetter::new(records.position(record), reason, records.payload(record)));
                }
                batch = filter_record_batch(&batch, &BooleanArray::from(keep))
                    .map_err(|error| RunError::query(&self.name, &error.into()))?;
                times = Some(event_times(batch.column(column)).map_err(|error| RunError::query(&self.name, &error))?);
            }
        }
        let read = (records.len() + records.rejected().len()) as u64;
        let (bad, bytes) = (letters.len() as u64, records.byte_len() as u64);
        let mut told = vec![false; pipelines.len()];
        self.taps.iter().for_each(|tap| told[tap.pipeline] = true);
        let readers = pipelines.iter().zip(told).filter(|(_, reads)| *reads).map(|(p, _)| p.counters.as_ref());
        for counters in readers.chain([total]) {
            Counters::add(&counters.read, read);
            Counters::add(&counters.bad, bad);
            Counters::add(&counters.bytes_in, bytes);
        }
        self.dead_letters.send(&self.name, &split.id, letters)?;
        Ok(Decoded { batch, times })
    }
}

/// Record behind each good row.
fn good_records(records: usize, bad: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut bad = bad.peekable();
    (0..records).filter(|record| bad.next_if_eq(record).is_none()).collect()
}

/// Event times in microseconds. Where a value is null the number means nothing.
fn event_times(column: &ArrayRef) -> DataFusionResult<ScalarBuffer<i64>> {
    match column.data_type() {
        DataType::Date32 => {
            let days = as_date32_array(column)?;
            Ok(days.values().iter().map(|&day| i64::from(day) * 86_400_000_000).collect())
        }
        _ => Ok(as_primitive_array::<TimestampMicrosecondType>(column)?.values().clone()),
    }
}

/// Rows whose event time is missing or too far ahead of the clock.
fn time_faults(times: &[i64], column: &ArrayRef, max_future: Option<i64>) -> Vec<(usize, String)> {
    let limit = max_future.map(|ahead| now_us().saturating_add(ahead));
    let ahead = limit.is_some_and(|limit| times.iter().any(|&time| time > limit));
    if column.null_count() == 0 && !ahead {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (row, &time) in times.iter().enumerate() {
        if column.is_null(row) {
            faults.push((row, "the event time is missing".to_string()));
        } else if limit.is_some_and(|limit| time > limit) {
            faults.push((row, "the event time is further ahead of the clock than max_future allows".to_string()));
        }
    }
    faults
}

/// The clock, in microseconds since the Unix epoch.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A decoded chunk on its way into the taps of its source.
struct Chunk<'a> {
    split: &'a Arc<LaneSplit>,
    decoded: &'a Decoded,
    /// The split's watermark before the chunk.
    before: &'a SplitWatermark,
    /// The same, after it.
    after: i64,
    ledger: Arc<Ledger>,
    permit: Arc<OwnedSemaphorePermit>,
}

enum Fed {
    Closed,
    Failed(DataFusionError),
}

impl<E: Into<DataFusionError>> From<E> for Fed {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Closed> for Fed {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl Chunk<'_> {
    fn feed(&self, tap: &Tap, pipeline: &LanePipeline, store: Option<&mut PaneStore>) -> Result<(), Fed> {
        let rows = tap.branch.rows.run(Rows::decoded(self.decoded.batch.project(&tap.columns)?))?;
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        match (&tap.kind, store) {
            (TapKind::Grid(grid), Some(store)) => self.feed_panes(tap, pipeline, *grid, rows, store),
            (TapKind::Session, _) => self.feed_session(tap, pipeline, rows),
            (TapKind::Rows | TapKind::Grid(_), _) => {
                self.count_aggregated(tap, &rows);
                let message = PipelineMessage::Rows { batch: rows.batch, permit: self.permit.clone() };
                Ok(send(pipeline, message)?)
            }
        }
    }

    fn count_aggregated(&self, tap: &Tap, rows: &Rows) {
        match &rows.origin {
            None => self.ledger.all_aggregated(tap.pipeline),
            Some(origin) => self.ledger.aggregated(tap.pipeline, origin.iter().copied()),
        }
    }

    fn feed_panes(
        &self,
        tap: &Tap,
        pipeline: &LanePipeline,
        grid: PaneGrid,
        rows: Rows,
        store: &mut PaneStore,
    ) -> Result<(), Fed> {
        let times = event_times(rows.batch.column(tap.branch.time))?;
        let besides = pipeline.clock.besides(&self.split.clock);
        let lateness = pipeline.allowed_lateness;
        let earliest = times.iter().min().copied().unwrap_or_default();
        if grid.first_end(earliest).saturating_add(lateness) > besides.with(self.after) {
            self.count_aggregated(tap, &rows);
            return Ok(store.push(&rows.batch, &times)?);
        }
        // Some window of some row may have closed: each row is judged by the watermark just before it.
        let before = self.watermarks_before();
        let watermark = |row: usize| besides.with(before[rows.origin_of(row) as usize]);
        let closed: Vec<i64> = (0..times.len()).map(|row| watermark(row).saturating_sub(lateness)).collect();
        let timely: BooleanArray =
            times.iter().zip(&closed).map(|(&time, &closed)| Some(grid.last_end(time) > closed)).collect();
        self.late(tap, pipeline, &rows, &timely)?;
        let kept: Vec<i64> = timely.values().set_indices().map(|row| closed[row]).collect();
        let rows = rows.filter(&timely)?;
        if rows.batch.num_rows() > 0 {
            self.count_aggregated(tap, &rows);
            let times = event_times(rows.batch.column(tap.branch.time))?;
            store.push_partly_late(&rows.batch, &times, &kept)?;
        }
        Ok(())
    }

    /// Counts rows that are not timely, and sends them where they are wanted.
    fn late(&self, tap: &Tap, pipeline: &LanePipeline, rows: &Rows, timely: &BooleanArray) -> Result<(), Fed> {
        let late: Vec<u32> =
            (0..timely.len()).filter(|&row| !timely.value(row)).map(|row| rows.origin_of(row)).collect();
        if late.is_empty() {
            return Ok(());
        }
        self.ledger.late(tap.pipeline, late.iter().copied());
        if pipeline.wants_late {
            send(pipeline, PipelineMessage::Late(late_rows(&self.decoded.batch, late)?))?;
        }
        Ok(())
    }

    fn feed_session(&self, tap: &Tap, pipeline: &LanePipeline, rows: Rows) -> Result<(), Fed> {
        let times = event_times(rows.batch.column(tap.branch.time))?;
        let besides = pipeline.clock.besides(&self.split.clock);
        let before = self.watermarks_before();
        let watermarks = (0..times.len()).map(|row| besides.with(before[rows.origin_of(row) as usize])).collect();
        let keys = tap.branch.keys.iter().map(|&key| rows.batch.column(key).clone()).collect();
        let message = SessionRows {
            cut: tap.cut,
            branch: tap.branch_number,
            rows,
            times,
            watermarks,
            keys,
            ledger: self.ledger.clone(),
            source_rows: pipeline.wants_late.then(|| self.decoded.batch.clone()),
            _permit: self.permit.clone(),
        };
        Ok(send(pipeline, PipelineMessage::Session(Box::new(message)))?)
    }

    fn watermarks_before(&self) -> Vec<i64> {
        self.decoded.times.as_ref().map(|times| self.before.before_each(times)).unwrap_or_default()
    }
}

/// The source's rows behind late rows, each once.
pub(crate) fn late_rows(source: &RecordBatch, mut late: Vec<u32>) -> DataFusionResult<RecordBatch> {
    late.dedup();
    Ok(arrow::compute::take_record_batch(source, &UInt32Array::from(late))?)
}
