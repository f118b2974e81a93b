//! Arrow IPC: each record is a stream of its own, schema and batches, whose rows become records.
//!
//! Rows are fitted to the declared columns as they are unpacked: streams of different schemas can then lie side by side.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use watershed_connectors::{Records, ipc, memory};

use super::columnar::ColumnarDecoder;
use super::{Decode, DecodeError, Decoded, Unpacked};
use crate::schema::SourceSchema;

/// What the rows of one record may take: dictionaries and views let a few bytes stand for many.
const MAX_UNPACKED: usize = 256 << 20;

/// A decoder of Arrow IPC.
pub(super) fn decoder(schema: &SourceSchema, projection: &[usize]) -> Result<Box<dyn Decode>, DecodeError> {
    Ok(Box::new(ArrowDecoder { columns: ColumnarDecoder::new(schema, projection)? }))
}

struct ArrowDecoder {
    columns: ColumnarDecoder,
}

impl Decode for ArrowDecoder {
    fn schema(&self) -> &SchemaRef {
        self.columns.schema()
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        self.columns.decode(records)
    }

    fn unpack(&mut self, records: &Records, wanted: &dyn Fn(usize) -> bool) -> Option<Unpacked> {
        if records.columns().is_some() {
            return None;
        }
        let (mut rejected, mut batches, mut origin) = (Records::default(), Vec::new(), Vec::new());
        for old in records.rejected() {
            rejected.reject(&old.bytes, old.position, old.reason.clone());
        }
        rejected.skip(records.skipped());
        for i in 0..records.len() {
            if !wanted(i) {
                rejected.skip(1);
                continue;
            }
            let (payload, position) = (records.payload(i), records.position(i));
            match ipc::batches(payload).and_then(|batches| self.fitted(batches, position)) {
                Ok(rows) => {
                    for batch in rows.fitting {
                        origin.extend(std::iter::repeat_n(i as u32, batch.num_rows()));
                        batches.push((batch, position));
                    }
                    rows.bad.iter().for_each(|(shown, reason)| rejected.reject(shown, position, reason.as_str()));
                }
                Err(reason) => rejected.reject(payload, position, reason),
            }
        }
        let mut records = rejected;
        if let Err(error) = records.push_all_columns(&batches) {
            // Every batch is of the declared columns, so that nothing is there to go wrong.
            records.reject(&[], 0, format!("the rows can't be put together: {error}"));
            origin.clear();
        }
        Some(Unpacked { records, origin })
    }
}

/// The rows of one record: those that fit, and the others with the reason.
struct Rows {
    fitting: Vec<RecordBatch>,
    bad: Vec<(Vec<u8>, String)>,
}

impl ArrowDecoder {
    fn fitted(&mut self, batches: Vec<RecordBatch>, position: u64) -> Result<Rows, String> {
        let mut rows = Rows { fitting: Vec::new(), bad: Vec::new() };
        let mut bytes = 0usize;
        for batch in batches {
            let mut records = Records::default();
            records.push_columns(batch, position).map_err(|error| error.to_string())?;
            let decoded = self.columns.decode(&records);
            bytes = bytes.saturating_add(memory(&decoded.batch));
            if bytes > MAX_UNPACKED {
                return Err(format!("its rows take more than {MAX_UNPACKED} bytes; write smaller streams"));
            }
            rows.bad.extend(decoded.bad.into_iter().map(|bad| (records.shown(bad.index).into_owned(), bad.reason)));
            rows.fitting.push(decoded.batch);
        }
        Ok(rows)
    }
}
