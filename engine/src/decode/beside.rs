//! Columns that come beside the payload: put where the projection wants them, for every format alike.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema, SchemaRef};
use watershed_connectors::Records;

use super::{BadRecord, Decode, DecodeError, Decoded, Format, Registered, Unpacked, decoder};
use crate::schema::SourceSchema;

/// Decodes payloads by another decoder, and adds what the connector says of each record.
struct Beside {
    payload: Box<dyn Decode>,
    schema: SchemaRef,
    places: Vec<Place>,
}

/// Where a column of the batch comes from.
#[derive(Debug, Clone, Copy)]
enum Place {
    Payload(usize),
    Metadata(usize),
}

/// As [`decoder`], for a schema that may have metadata columns.
pub fn with_metadata(
    format: &Format,
    schema: &SourceSchema,
    projection: &[usize],
) -> Result<Box<dyn Decode>, DecodeError> {
    let is_metadata = |column: &usize| schema.fields.get(*column).is_some_and(|field| field.metadata);
    if !projection.iter().any(is_metadata) {
        return decoder(format, &payload_of(schema), projection);
    }
    let (mut places, mut wanted, mut described) = (Vec::new(), Vec::new(), 0);
    for column in projection {
        if is_metadata(column) {
            places.push(Place::Metadata(described));
            described += 1;
        } else {
            places.push(Place::Payload(wanted.len()));
            wanted.push(*column);
        }
    }
    let payload = decoder(format, &payload_of(schema), &wanted)?;
    let fields = projection.iter().filter_map(|&column| schema.fields.get(column));
    let fields: Vec<Field> = fields.map(|field| Field::new(&field.name, field.data_type.clone(), true)).collect();
    Ok(Box::new(Beside { payload, schema: Arc::new(Schema::new(fields)), places }))
}

/// The columns of the payload; those of metadata stand behind them, so that their places are the same.
fn payload_of(schema: &SourceSchema) -> SourceSchema {
    SourceSchema { fields: schema.fields.iter().filter(|field| !field.metadata).cloned().collect() }
}

impl Decode for Beside {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let Decoded { batch, mut bad } = self.payload.decode(records);
        let described = records.described();
        let rows = batch.num_rows();
        let good = good_rows(records.len(), &bad);
        let columns: Result<Vec<ArrayRef>, _> = self
            .places
            .iter()
            .map(|place| match *place {
                Place::Payload(column) => Ok(batch.column(column).clone()),
                Place::Metadata(column) => match described.get(column) {
                    Some(array) => take(array, &good, None),
                    None => Ok(arrow::array::new_null_array(self.schema.field(self.slot(column)).data_type(), rows)),
                },
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let whole =
            columns.and_then(|columns| RecordBatch::try_new_with_options(self.schema.clone(), columns, &options));
        match whole {
            Ok(batch) => Decoded { batch, bad },
            Err(error) => {
                let reason = format!("the connector's columns do not fit the records: {error}");
                let lost =
                    good.values().iter().map(|&index| BadRecord { index: index as usize, reason: reason.clone() });
                bad.extend(lost);
                bad.sort_by_key(|bad| bad.index);
                Decoded { batch: RecordBatch::new_empty(self.schema.clone()), bad }
            }
        }
    }

    fn learn(&mut self, registered: &Registered) {
        self.payload.learn(registered);
    }

    fn unpack(&mut self, records: &Records, wanted: &dyn Fn(usize) -> bool) -> Option<Unpacked> {
        let mut unpacked = self.payload.unpack(records, wanted)?;
        // Every row stands for a record that is there, so that taking what was said of it does not fail; were it to, decoding
        // finds that it is missing.
        let _ = unpacked.describe(&records.described());
        Some(unpacked)
    }

    fn take_warnings(&mut self) -> Vec<String> {
        self.payload.take_warnings()
    }
}

impl Beside {
    /// The column of the batch that holds metadata column `described`.
    fn slot(&self, described: usize) -> usize {
        self.places.iter().position(|place| matches!(place, Place::Metadata(at) if *at == described)).unwrap_or(0)
    }
}

/// The records that are not bad, in order.
fn good_rows(records: usize, bad: &[BadRecord]) -> UInt32Array {
    let mut bad = bad.iter().map(|bad| bad.index).peekable();
    (0..records).filter(|index| bad.next_if_eq(index).is_none()).map(|index| index as u32).collect()
}
