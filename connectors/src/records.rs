//! The arena in which a reader hands out records: one buffer of payload bytes, one span a record.
//!
//! The one idea: payloads lie back to back with a newline behind each, so that a decoder can run over all of them
//! without a copy, and each record still has its own exact range for dead letters. What was stored as columns stays
//! columns: such records are the rows of one batch, and have bytes only when one of them must be shown.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;

mod columns;
#[cfg(test)]
mod tests;

use crate::metadata::{Described, MetadataValue, Wanted};
use columns::Columns;
pub(crate) use columns::fitting;
pub use columns::memory;

/// A record that could not be handed out whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The record's place among the records of this read, counting the good ones before it: a rejected record with
    /// `before = 2` came between the second and the third good record.
    pub before: usize,
    /// Ordinal of the record in its split, as [`Records::position`].
    pub position: u64,
    /// The first bytes of the record, at most [`Records::REJECTED_BYTES`].
    pub bytes: Vec<u8>,
    /// Why, in words for the dead letter.
    pub reason: String,
}

/// Consecutive records of one split: payload bytes, or rows of columns, never both.
#[derive(Debug, Default)]
pub struct Records {
    columns: Option<Columns>,
    bytes: Vec<u8>,
    spans: Vec<(u32, u32)>,
    positions: Vec<u64>,
    rejected: Vec<Rejected>,
    skipped: u64,
    header: Option<Arc<[u8]>>,
    described: Described,
    taken: Option<Vec<ArrayRef>>,
}

impl Records {
    /// How many bytes of a rejected record are kept.
    pub const REJECTED_BYTES: usize = 4096;

    /// The largest arena: spans are 32-bit.
    pub const MAX_BYTES: usize = u32::MAX as usize / 2;

    /// Empties the arena and keeps its memory.
    pub fn clear(&mut self) {
        self.columns = None;
        self.bytes.clear();
        self.spans.clear();
        self.positions.clear();
        self.rejected.clear();
        self.skipped = 0;
        self.header = None;
        self.described = Described::default();
        self.taken = None;
    }

