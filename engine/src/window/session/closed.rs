//! Sessions that closed, on their way to the plan above.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{RecordBatch, UInt32Array};
use datafusion::common::Result;

use crate::window::Spans;

/// Sessions that closed together.
#[derive(Debug)]
pub struct ClosedSessions {
    /// First event of each row's session.
    pub starts: Vec<i64>,
    /// Its last event plus the gap.
    pub ends: Vec<i64>,
    /// Groups and results, or the rows themselves.
    pub rows: RecordBatch,
    /// Number of sessions.
    pub sessions: usize,
}

impl ClosedSessions {
    /// Only the sessions that no event outside of `range` could have touched.
    pub fn within(self, range: &Range<i64>, gap: i64) -> Result<Self> {
        let first = range.start.saturating_add(gap);
        let inside = |row: &usize| self.starts[*row] >= first && self.ends[*row] <= range.end;
        let kept: Vec<usize> = (0..self.starts.len()).filter(inside).collect();
        let rows = UInt32Array::from_iter_values(kept.iter().map(|&row| row as u32));
        let rows = arrow::compute::take_record_batch(&self.rows, &rows)?;
        let of = |bounds: &[i64]| kept.iter().map(|&row| bounds[row]).collect();
        let (starts, ends) = (of(&self.starts), of(&self.ends));
        Ok(Self { starts, ends, rows, sessions: self.sessions })
    }

    /// The rows with the bounds of each row's session, under the greatest end among them; `apart` parts them by their ends.
    pub fn by_end(self, apart: bool) -> Result<Vec<(i64, (RecordBatch, Spans))>> {
        let Self { starts, ends, rows, .. } = self;
        if !apart {
            let last = ends.iter().max().copied().unwrap_or_default();
            return Ok(vec![(last, (rows, Spans::Each(starts, ends)))]);
        }
        let mut by_end: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        ends.iter().enumerate().for_each(|(row, &end)| by_end.entry(end).or_default().push(row as u32));
        let part = |(end, members): (i64, Vec<u32>)| {
            let starts = members.iter().map(|&row| starts[row as usize]).collect();
            let ends = vec![end; members.len()];
            let rows = arrow::compute::take_record_batch(&rows, &UInt32Array::from(members))?;
            Ok((end, (rows, Spans::Each(starts, ends))))
        };
        by_end.into_iter().map(part).collect()
    }
}
