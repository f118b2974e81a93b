//! From records to rows: decoded, dated, told from what came before, with the bad ones set aside.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::compute::filter_record_batch;
use datafusion::common::DataFusionError;
use watershed_connectors::Records;

use super::dead_letters::{DeadLetter, DeadLetters};
use super::delays::Delays;
use super::error::RunError;
use super::lane::{Stopped, Tap};
use super::redelivery::Redelivery;
use super::split::LaneSplit;
use super::tally::Tally;
use super::times::{event_times, good_records, time_faults};
use crate::decode::Decode;
use crate::dedup::SeenKeys;
use crate::report::Counters;

/// A source as one lane reads it.
pub(crate) struct LaneSource {
    pub(crate) name: Arc<str>,
    pub(crate) decoder: Box<dyn Decode>,
    /// Event time, by index into the decoded batch, if a window needs it.
    pub(crate) event_time: Option<usize>,
    /// Event times to keep; none: all.
    pub(crate) range: Option<Range<i64>>,
    /// Microseconds.
    pub(crate) max_delay: i64,
    /// Microseconds ahead of the clock; none: any.
    pub(crate) max_future: Option<i64>,
    /// What was delivered, where the origin may deliver a record again.
    pub(crate) redelivery: Option<Arc<Redelivery>>,
    /// What came before, where records that come twice are taken once.
    pub(crate) deduplicate: Option<LaneKeys>,
    pub(crate) dead_letters: DeadLetters,
    /// How long its events take, where that is looked at.
    pub(crate) delays: Option<Arc<Delays>>,
    /// True if somebody waits until what was read is durable.
    pub(crate) awaited: bool,
    pub(crate) taps: Arc<Vec<Tap>>,
}

/// Keys that were seen, and the columns that make one.
#[derive(Debug, Clone)]
pub(crate) struct LaneKeys {
    pub(crate) seen: Arc<SeenKeys>,
    /// By index into the decoded batch.
    pub(crate) columns: Vec<usize>,
}

/// When a lane decodes.
#[derive(Clone, Copy)]
pub(super) struct Intake {
    /// The round that the lane is in.
    pub(super) round: u64,
    /// The clock.
    pub(super) now: i64,
    /// Time since some moment, which never goes back.
    pub(super) elapsed: Duration,
}

/// Records decoded and checked.
pub(super) struct Decoded {
    pub(super) batch: RecordBatch,
    /// Event times of its rows, where they are wanted.
    pub(super) times: Option<ScalarBuffer<i64>>,
    /// The records that are in no row.
    left_out: LeftOut,
}

/// What became of records that go no further, and what there was in all.
#[derive(Default)]
struct LeftOut {
    read: u64,
    bytes: u64,
    filtered: u64,
    duplicates: u64,
    letters: Vec<DeadLetter>,
}

impl Decoded {
    /// Keeps the rows for which `mask` is true; gives the number of the others.
    fn keep(&mut self, mask: &BooleanArray) -> Result<u64, DataFusionError> {
        let dropped = mask.len() - mask.true_count();
        if dropped > 0 {
            self.batch = filter_record_batch(&self.batch, mask)?;
            if let Some(times) = &mut self.times {
                *times = mask.values().set_indices().map(|row| times[row]).collect();
            }
        }
        Ok(dropped as u64)
    }
}

/// Which records were taken before; none where that can't be.
struct Again(Option<BooleanArray>);

impl Again {
    fn is(&self, record: usize) -> bool {
        self.0.as_ref().is_some_and(|fresh| !fresh.value(record))
    }

    fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |fresh| (fresh.len() - fresh.true_count()) as u64)
    }
}

