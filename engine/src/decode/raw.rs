//! The record itself: its payload as it came, as bytes or as text.

use arrow::datatypes::SchemaRef;
use watershed_connectors::Records;

use super::arena::{Arena, Source};
use super::batch::Rows;
use super::column::Column;
use super::{Decode, DecodeError, Decoded};
use crate::schema::SourceSchema;

/// A decoder into the one declared column.
pub(super) fn decoder(schema: &SourceSchema, projection: &[usize]) -> Result<Box<dyn Decode>, DecodeError> {
    let [field] = schema.fields.as_slice() else { return Err(DecodeError::RawColumns) };
    let rows = Rows::new(schema, projection)?;
    match Column::of(field)? {
        Column::Bytes(_) => Ok(Box::new(RawDecoder { rows, text: false })),
        Column::String(_) => Ok(Box::new(RawDecoder { rows, text: true })),
        _ => Err(DecodeError::RawColumns),
    }
}

struct RawDecoder {
    rows: Rows,
    /// True if the declared column, wanted or not, is a string: then a record that is not text is bad.
    text: bool,
}

impl Decode for RawDecoder {
    fn schema(&self) -> &SchemaRef {
        self.rows.schema()
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        if !self.text {
            for i in 0..records.len() {
                self.push_bytes(records.payload(i));
                self.rows.end_record(i, Ok(()));
            }
            return self.rows.finish("");
        }
        let arena = Arena::of(records);
        for i in 0..records.len() {
            let outcome = match arena.flaw(i) {
                Some(flaw) => Err(flaw),
                None => {
                    self.push_text(Source::arena(arena.text()), records.span(i));
                    Ok(())
                }
            };
            self.rows.end_record(i, outcome);
        }
        self.rows.finish(arena.text())
    }
}

impl RawDecoder {
    fn push_bytes(&mut self, payload: &[u8]) {
        if let Some(Column::Bytes(column)) = self.rows.columns.first_mut() {
            column.push_with(|out| {
                out.extend_from_slice(payload);
                true
            });
        }
    }

    fn push_text(&mut self, source: Source<'_>, span: std::ops::Range<usize>) {
        if let Some(Column::String(column)) = self.rows.columns.first_mut() {
            column.push(source, span);
        }
    }
}
