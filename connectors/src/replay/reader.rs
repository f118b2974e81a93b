//! Reads one Parquet file from a position to its end, a row group at a time.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use async_trait::async_trait;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use serde::Deserialize;
use serde_json::json;

use super::footer::{Footer, Wanted, damaged, guarded};
use crate::error::SourceError;
use crate::records::{Records, fitting};
use crate::source::{Position, ReadLimits, ReadStatus, Reader, SplitId};

/// The next row, as it is written into checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Place {
    row_group: usize,
    row: usize,
}

pub(super) struct ParquetReader {
    split: SplitId,
    footer: Footer,
    at: Place,
    /// The rest of row group `at`, if it has been started.
    batches: Option<ParquetRecordBatchReader>,
    /// Rows that were read and not handed out.
    pending: Option<RecordBatch>,
}

impl ParquetReader {
    pub(super) fn open(split: SplitId, from: Option<&Position>, wanted: &Wanted) -> Result<Self, SourceError> {
        let footer = Footer::open(split.as_str(), wanted)?;
        let at = match from {
            None => Place { row_group: 0, row: 0 },
            Some(position) => parse(position, &split, &footer)?,
        };
        Ok(Self { split, footer, at, batches: None, pending: None })
    }

    /// Hands out rows of about `bytes`, at least one.
    fn step(&mut self, records: &mut Records, bytes: usize) -> Result<ReadStatus, SourceError> {
        let Some(batch) = self.take(bytes)? else { return Ok(ReadStatus::Ended) };
        let group = &self.footer.groups[self.at.row_group];
        if batch.num_rows() > group.rows - self.at.row {
            return Err(self.miscounted());
        }
        let rows = fitting(&batch, bytes);
        let position = group.first + self.at.row as u64;
        records.push_columns(batch.slice(0, rows), position).map_err(|e| damaged(self.split.as_str(), e))?;
        if rows < batch.num_rows() {
            self.pending = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        self.at.row += rows;
        if self.at.row == group.rows {
            self.go_to(self.at.row_group + 1);
        }
        Ok(ReadStatus::More)
    }

    fn go_to(&mut self, row_group: usize) {
        self.at = Place { row_group, row: 0 };
        self.batches = None;
    }

    /// The next rows, at least one; none at the end.
    fn take(&mut self, bytes: usize) -> Result<Option<RecordBatch>, SourceError> {
        if let Some(batch) = self.pending.take() {
            return Ok(Some(batch));
        }
        let batches = match &mut self.batches {
            Some(batches) => batches,
            none => {
                let groups = &self.footer.groups;
                let next = (self.at.row_group..groups.len())
                    .find(|&next| groups[next].wanted && (next > self.at.row_group || self.at.row < groups[next].rows));
                let next = next.unwrap_or(groups.len());
                if next > self.at.row_group {
                    self.at = Place { row_group: next, row: 0 };
                }
                if next == groups.len() {
                    return Ok(None);
                }
                none.insert(self.footer.read(next, self.at.row, bytes)?)
            }
        };
        match guarded(self.split.as_str(), || batches.next().transpose())? {
            Some(batch) if batch.num_rows() > 0 => {
                self.with_folders(batch).map(Some).map_err(|e| damaged(self.split.as_str(), e))
            }
            _ => Err(self.miscounted()),
        }
    }

    /// Adds the columns that stand in the file's path.
    fn with_folders(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        if self.footer.folders.is_empty() {
            return Ok(batch);
        }
        let rows = batch.num_rows();
        let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
        let mut columns = batch.columns().to_vec();
        for folder in &self.footer.folders {
            let array = folder.array(rows);
            fields.push(Arc::new(Field::new(&folder.name, array.data_type().clone(), true)));
            columns.push(array);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }

    fn miscounted(&self) -> SourceError {
        let group = self.at.row_group;
        damaged(self.split.as_str(), format!("row group {group} does not hold as many rows as the footer says"))
    }
}

fn parse(position: &Position, split: &SplitId, footer: &Footer) -> Result<Place, SourceError> {
    let place = Place::deserialize(&position.0).map_err(|e| {
        SourceError::config(format!(
            "{split}: the checkpoint holds no position in a Parquet file ({e}); start with --reset-state to read from the start"
        ))
    })?;
    let inside = match footer.groups.get(place.row_group) {
        Some(group) => place.row <= group.rows,
        None => place == Place { row_group: footer.groups.len(), row: 0 },
    };
    if inside {
        return Ok(place);
    }
    Err(SourceError::config(format!(
        "{split} has no row {} in row group {}, where the checkpoint stands: the file was replaced since; bring it back, \
         or start with --reset-state to read from the start",
        place.row, place.row_group
    )))
}

#[async_trait]
impl Reader for ParquetReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        self.step(records, limits.bytes.max(1))
    }

    fn position(&self) -> Position {
        Position(json!({ "row_group": self.at.row_group, "row": self.at.row }))
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }

    fn promise(&self) -> Option<i64> {
        self.footer.earliest_from(self.at.row_group)
    }
}