impl LaneSource {
    /// Decodes the records of a chunk. What becomes of those that go no further is for [`Self::account`] to tell.
    pub(super) fn decode(&mut self, split: &LaneSplit, records: &Records, at: Intake) -> Result<Decoded, RunError> {
        let Intake { round, now, elapsed } = at;
        let failed = |error: DataFusionError| RunError::query(&self.name, &error);
        let mut again = match &self.redelivery {
            Some(redelivery) => Again(Some(redelivery.admit(round, records, elapsed).map_err(failed)?)),
            None => Again(None),
        };
        let bytes = records.byte_len() as u64;
        let unpacked = self.decoder.unpack(records, &|record| !again.is(record));
        let (records, left_out) = match &unpacked {
            // Records that came again were left out whole, and count as skipped.
            Some(unpacked) => (&unpacked.records, std::mem::replace(&mut again, Again(None)).count()),
            None => (records, 0),
        };
        let decoded = self.decoder.decode(records);
        for warning in self.decoder.take_warnings() {
            tracing::warn!(source = %self.name, split = %split.id, "{warning}");
        }
        let mut letters: Vec<DeadLetter> =
            records.rejected().iter().map(|r| DeadLetter::new(r.position, r.reason.clone(), &r.bytes)).collect();
        letters.extend(
            (decoded.bad.iter().filter(|b| !again.is(b.index)))
                .map(|b| DeadLetter::new(records.position(b.index), b.reason.clone(), &records.shown(b.index))),
        );
        let mut rows = Decoded { batch: decoded.batch, times: None, left_out: LeftOut::default() };
        let record_of = || good_records(records.len(), decoded.bad.iter().map(|bad| bad.index)).into_iter();
        let mut duplicates = again.count();
        if duplicates > 0 {
            let fresh: BooleanArray = record_of().map(|record| Some(!again.is(record))).collect();
            rows.keep(&fresh).map_err(failed)?;
        }
        if let Some(column) = self.event_time {
            let times = event_times(rows.batch.column(column)).map_err(failed)?;
            let faults = time_faults(&times, rows.batch.column(column), self.max_future, now);
            rows.times = Some(times);
            if !faults.is_empty() {
                let record_of: Vec<usize> = record_of().filter(|record| !again.is(*record)).collect();
                let mut good = vec![true; rows.batch.num_rows()];
                for (row, reason) in faults {
                    good[row] = false;
                    let record = record_of[row];
                    letters.push(DeadLetter::new(records.position(record), reason, &records.shown(record)));
                }
                rows.keep(&BooleanArray::from(good)).map_err(failed)?;
            }
        }
        let mut outside = 0;
        if let (Some(range), Some(times)) = (&self.range, &rows.times) {
            let inside: BooleanArray = times.iter().map(|time| Some(range.contains(time))).collect();
            outside = rows.keep(&inside).map_err(failed)?;
        }
        if let Some(LaneKeys { seen, columns }) = &self.deduplicate {
            let keys: Vec<_> = columns.iter().map(|&column| rows.batch.column(column).clone()).collect();
            let fresh = match &rows.times {
                Some(times) => seen.admit(round, &keys, times),
                None => seen.admit(round, &keys, &vec![now; rows.batch.num_rows()]),
            };
            duplicates += rows.keep(&fresh.map_err(failed)?).map_err(failed)?;
        }
        let skipped = records.skipped();
        rows.left_out = LeftOut {
            read: (records.len() + records.rejected().len()) as u64 + skipped,
            bytes,
            filtered: outside + duplicates + skipped,
            duplicates: duplicates + left_out,
            letters,
        };
        Ok(rows)
    }

    /// Counts what became of the records of a chunk that go no further, and sends the bad ones where they are kept.
    pub(super) fn account(
        &self,
        lane: usize,
        split: &LaneSplit,
        decoded: &mut Decoded,
        tally: &Tally,
        now: i64,
    ) -> Result<(), Stopped> {
        let LeftOut { read, bytes, filtered, duplicates, letters } = std::mem::take(&mut decoded.left_out);
        let bad = letters.len() as u64;
        let mut told = vec![false; tally.pipelines.len()];
        self.taps.iter().for_each(|tap| told[tap.pipeline] = true);
        let readers = tally.pipelines.iter().zip(told).filter(|(_, reads)| *reads).map(|(counters, _)| counters);
        for counters in readers.chain([&tally.total]) {
            Counters::add(&counters.read, read);
            Counters::add(&counters.bad, bad);
            Counters::add(&counters.filtered, filtered);
            Counters::add(&counters.duplicates, duplicates);
            Counters::add(&counters.bytes_in, bytes);
        }
        self.dead_letters.send(lane, &self.name, &split.id, letters, now)
    }
}
