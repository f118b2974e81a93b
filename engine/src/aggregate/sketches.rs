//! Sketches of many groups, and of one: what the approximate aggregates do alike.
//!
//! The one idea: a sketch is kept in memory, is bytes where it is frozen, and takes the bytes of another. Which rows go into it,
//! and what is read off it in the end, is up to each [`Kind`].

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, LargeBinaryArray, LargeBinaryBuilder};
use arrow::buffer::NullBuffer;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// Bytes that no sketch was written as.
#[derive(Debug)]
pub(super) struct Malformed;

/// What is kept of the values of one group.
pub(super) trait Sketch: Debug + Default + Send + Sync + 'static {
    /// Bytes that it takes beside itself.
    fn heap(&self) -> usize;

    /// Appends its bytes.
    fn write(&mut self, to: &mut Vec<u8>);

    /// Takes what a sketch was written as. `heap` is kept at the bytes that all sketches take beside themselves.
    fn merge(&mut self, bytes: &[u8], heap: &mut usize) -> Result<(), Malformed>;
}

/// An aggregate that keeps sketches.
pub(super) trait Kind: Debug + Clone + Send + Sync + 'static {
    type Sketch: Sketch;

    /// Puts the rows of a batch into the sketches of their groups.
    fn update(
        &mut self,
        values: &ArrayRef,
        filter: Option<&BooleanArray>,
        group_indices: &[usize],
        groups: &mut Groups<Self::Sketch>,
    ) -> Result<()>;

    /// The result of each group.
    fn evaluate(&self, groups: &mut [Self::Sketch]) -> Result<ArrayRef>;

    /// Bytes of what it works with.
    fn size(&self) -> usize;
}

/// The sketches of groups.
#[derive(Debug)]
pub(super) struct Groups<S> {
    sketches: Vec<S>,
    /// Bytes that they take beside themselves.
    heap: usize,
}

impl<S: Sketch> Groups<S> {
    /// Has `add` put rows into the sketches of their groups: those whose value in `values` is not null, and whose filter is
    /// true.
    #[inline]
    pub(super) fn each(
        &mut self,
        values: &dyn Array,
        filter: Option<&BooleanArray>,
        group_indices: &[usize],
        add: impl Fn(&mut S, usize, &mut usize),
    ) {
        let mut add = |row: usize, group: usize| add(&mut self.sketches[group], row, &mut self.heap);
        match taken(values, filter) {
            None => group_indices.iter().enumerate().for_each(|(row, &group)| add(row, group)),
            Some(taken) => taken.valid_indices().for_each(|row| add(row, group_indices[row])),
        }
    }

    fn grow(&mut self, groups: usize) {
        if groups > self.sketches.len() {
            self.sketches.resize_with(groups, S::default);
        }
    }

    fn emit(&mut self, emit_to: EmitTo) -> Vec<S> {
        let sketches = emit_to.take_needed(&mut self.sketches);
        self.heap = self.heap.saturating_sub(sketches.iter().map(S::heap).sum());
        sketches
    }
}

/// One aggregate of many groups.
#[derive(Debug)]
pub(super) struct Sketches<K: Kind> {
    kind: K,
    groups: Groups<K::Sketch>,
}

impl<K: Kind> Sketches<K> {
    pub(super) fn new(kind: K) -> Self {
        Self { kind, groups: Groups { sketches: Vec::new(), heap: 0 } }
    }
}

impl<K: Kind> GroupsAccumulator for Sketches<K> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.grow(total_num_groups);
        self.kind.update(&values[0], opt_filter, group_indices, &mut self.groups)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.grow(total_num_groups);
        let Groups { sketches, heap } = &mut self.groups;
        for (bytes, &group) in states(values)?.iter().zip(group_indices) {
            sketches[group].merge(bytes.unwrap_or_default(), heap).map_err(|_| malformed())?;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.kind.evaluate(&mut self.groups.emit(emit_to))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sketches = self.groups.emit(emit_to);
        let (mut states, mut bytes) = (LargeBinaryBuilder::with_capacity(sketches.len(), 0), Vec::new());
        for mut sketch in sketches {
            bytes.clear();
            sketch.write(&mut bytes);
            states.append_value(&bytes);
        }
        Ok(vec![Arc::new(states.finish())])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut each = Self::new(self.kind.clone());
        let rows: Vec<usize> = (0..values[0].len()).collect();
        each.update_batch(values, &rows, opt_filter, rows.len())?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.groups.heap + self.groups.sketches.capacity() * size_of::<K::Sketch>() + self.kind.size()
    }
}

/// The same of one group.
#[derive(Debug)]
pub(super) struct Single<K: Kind>(Sketches<K>);

impl<K: Kind> Single<K> {
    pub(super) fn new(kind: K) -> Self {
        let mut sketches = Sketches::new(kind);
        sketches.groups.grow(1);
        Self(sketches)
    }
}

impl<K: Kind> Accumulator for Single<K> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values, &vec![0; values[0].len()], None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states, &vec![0; states[0].len()], 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.0.kind.evaluate(&mut self.0.groups.sketches)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut bytes = Vec::new();
        self.0.groups.sketches[0].write(&mut bytes);
        Ok(vec![ScalarValue::LargeBinary(Some(bytes))])
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.size()
    }
}

/// The rows that are taken, where not all are: those whose value is not null, and whose filter is true.
fn taken(values: &dyn Array, filter: Option<&BooleanArray>) -> Option<NullBuffer> {
    let filter = filter.map(|filter| match filter.nulls() {
        Some(known) => NullBuffer::new(filter.values() & known.inner()),
        None => NullBuffer::new(filter.values().clone()),
    });
    NullBuffer::union(values.logical_nulls().as_ref(), filter.as_ref())
}

/// The column of sketches that is to be merged.
fn states(columns: &[ArrayRef]) -> Result<&LargeBinaryArray> {
    let states = columns.first().and_then(|column| column.as_any().downcast_ref());
    states.ok_or_else(malformed)
}

/// The error for state that is none of ours.
fn malformed() -> DataFusionError {
    DataFusionError::Execution("the state of an approximate aggregate is damaged, or of another version".into())
}
