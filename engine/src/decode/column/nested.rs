//! Columns of lists, structs and maps: offsets and nulls of their own, the values in child columns.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, MapArray, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields};
use arrow::error::ArrowError;

use crate::schema::TimestampFormat;

use super::super::names::Names;
use super::{Column, NoColumn, Nulls};

/// Where each row's items end in the child column.
///
/// Offsets are 32-bit as Arrow's are: an item takes at least one byte of an arena that ends below 2^31.
struct Ends {
    offsets: Vec<i32>,
    nulls: Nulls,
}

impl Ends {
    fn new() -> Self {
        Self { offsets: vec![0], nulls: Nulls::new() }
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn push(&mut self, end: usize, valid: bool) {
        self.offsets.push(end as i32);
        self.nulls.push(valid);
    }

    /// Cuts back to `rows` and says how many items they have.
    fn truncate(&mut self, rows: usize) -> usize {
        self.offsets.truncate(rows + 1);
        self.nulls.truncate(rows);
        self.offsets.last().map_or(0, |end| *end as usize)
    }

    fn finish(&mut self) -> OffsetBuffer<i32> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        OffsetBuffer::new(ScalarBuffer::from(offsets))
    }
}

/// A column of lists.
pub(crate) struct ListColumn {
    field: FieldRef,
    ends: Ends,
    pub(crate) items: Column,
}

impl ListColumn {
    pub(super) fn new(field: &FieldRef, format: &TimestampFormat) -> Result<Self, NoColumn> {
        Ok(Self { field: Arc::clone(field), ends: Ends::new(), items: Column::nested(field, format)? })
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Ends a list: it holds the items pushed since the one before.
    pub(crate) fn push(&mut self) {
        self.ends.push(self.items.len(), true);
    }

    pub(super) fn push_null(&mut self) {
        self.ends.push(self.items.len(), false);
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        let items = self.ends.truncate(rows);
        self.items.truncate(items);
    }

    pub(super) fn finish(&mut self, arena: &str) -> Result<ArrayRef, ArrowError> {
        let items = self.items.finish(arena)?;
        let offsets = self.ends.finish();
        Ok(Arc::new(ListArray::try_new(Arc::clone(&self.field), offsets, items, self.ends.nulls.finish())?))
    }
}

/// A column of structs.
pub(crate) struct StructColumn {
    fields: Fields,
    rows: usize,
    nulls: Nulls,
    pub(crate) names: Names,
    pub(crate) children: Vec<Column>,
    /// Room for whoever reads an object: where each child's value stands.
    pub(crate) found: Vec<Option<Range<usize>>>,
}

impl StructColumn {
    pub(super) fn new(fields: &Fields, format: &TimestampFormat) -> Result<Self, NoColumn> {
        let children = fields.iter().map(|f| Column::nested(f, format)).collect::<Result<_, _>>()?;
        Ok(Self {
            fields: fields.clone(),
            rows: 0,
            nulls: Nulls::new(),
            names: Names::new(fields.iter().map(|f| f.name().as_str())),
            children,
            found: Vec::new(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// Ends a struct: each child has one value more than before.
    pub(crate) fn push(&mut self) {
        self.rows += 1;
        self.nulls.push(true);
    }

    pub(super) fn push_null(&mut self) {
        self.rows += 1;
        self.nulls.push(false);
        self.children.iter_mut().for_each(Column::push_null);
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.rows = rows;
        self.nulls.truncate(rows);
        self.children.iter_mut().for_each(|child| child.truncate(rows));
    }

    pub(super) fn finish(&mut self, arena: &str) -> Result<ArrayRef, ArrowError> {
        let children = self.children.iter_mut().map(|c| c.finish(arena)).collect::<Result<Vec<_>, _>>()?;
        let rows = std::mem::take(&mut self.rows);
        let nulls = self.nulls.finish();
        Ok(Arc::new(StructArray::try_new_with_length(self.fields.clone(), children, nulls, rows)?))
    }
}

/// A column of maps.
pub(crate) struct MapColumn {
    entries: FieldRef,
    fields: Fields,
    ends: Ends,
    pub(crate) keys: Column,
    pub(crate) values: Column,
}

impl MapColumn {
    pub(super) fn new(entries: &FieldRef, format: &TimestampFormat) -> Result<Self, NoColumn> {
        let no_map = || NoColumn::Type(DataType::Map(Arc::clone(entries), false));
        let DataType::Struct(fields) = entries.data_type() else {
            return Err(no_map());
        };
        let [key, value] = fields.as_ref() else {
            return Err(no_map());
        };
        let keys = Column::nested(key, format)?;
        let values = Column::nested(value, format)?;
        Ok(Self { entries: Arc::clone(entries), fields: fields.clone(), ends: Ends::new(), keys, values })
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Ends a map: it holds the entries pushed since the one before.
    pub(crate) fn push(&mut self) {
        self.ends.push(self.keys.len(), true);
    }

    pub(super) fn push_null(&mut self) {
        self.ends.push(self.keys.len(), false);
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        let entries = self.ends.truncate(rows);
        self.keys.truncate(entries);
        self.values.truncate(entries);
    }

    pub(super) fn finish(&mut self, arena: &str) -> Result<ArrayRef, ArrowError> {
        let keys = arrow::compute::cast(&self.keys.finish(arena)?, self.fields[0].data_type())?;
        let values = self.values.finish(arena)?;
        let rows = keys.len();
        let entries = StructArray::try_new_with_length(self.fields.clone(), vec![keys, values], None, rows)?;
        let offsets = self.ends.finish();
        let nulls = self.ends.nulls.finish();
        Ok(Arc::new(MapArray::try_new(Arc::clone(&self.entries), offsets, entries, nulls, false)?))
    }
}
