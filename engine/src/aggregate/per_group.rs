//! Functions that know one group at a time, run over many.
//!
//! A function without a `GroupsAccumulator` gives an [`Accumulator`], and each group gets one of its own. The one idea: rows
//! cost little, and calls cost much. So rows wait until they take as much memory as the groups do, which makes several for each
//! group where groups are many. Then they are put in the order of their groups by counting, columns are taken once, and only
//! groups that have rows are touched; how many others there are does not matter.

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, new_empty_array};
use arrow::compute::{concat, take_arrays};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// Most rows that wait. Groups take so many within some ten milliseconds, which a window that closes may still cost.
const MOST: usize = 1 << 16;

/// No place.
const ABSENT: u32 = u32::MAX;

/// Makes the accumulator of a group.
pub(super) type Factory = Box<dyn Fn() -> Result<Box<dyn Accumulator>> + Send>;

/// One [`Accumulator`] a group.
pub(super) struct PerGroup {
    factory: Factory,
    groups: Vec<Group>,
    /// Bytes of the groups, each as it was last measured.
    measured: usize,
    waiting: Waiting,
    sorted: Sorted,
}

/// Rows that no group has taken yet.
#[derive(Default)]
struct Waiting {
    /// Arguments, batch by batch.
    batches: Vec<Vec<ArrayRef>>,
    /// The group of each row.
    groups: Vec<u32>,
    /// Bytes of the batches.
    bytes: usize,
}

struct Group {
    accumulator: Box<dyn Accumulator>,
    bytes: usize,
    /// Rows when it was last measured, and since.
    rows: u64,
    fresh: u64,
}

impl Group {
    /// Some functions look at every value they keep to say how large they are. So a group is asked when it has a quarter
    /// more rows than last time, which costs no more than a few looks at each value in all.
    fn is_due(&self) -> bool {
        self.fresh > self.rows / 4
    }
}

impl PerGroup {
    pub(super) fn new(factory: Factory) -> Self {
        Self { factory, groups: Vec::new(), measured: 0, waiting: Waiting::default(), sorted: Sorted::default() }
    }

    fn grow(&mut self, groups: usize) -> Result<()> {
        for _ in self.groups.len()..groups {
            let accumulator = (self.factory)()?;
            let bytes = accumulator.size();
            self.measured += bytes;
            self.groups.push(Group { accumulator, bytes, rows: 0, fresh: 0 });
        }
        Ok(())
    }

