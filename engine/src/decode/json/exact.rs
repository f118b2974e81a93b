//! The exact path: what a JSON record means, one record at a time.
//!
//! Two steps: the lexer checks the record from end to end and notes where each projected field's last value stands;
//! then each column reads its value. Everything else in this folder has to give the same rows and the same verdicts.

use std::ops::Range;

use arrow::datatypes::SchemaRef;
use watershed_connectors::Records;

use crate::schema::SourceSchema;

use super::super::arena::{Arena, Source};
use super::super::batch::Rows;
use super::super::column::Column;
use super::super::mismatch::shorten;
use super::super::names::Names;
use super::super::{Decode, DecodeError, Decoded};
use super::lex::{Flaw, Walk, skip_space, value_end};
use super::value::key_text;

/// Reads single records into columns.
pub(super) struct Exact {
    names: Names,
    found: Vec<Option<Range<usize>>>,
}

impl Exact {
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = Names::new(names);
        let found = vec![None; names.len()];
        Self { names, found }
    }

    /// Pushes one row, or says why the record is bad; then a part of the row may have been pushed.
    pub(super) fn push_record(
        &mut self,
        columns: &mut [Column],
        source: Source<'_>,
        span: Range<usize>,
    ) -> Result<(), String> {
        self.locate(source, span)?;
        for (i, column) in columns.iter_mut().enumerate() {
            match self.found[i].take() {
                Some(value) => {
                    column.push_json(source, value).map_err(|m| m.in_field(self.names.get(i)).reason())?;
                }
                None => column.push_null(),
            }
        }
        Ok(())
    }

    /// Checks that the record is one JSON object, and finds the fields.
    fn locate(&mut self, source: Source<'_>, span: Range<usize>) -> Result<(), String> {
        let bytes = &source.text.as_bytes()[..span.end];
        let at_byte = |flaw: Flaw| format!("not valid JSON at byte {}: {}", flaw.at - span.start, flaw.what);
        self.found.fill(None);
        let start = skip_space(bytes, span.start);
        match bytes.get(start) {
            None => return Err("empty record".to_owned()),
            Some(b'{') => {}
            Some(_) => {
                let end = value_end(bytes, start, 0).map_err(at_byte)?;
                return Err(format!("expected a JSON object, found {}", shorten(source.get(start..end))));
            }
        }
        let mut walk = Walk::new(bytes, start, 0);
        let mut guess = 0;
        while let Some(member) = walk.member().map_err(at_byte)? {
            let key = key_text(source, member.key).map_err(|m| m.reason())?;
            if let Some(place) = self.names.find(&key, guess) {
                self.found[place] = Some(member.value);
                guess = place + 1;
            }
        }
        let end = skip_space(bytes, walk.end());
        if end < span.end {
            return Err(format!("text behind the JSON object at byte {}", end - span.start));
        }
        Ok(())
    }
}

/// A decoder that goes the exact path alone.
pub(super) struct ExactDecoder {
    rows: Rows,
    exact: Exact,
}

impl ExactDecoder {
    pub(super) fn new(schema: &SourceSchema, projection: &[usize]) -> Result<Self, DecodeError> {
        let rows = Rows::new(schema, projection)?;
        let exact = Exact::new(projection.iter().map(|&i| schema.fields[i].name.as_str()));
        Ok(Self { rows, exact })
    }
}

impl Decode for ExactDecoder {
    fn schema(&self) -> &SchemaRef {
        self.rows.schema()
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let arena = Arena::of(records);
        self.rows.begin(records.len());
        for i in 0..records.len() {
            let outcome = match arena.flaw(i) {
                Some(flaw) => Err(flaw),
                None => self.exact.push_record(&mut self.rows.columns, Source::arena(arena.text()), records.span(i)),
            };
            self.rows.end_record(i, outcome);
        }
        self.rows.finish(arena.text())
    }
}
