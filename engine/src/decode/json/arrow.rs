//! arrow-json behind the same seam, for the schemas that it reads as the exact path does.
//!
//! arrow-json is lenient: it takes numbers written as strings, cuts 3.5 to 3, and does not mind a missing comma. So it
//! gets only columns of strings and booleans (in lists and structs too), and only records that the lexer has passed.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;
use arrow::record_batch::RecordBatch;
use watershed_connectors::Records;

use crate::schema::{SourceSchema, is_json};

use super::super::arena::Arena;
use super::super::{Decode, DecodeError, Decoded};
use super::exact::ExactDecoder;
use super::lex::{skip_space, value_end};

/// Records that a decoder makes room for at first.
const CAPACITY: usize = 8192;

/// A decoder that lets arrow-json do the work.
pub(super) struct ArrowDecoder {
    exact: ExactDecoder,
    /// None after a surprise: what arrow-json has read by then can't be taken out again.
    decoder: Option<Decoder>,
    capacity: usize,
}

impl ArrowDecoder {
    pub(super) fn new(schema: &SourceSchema, projection: &[usize]) -> Result<Option<Self>, DecodeError> {
        let exact = ExactDecoder::new(schema, projection)?;
        let agrees = |i: &usize| !schema.fields[*i].json && agrees(&schema.fields[*i].data_type);
        if projection.is_empty() || !projection.iter().all(agrees) {
            return Ok(None);
        }
        Ok(Some(Self { exact, decoder: None, capacity: CAPACITY }))
    }

    /// The batch, or nothing if the exact path has to look at these records.
    fn read(&mut self, records: &Records) -> Option<RecordBatch> {
        let mut decoder = self.fresh(records.len()).ok()?;
        for i in 0..records.len() {
            let payload = records.payload(i);
            let start = skip_space(payload, 0);
            let whole = payload.get(start) == Some(&b'{')
                && value_end(payload, start, 0).is_ok_and(|end| skip_space(payload, end) == payload.len());
            if !whole || decoder.decode(payload).ok()? != payload.len() {
                return None;
            }
            // Half a record must never be completed by the next one, nor one payload give two rows.
            if decoder.has_partial_record() || decoder.len() != i + 1 {
                return None;
            }
        }
        let batch = decoder.flush().ok()??;
        self.decoder = Some(decoder);
        (batch.num_rows() == records.len()).then_some(batch)
    }

    fn fresh(&mut self, records: usize) -> Result<Decoder, ArrowError> {
        match self.decoder.take() {
            Some(decoder) if records <= self.capacity => Ok(decoder),
            _ => {
                self.capacity = self.capacity.max(records);
                let schema = Arc::clone(self.exact.schema());
                ReaderBuilder::new(schema).with_batch_size(self.capacity).build_decoder()
            }
        }
    }
}

impl Decode for ArrowDecoder {
    fn schema(&self) -> &SchemaRef {
        self.exact.schema()
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let readable = !Arena::of(records).is_broken();
        match readable.then(|| self.read(records)).flatten() {
            Some(batch) => Decoded { batch, bad: Vec::new() },
            None => self.exact.decode(records),
        }
    }
}

/// True if arrow-json and the exact path read this type alike.
fn agrees(data_type: &DataType) -> bool {
    let field_agrees = |field: &FieldRef| !is_json(field) && agrees(field.data_type());
    match data_type {
        DataType::Boolean | DataType::Utf8View => true,
        DataType::List(item) => field_agrees(item),
        DataType::Struct(fields) => fields.iter().all(field_agrees),
        _ => false,
    }
}