    /// Gives the rows that wait to their groups.
    fn flush(&mut self) -> Result<()> {
        let Waiting { batches, groups, .. } = std::mem::take(&mut self.waiting);
        let columns = match batches.as_slice() {
            [] => return Ok(()),
            [only] => only.clone(),
            [first, ..] => {
                let column = |index: usize| {
                    let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch[index].as_ref()).collect();
                    concat(&parts)
                };
                (0..first.len()).map(column).collect::<Result<_, _>>()?
            }
        };
        self.each(&columns, &groups, |group, values| group.update_batch(values))
    }

    /// Calls `f` with each group that has rows, and with those rows.
    fn each(
        &mut self,
        columns: &[ArrayRef],
        groups: &[u32],
        f: impl Fn(&mut dyn Accumulator, &[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        self.sorted.sort(groups, self.groups.len());
        let rows = UInt32Array::from(std::mem::take(&mut self.sorted.rows));
        // Where one group has all rows, they stand as they should.
        let whole = self.sorted.present.len() == 1;
        let taken = if whole { columns.to_vec() } else { take_arrays(columns, &rows, None)? };
        let mut slices = Vec::with_capacity(taken.len());
        let mut start = 0;
        for (&group, &end) in self.sorted.present.iter().zip(&self.sorted.ends) {
            let group = &mut self.groups[group as usize];
            let len = end as usize - start;
            slices.clear();
            slices.extend(taken.iter().map(|column| column.slice(start, len)));
            f(group.accumulator.as_mut(), &slices)?;
            start = end as usize;
            group.fresh += len as u64;
            if group.is_due() {
                let bytes = group.accumulator.size();
                self.measured = (self.measured + bytes).saturating_sub(group.bytes);
                group.bytes = bytes;
                group.rows += std::mem::take(&mut group.fresh);
            }
        }
        Ok(())
    }

    /// The states of groups, by column.
    fn columns(&self, states: impl Iterator<Item = Result<Vec<ScalarValue>>>) -> Result<Vec<ArrayRef>> {
        let none = (self.factory)()?.state()?;
        let mut columns = vec![Vec::new(); none.len()];
        for state in states {
            columns.iter_mut().zip(state?).for_each(|(column, value)| column.push(value));
        }
        let array = |(column, none): (Vec<ScalarValue>, ScalarValue)| match column.is_empty() {
            true => Ok(new_empty_array(&none.data_type())),
            false => ScalarValue::iter_to_array(column),
        };
        columns.into_iter().zip(none).map(array).collect()
    }

    fn emit(&mut self, emit_to: EmitTo) -> Result<Vec<Group>> {
        self.flush()?;
        let groups = emit_to.take_needed(&mut self.groups);
        self.measured = self.measured.saturating_sub(groups.iter().map(|group| group.bytes).sum());
        Ok(groups)
    }
}

impl GroupsAccumulator for PerGroup {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups)?;
        let batch = match opt_filter {
            None => {
                self.waiting.groups.extend(group_indices.iter().map(|&group| group as u32));
                values.to_vec()
            }
            Some(filter) => {
                let is_taken = |row: &usize| filter.is_valid(*row) && filter.value(*row);
                let rows: Vec<u32> = (0..filter.len()).filter(is_taken).map(|row| row as u32).collect();
                self.waiting.groups.extend(rows.iter().map(|&row| group_indices[row as usize] as u32));
                take_arrays(values, &UInt32Array::from(rows), None)?
            }
        };
        self.waiting.bytes += batch.iter().map(|column| column.get_array_memory_size()).sum::<usize>();
        self.waiting.batches.push(batch);
        match self.waiting.bytes < self.measured && self.waiting.groups.len() < MOST {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups)?;
        self.flush()?;
        let groups: Vec<u32> = group_indices.iter().map(|&group| group as u32).collect();
        self.each(values, &groups, |group, values| group.merge_batch(values))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.emit(emit_to)?;
        if groups.is_empty() {
            return Ok(new_empty_array(&(self.factory)()?.evaluate()?.data_type()));
        }
        let results = groups.into_iter().map(|mut group| group.accumulator.evaluate());
        ScalarValue::iter_to_array(results.collect::<Result<Vec<_>>>()?)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.emit(emit_to)?;
        self.columns(groups.into_iter().map(|mut group| group.accumulator.state()))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = 0..values.first().map_or(0, |column| column.len());
        self.columns(rows.map(|row| {
            let mut accumulator = (self.factory)()?;
            if opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) {
                let row: Vec<ArrayRef> = values.iter().map(|column| column.slice(row, 1)).collect();
                accumulator.update_batch(&row)?;
            }
            accumulator.state()
        }))
    }

    fn size(&self) -> usize {
        let own = self.groups.capacity() * size_of::<Group>();
        let indices = self.waiting.groups.capacity() + self.sorted.places.capacity();
        self.measured + own + self.waiting.bytes + indices * size_of::<u32>()
    }
}

/// Rows in the order of their groups.
#[derive(Default)]
struct Sorted {
    /// Rows; those of one group stand together, as they came.
    rows: Vec<u32>,
    /// Groups that have rows, by their first.
    present: Vec<u32>,
    /// End of each one's rows.
    ends: Vec<u32>,
    /// Place in `present` of every group of the table; [`ABSENT`] between sorts.
    places: Vec<u32>,
}

impl Sorted {
    /// Sorts by counting: groups are numbered as they turn up, so that nothing but their rows is gone through.
    fn sort(&mut self, groups_of_rows: &[u32], groups: usize) {
        self.places.resize(groups, ABSENT);
        self.present.clear();
        self.ends.clear();
        for &group in groups_of_rows {
            let place = &mut self.places[group as usize];
            if *place == ABSENT {
                *place = self.present.len() as u32;
                self.present.push(group);
                self.ends.push(0);
            }
            self.ends[*place as usize] += 1;
        }
        // Counts become beginnings, which putting rows in moves on to ends.
        let mut begin = 0;
        for count in &mut self.ends {
            begin += std::mem::replace(count, begin);
        }
        self.rows.clear();
        self.rows.resize(groups_of_rows.len(), 0);
        for (row, &group) in groups_of_rows.iter().enumerate() {
            let next = &mut self.ends[self.places[group as usize] as usize];
            self.rows[*next as usize] = row as u32;
            *next += 1;
        }
        for &group in &self.present {
            self.places[group as usize] = ABSENT;
        }
    }
}
