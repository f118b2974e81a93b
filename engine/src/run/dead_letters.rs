//! What becomes of bad records: kept with their reason, counted only, or the end of the run.
//!
//! Kept ones have a writer of their own per source, which ends its epochs with everybody else: a dead letter is in the
//! lake exactly once, too.

use std::sync::Arc;

use arrow::array::{BinaryBuilder, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tokio::sync::mpsc;
use watershed_connectors::{Records, SplitId};
use watershed_sinks::{ParquetOptions, SinkContext, WriterBudget};

use super::barrier::{Aligner, Barrier};
use super::coordinator::CoordinatorMessage;
use super::cut::LettersCut;
use super::error::RunError;
use super::lane::{Closed, Stopped};
use super::outlet::Outlet;
use crate::config::{Region, SourceConfig};
use crate::sql::window_column_type;

/// One bad record.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    position: u64,
    reason: String,
    bytes: Vec<u8>,
}

impl DeadLetter {
    /// Keeps the first bytes of the record.
    pub(crate) fn new(position: u64, reason: String, payload: &[u8]) -> Self {
        let bytes = payload[..payload.len().min(Records::REJECTED_BYTES)].to_vec();
        Self { position, reason, bytes }
    }
}

/// What the writer of a source's dead letters is told.
pub(crate) enum LetterMessage {
    /// By a lane.
    Lane(usize, LaneLetters),
    /// The epoch is durable: show what it prepared.
    Publish,
    /// The last epoch is published.
    End,
}

/// What a lane tells the writer.
pub(crate) enum LaneLetters {
    /// Dead letters.
    Letters(RecordBatch),
    /// The lane ends an epoch here.
    Barrier(Barrier),
}

/// Where a source's bad records go.
#[derive(Debug, Clone)]
pub(crate) enum DeadLetters {
    /// To a writer of their own.
    Keep(mpsc::Sender<LetterMessage>),
    /// Nowhere; they are counted.
    Skip,
    /// The first one ends the run.
    Fail,
}

impl DeadLetters {
    /// Takes the bad records of one chunk. Blocks while the writer is behind.
    pub(super) fn send(
        &self,
        lane: usize,
        source: &Arc<str>,
        split: &SplitId,
        letters: Vec<DeadLetter>,
        now: i64,
    ) -> Result<(), Stopped> {
        let Some(first) = letters.first() else { return Ok(()) };
        match self {
            Self::Skip => Ok(()),
            Self::Fail => Err(Stopped::Failed(RunError::BadRecord {
                source_name: source.to_string(),
                split: split.to_string(),
                position: first.position,
                reason: first.reason.clone(),
            })),
            Self::Keep(sender) => {
                let batch =
                    to_batch(source, split, &letters, now).map_err(|error| RunError::query(source, &error.into()))?;
                let message = LetterMessage::Lane(lane, LaneLetters::Letters(batch));
                Ok(sender.blocking_send(message).map_err(|_| Closed)?)
            }
        }
    }

    /// Says that `lane` ends an epoch here.
    pub(super) fn end_epoch(&self, lane: usize, barrier: Barrier) -> Result<(), Closed> {
        let Self::Keep(sender) = self else { return Ok(()) };
        sender.blocking_send(LetterMessage::Lane(lane, LaneLetters::Barrier(barrier))).map_err(|_| Closed)
    }
}

/// Writes the dead letters of one source.
pub(crate) struct LetterTask {
    pub(crate) source: Arc<str>,
    pub(crate) inbox: mpsc::Receiver<LetterMessage>,
    pub(crate) outlet: Outlet,
    pub(crate) aligner: Aligner<LaneLetters>,
    pub(crate) coordinator: mpsc::UnboundedSender<CoordinatorMessage>,
}

impl LetterTask {
    /// Works until the last epoch is published.
    pub(crate) async fn run(mut self) -> Result<(), RunError> {
        while let Some(message) = self.inbox.recv().await {
            if matches!(message, LetterMessage::End) {
                return Ok(());
            }
            self.handle(message).await?;
        }
        Err(RunError::Lost("the coordinator"))
    }

    pub(super) async fn handle(&mut self, message: LetterMessage) -> Result<(), RunError> {
        match message {
            LetterMessage::Lane(lane, letters) => self.take(lane, letters).await,
            LetterMessage::Publish => {
                self.outlet.publish().await?;
                self.tell(CoordinatorMessage::Published { owes: self.outlet.owes() })
            }
            LetterMessage::End => Ok(()),
        }
    }

    async fn take(&mut self, lane: usize, letters: LaneLetters) -> Result<(), RunError> {
        let Some(letters) = self.aligner.offer(lane, letters) else { return Ok(()) };
        match letters {
            LaneLetters::Letters(batch) => self.outlet.write(batch).await.map(drop),
            LaneLetters::Barrier(barrier) => {
                if !self.aligner.pass(lane) {
                    return Ok(());
                }
                let out = self.outlet.cut(barrier.epoch, barrier.flush).await?;
                let cut = LettersCut { source: self.source.clone(), out };
                self.tell(CoordinatorMessage::Letters(cut))?;
                for (lane, letters) in self.aligner.release() {
                    Box::pin(self.take(lane, letters)).await?;
                }
                Ok(())
            }
        }
    }

    fn tell(&self, message: CoordinatorMessage) -> Result<(), RunError> {
        self.coordinator.send(message).map_err(|_| RunError::Lost("the coordinator"))
    }
}

/// The sink of a source's dead letters: its options, and what it is told.
pub(crate) fn sink_of(
    region: &Region,
    source: &SourceConfig,
    writers: &Arc<WriterBudget>,
) -> (ParquetOptions, SinkContext) {
    let context = SinkContext {
        pipeline: source.name.as_str().into(),
        late: false,
        region: region.name.clone(),
        sql_hash: "".into(),
        schema: schema(),
        time_column: Some("time".to_string()),
        sort_by: Vec::new(),
        writers: writers.clone(),
    };
    let options = ParquetOptions {
        partition_by: vec!["date".to_string()],
        store: source.dead_letters_store.clone(),
        ..ParquetOptions::at(&source.dead_letters)
    };
    (options, context)
}

/// Columns of a dead letter.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("time", window_column_type(), false),
        Field::new("source", DataType::Utf8, false),
        Field::new("split", DataType::Utf8, false),
        Field::new("position", DataType::UInt64, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("record", DataType::Binary, false),
    ]))
}

fn to_batch(
    source: &str,
    split: &SplitId,
    letters: &[DeadLetter],
    now: i64,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let rows = letters.len();
    let mut records = BinaryBuilder::new();
    letters.iter().for_each(|letter| records.append_value(&letter.bytes));
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(TimestampMicrosecondArray::from(vec![now; rows]).with_timezone("UTC")),
            Arc::new(StringArray::from(vec![source; rows])),
            Arc::new(StringArray::from(vec![split.as_str(); rows])),
            Arc::new(UInt64Array::from_iter_values(letters.iter().map(|letter| letter.position))),
            Arc::new(StringArray::from_iter_values(letters.iter().map(|letter| &letter.reason))),
            Arc::new(records.finish()),
        ],
    )
}