    /// Appends one record. `position` is its ordinal in the split: an offset, a byte position, a sequence.
    /// The caller keeps the arena below [`Records::MAX_BYTES`].
    pub fn push(&mut self, payload: &[u8], position: u64) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(payload);
        self.spans.push((start, self.bytes.len() as u32));
        self.positions.push(position);
        self.bytes.push(b'\n');
    }

    /// Lets `write` append one record's payload in place.
    pub fn push_with(&mut self, position: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len() as u32;
        write(&mut self.bytes);
        self.spans.push((start, self.bytes.len() as u32));
        self.positions.push(position);
        self.bytes.push(b'\n');
    }

    /// Appends consecutive records that lie back to back in `block` already, each with a newline behind it. `newlines`
    /// holds the index in `block` of each record's newline, the last of which ends the block. Positions are byte
    /// offsets: the first record's is `position`.
    pub fn push_block(&mut self, block: &[u8], newlines: &[u32], position: u64) {
        let base = self.bytes.len() as u32;
        self.bytes.extend_from_slice(block);
        self.push_spans(base, newlines, position);
    }

    /// The same of a block that becomes the arena; it takes no copy where the arena is empty.
    pub fn push_owned_block(&mut self, block: Vec<u8>, newlines: &[u32], position: u64) {
        if self.bytes.is_empty() {
            self.bytes = block;
            self.push_spans(0, newlines, position);
        } else {
            self.push_block(&block, newlines, position);
        }
    }

    fn push_spans(&mut self, base: u32, newlines: &[u32], position: u64) {
        debug_assert_eq!(newlines.last().map_or(base as usize, |&last| (base + last) as usize + 1), self.bytes.len());
        let starts = || std::iter::once(0).chain(newlines.iter().map(|newline| newline + 1));
        self.spans.extend(starts().zip(newlines).map(|(start, newline)| (base + start, base + newline)));
        self.positions.extend(starts().take(newlines.len()).map(|start| position + u64::from(start)));
    }

    /// Appends rows as columns. `position` is the ordinal of the first in the split; the others follow it.
    ///
    /// # Errors
    /// If the columns are not those of the rows that are held already.
    pub fn push_columns(&mut self, batch: RecordBatch, position: u64) -> Result<(), ArrowError> {
        debug_assert!(self.spans.is_empty(), "rows come as bytes or as columns");
        match &mut self.columns {
            Some(columns) => columns.push(batch, position),
            none => {
                *none = Some(Columns::new(batch, position));
                Ok(())
            }
        }
    }

    /// Appends the rows of several batches of one schema; all rows of a batch have its position.
    ///
    /// # Errors
    /// If their columns are not the same.
    pub fn push_all_columns(&mut self, batches: &[(RecordBatch, u64)]) -> Result<(), ArrowError> {
        debug_assert!(self.spans.is_empty() && self.columns.is_none(), "rows come as bytes or as columns");
        self.columns = Columns::concat(batches)?;
        Ok(())
    }

    /// Sets a record aside that could not be framed; keeps the first [`Records::REJECTED_BYTES`] of it.
    pub fn reject(&mut self, payload: &[u8], position: u64, reason: impl Into<String>) {
        self.rejected.push(Rejected {
            before: self.len(),
            position,
            bytes: payload[..payload.len().min(Self::REJECTED_BYTES)].to_vec(),
            reason: reason.into(),
        });
    }

    /// Says what is wanted of the record that was pushed last, beside its payload. `value` is asked for each wanted column, by
    /// its place in the connector's list. Where anything is wanted, every record is described.
    pub fn describe<'v>(&mut self, wanted: &Wanted, value: impl FnMut(usize) -> MetadataValue<'v>) {
        if !wanted.is_empty() {
            self.described.push(wanted, value);
            debug_assert_eq!(self.described.rows(), self.len(), "each record is described once");
        }
    }

    /// What was said of the records beside their payload: a column each, in the order wanted, a row a record.
    pub fn described(&self) -> Vec<ArrayRef> {
        self.taken.clone().unwrap_or_else(|| self.described.arrays())
    }

    /// Says the same of all records at once: a column each, a row a record.
    pub fn set_described(&mut self, columns: Vec<ArrayRef>) {
        self.taken = Some(columns);
    }

    /// Counts messages that carry no record by design, such as a tombstone: read, and filtered out.
    pub fn skip(&mut self, messages: u64) {
        self.skipped += messages;
    }

    /// Messages that carried no record.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Number of records, rejected ones not counted.
    pub fn len(&self) -> usize {
        self.columns.as_ref().map_or(self.spans.len(), Columns::len)
    }

    /// Number of records, rejected and skipped ones counted: tells whether a read has brought anything.
    pub(crate) fn count(&self) -> usize {
        self.len() + self.rejected.len() + self.skipped as usize
    }

    /// True if there is neither a record nor a rejected or skipped one.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Payload bytes held, separators included; of columns, the memory they take.
    pub fn byte_len(&self) -> usize {
        self.columns.as_ref().map_or(self.bytes.len(), Columns::bytes)
    }

    /// The rows, if they are held as columns. Then there are neither [bytes](Records::bytes) nor
    /// [spans](Records::span).
    pub fn columns(&self) -> Option<&RecordBatch> {
        self.columns.as_ref().map(Columns::batch)
    }

    /// Record `i` for people to read: its payload, or the row of columns as JSON.
    pub fn shown(&self, i: usize) -> Cow<'_, [u8]> {
        match &self.columns {
            Some(columns) => Cow::Owned(columns.json(i)),
            None => Cow::Borrowed(self.payload(i)),
        }
    }

    /// The whole arena: every payload followed by a newline.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Byte range of record `i` in [`Records::bytes`], without its newline.
    pub fn span(&self, i: usize) -> Range<usize> {
        let (start, end) = self.spans[i];
        start as usize..end as usize
    }

    /// Payload of record `i`.
    pub fn payload(&self, i: usize) -> &[u8] {
        &self.bytes[self.span(i)]
    }

    /// Ordinal of record `i` in its split.
    pub fn position(&self, i: usize) -> u64 {
        self.columns.as_ref().map_or_else(|| self.positions[i], |columns| columns.position(i))
    }

    /// The records set aside while reading.
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// The CSV header that all these records stand under.
    pub fn header(&self) -> Option<&Arc<[u8]>> {
        self.header.as_ref()
    }

    /// Says which header these records stand under. One read never mixes two.
    pub fn set_header(&mut self, header: Arc<[u8]>) {
        self.header = Some(header);
    }
}
