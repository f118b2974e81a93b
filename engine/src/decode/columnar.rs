//! Records that are columns already: fitted to the declared types, column by column.
//!
//! The one idea: a column is fitted as a whole, and only where that fails is it halved again and again, until the rows
//! stand alone whose values do not fit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{concat, filter_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use watershed_connectors::Records;

use crate::schema::{SourceField, SourceSchema};

use super::batch::Rows;
use super::column::Column;
use super::fit::fit;
use super::mismatch::Mismatch;
use super::{BadRecord, Decode, DecodeError, Decoded};

/// A decoder of columns. A declared column that is not there is null, as in JSON.
pub(super) fn decoder(schema: &SourceSchema, projection: &[usize]) -> Result<Box<dyn Decode>, DecodeError> {
    Ok(Box::new(ColumnarDecoder::new(schema, projection)?))
}

pub(super) struct ColumnarDecoder {
    schema: SchemaRef,
    fields: Vec<SourceField>,
}

/// Why rows are bad; of several reasons in a row, that of the first column.
type Bad = BTreeMap<usize, String>;

impl Decode for ColumnarDecoder {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let outcome = match records.columns() {
            Some(batch) => self.fitted(batch),
            None => Err(ArrowError::InvalidArgumentError("the record holds no columns".to_owned())),
        };
        outcome.unwrap_or_else(|error| {
            let bad = |index| BadRecord { index, reason: error.to_string() };
            Decoded { batch: RecordBatch::new_empty(self.schema.clone()), bad: (0..records.len()).map(bad).collect() }
        })
    }
}

impl ColumnarDecoder {
    pub(super) fn new(schema: &SourceSchema, projection: &[usize]) -> Result<Self, DecodeError> {
        let rows = Rows::new(schema, projection)?;
        let fields = projection.iter().map(|&column| schema.fields[column].clone()).collect();
        Ok(Self { schema: rows.schema().clone(), fields })
    }

    fn fitted(&self, batch: &RecordBatch) -> Result<Decoded, ArrowError> {
        let rows = batch.num_rows();
        let mut bad = Bad::new();
        let columns = self.fields.iter().map(|field| match batch.column_by_name(&field.name) {
            Some(column) => fitted_column(column, field, &mut bad),
            None => Ok(new_null_array(&field.data_type, rows)),
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let mut batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        if !bad.is_empty() {
            let keep: BooleanArray = (0..rows).map(|row| Some(!bad.contains_key(&row))).collect();
            batch = filter_record_batch(&batch, &keep)?;
        }
        Ok(Decoded { batch, bad: bad.into_iter().map(|(index, reason)| BadRecord { index, reason }).collect() })
    }
}

fn fitted_column(column: &ArrayRef, field: &SourceField, bad: &mut Bad) -> Result<ArrayRef, ArrowError> {
    if let Some(fitted) = fit(column, field)? {
        return Ok(fitted);
    }
    let mut pieces = Vec::new();
    // Ranges that are still to be fitted, the first one last.
    let mut left = halves(0, column.len());
    while let Some((start, len)) = left.pop() {
        let piece = column.slice(start, len);
        match fit(&piece, field)? {
            Some(fitted) => pieces.push(fitted),
            None if len > 1 => left.extend(halves(start, len)),
            None => {
                bad.entry(start).or_insert_with(|| reason(&piece, field));
                pieces.push(new_null_array(&field.data_type, 1));
            }
        }
    }
    let pieces: Vec<&dyn Array> = pieces.iter().map(|piece| piece.as_ref()).collect();
    concat(&pieces)
}

/// A range in two, the second first; a single row as it is.
fn halves(start: usize, len: usize) -> Vec<(usize, usize)> {
    let half = len / 2;
    [(start + half, len - half), (start, half)].into_iter().filter(|(_, len)| *len > 0).collect()
}

/// Why the one value in `value` does not fit.
fn reason(value: &ArrayRef, field: &SourceField) -> String {
    let found = array_value_to_string(value, 0).unwrap_or_default();
    let expected = match Column::of(field) {
        Ok(column) => column.expectation(),
        Err(_) => field.type_name(),
    };
    let found = format!("{found} ({})", value.data_type());
    Mismatch::new(expected, &found).in_field(&field.name).reason()
}
