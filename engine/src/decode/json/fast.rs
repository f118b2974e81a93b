//! The fast path: one pass over each record, driven by the schema and by what the records before looked like.
//!
//! The one idea: be quick only where the answer is certain. A record that differs in any way — a key twice, a value
//! that does not fit, a slip in the syntax — is cut off again and read by the exact path, so both give the same rows and
//! the same reasons by construction. Values that nobody asked for are checked by the lexer and skipped.

use std::ops::Range;

use arrow::datatypes::SchemaRef;
use watershed_connectors::Records;

use crate::schema::SourceSchema;

use super::super::arena::{Arena, Source};
use super::super::batch::Rows;
use super::super::names::Names;
use super::super::{Decode, DecodeError, Decoded};
use super::exact::Exact;
use super::lex::{key_end, skip_space, value_end};
use super::plan::Plan;

/// A decoder that goes the fast path where it can.
pub(super) struct FastDecoder {
    rows: Rows,
    scanner: Scanner,
    exact: Exact,
}

impl FastDecoder {
    pub(super) fn new(schema: &SourceSchema, projection: &[usize]) -> Result<Self, DecodeError> {
        let rows = Rows::new(schema, projection)?;
        let names = || projection.iter().map(|&i| schema.fields[i].name.as_str());
        Ok(Self {
            rows,
            scanner: Scanner { names: Names::new(names()), plan: Plan::default() },
            exact: Exact::new(names()),
        })
    }
}

impl Decode for FastDecoder {
    fn schema(&self) -> &SchemaRef {
        self.rows.schema()
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let arena = Arena::of(records);
        let source = Source::arena(arena.text());
        self.rows.begin(records.len());
        for i in 0..records.len() {
            if let Some(flaw) = arena.flaw(i) {
                self.rows.end_record(i, Err(flaw));
                continue;
            }
            let span = records.span(i);
            let outcome = match self.scanner.scan(&mut self.rows, source, span.clone()) {
                Some(()) => Ok(()),
                None => {
                    self.rows.cut();
                    self.exact.push_record(&mut self.rows.columns, source, span)
                }
            };
            self.rows.end_record(i, outcome);
        }
        self.rows.finish(arena.text())
    }
}

struct Scanner {
    names: Names,
    plan: Plan,
}

impl Scanner {
    /// Pushes one row; `None` if the record is not plain, and then a part of it may have been pushed.
    fn scan(&mut self, rows: &mut Rows, source: Source<'_>, span: Range<usize>) -> Option<()> {
        let text = source.text.as_bytes();
        let bytes = &text[..span.end];
        let mut at = span.start;
        let mut filled = 0;
        self.plan.begin();
        loop {
            let opens = at == span.start;
            let (column, value) = match self.plan.follow(text, span.end, at, opens) {
                Some(step) => step,
                None => match self.take_apart(bytes, at, opens)? {
                    Some(step) => step,
                    None => break,
                },
            };
            at = match column {
                Some(place) => {
                    let column = &mut rows.columns[place];
                    if column.len() > rows.len {
                        return None;
                    }
                    filled += 1;
                    column.scan(source, bytes, value)?
                }
                None => value_end(bytes, value, 1).ok()?,
            };
            if bytes[at..] == *b"}" {
                break;
            }
        }
        if filled < rows.columns.len() {
            let missing = rows.columns.iter_mut().filter(|c| c.len() == rows.len);
            missing.for_each(|c| c.push_null());
        }
        Some(())
    }

    /// Finds the next value behind a gap that is not in the plan. `Some(None)` at the end of the record.
    fn take_apart(&mut self, bytes: &[u8], at: usize, opens: bool) -> Option<Option<(Option<usize>, usize)>> {
        let mark = skip_space(bytes, at);
        let inside = match bytes.get(mark)? {
            b'{' if opens => {
                let inside = skip_space(bytes, mark + 1);
                if bytes.get(inside) == Some(&b'}') {
                    return ends(bytes, inside);
                }
                inside
            }
            b',' if !opens => skip_space(bytes, mark + 1),
            b'}' if !opens => return ends(bytes, mark),
            _ => return None,
        };
        let (key, value) = key_end(bytes, inside).ok()?;
        let key = std::str::from_utf8(&bytes[key]).ok().filter(|key| !key.contains('\\'))?;
        let column = self.names.find(key, 0);
        self.plan.learn(&bytes[at..value], opens, column);
        Some(Some((column, value)))
    }
}

/// True to the record if nothing but space follows the bracket at `close`.
fn ends(bytes: &[u8], close: usize) -> Option<Option<(Option<usize>, usize)>> {
    (skip_space(bytes, close + 1) == bytes.len()).then_some(None)
}
