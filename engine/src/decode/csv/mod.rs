//! CSV: one row a record, fields by the names in a header or by their place in the schema.
//!
//! The reader frames records and carries the header; here a row is split, matched with the declared columns, and each
//! field read as text. List, struct, map and json columns hold JSON text in their field.

mod header;
mod split;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use watershed_connectors::Records;

use crate::schema::SourceSchema;

use super::arena::{Arena, Source};
use super::batch::Rows;
use super::column::Column;
use super::json;
use super::mismatch::Mismatch;
use super::{CsvOptions, Decode, DecodeError, Decoded};
use header::Header;

pub(super) use header::names as header_names;
pub(super) use split::Splitter;

/// The decoder for CSV records.
pub(super) fn decoder(
    options: &CsvOptions,
    schema: &SourceSchema,
    projection: &[usize],
) -> Result<Box<dyn Decode>, DecodeError> {
    let splitter = Splitter::new(options).ok_or(DecodeError::CsvDialect)?;
    let rows = Rows::new(schema, projection)?;
    let names: Vec<String> = projection.iter().map(|&i| schema.fields[i].name.clone()).collect();
    let layout = if options.header {
        Layout::Unknown
    } else {
        let places = projection.iter().map(|&i| Some(i)).collect();
        Layout::Known { header: None, fields: schema.fields.len(), places }
    };
    let null = options.null.clone();
    Ok(Box::new(CsvDecoder { rows, names, splitter, null, layout, warned: HashSet::new(), warnings: Vec::new() }))
}

struct CsvDecoder {
    rows: Rows,
    /// Names of the projected columns.
    names: Vec<String>,
    splitter: Splitter,
    null: String,
    layout: Layout,
    /// Every warning so far, so that each is given once.
    warned: HashSet<String>,
    warnings: Vec<String>,
}

/// Where the projected columns stand in a row.
enum Layout {
    /// Fields go by a header, and none has come yet.
    Unknown,
    /// A row has `fields` fields; each projected column has its place among them, or none.
    Known { header: Option<Arc<[u8]>>, fields: usize, places: Vec<Option<usize>> },
}

impl CsvDecoder {
    /// Learns the header that these records stand under, if it is another than before.
    fn learn(&mut self, records: &Records) {
        let Some(bytes) = records.header() else {
            return;
        };
        match &self.layout {
            // Fields go by their places; a header says nothing then.
            Layout::Known { header: None, .. } => return,
            Layout::Known { header: Some(known), .. } if known == bytes => return,
            _ => {}
        }
        let header = Header::read(bytes, &mut self.splitter);
        for (name, found) in self.names.iter().map(|name| (name, header.count(name))) {
            let warning = match found {
                0 => format!("the csv header has no column `{name}`: it is null in every record"),
                1 => continue,
                _ => format!("the csv header has several columns `{name}`: the first one is read"),
            };
            if self.warned.insert(warning.clone()) {
                self.warnings.push(warning);
            }
        }
        let places = self.names.iter().map(|name| header.place(name)).collect();
        self.layout = Layout::Known { header: Some(Arc::clone(bytes)), fields: header.len(), places };
    }

    fn push_record(&mut self, arena: Source<'_>, span: Range<usize>) -> Result<(), String> {
        let Layout::Known { fields, places, .. } = &self.layout else {
            return Err("there is no csv header before this record: set `header = false` if there is none".to_owned());
        };
        let row = self.splitter.split(arena.text, span).map_err(str::to_owned)?;
        if row.len() != *fields {
            return Err(format!("expected {fields} fields, found {}", row.len()));
        }
        for ((column, place), name) in self.rows.columns.iter_mut().zip(places).zip(&self.names) {
            let Some(place) = place else {
                column.push_null();
                continue;
            };
            let (source, range) = row.field(*place, arena);
            if source.get(range.clone()) == self.null {
                column.push_null();
            } else {
                push_field(column, source, range).map_err(|m| m.in_field(name).reason())?;
            }
        }
        Ok(())
    }
}

impl Decode for CsvDecoder {
    fn schema(&self) -> &SchemaRef {
        self.rows.schema()
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        self.learn(records);
        let arena = Arena::of(records);
        self.rows.begin(records.len());
        for i in 0..records.len() {
            let outcome = match arena.flaw(i) {
                Some(flaw) => Err(flaw),
                None => self.push_record(Source::arena(arena.text()), records.span(i)),
            };
            self.rows.end_record(i, outcome);
        }
        self.rows.finish(arena.text())
    }

    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

/// Pushes a field by its text. What has an inside is JSON text.
pub(super) fn push_field(column: &mut Column, source: Source<'_>, range: Range<usize>) -> Result<(), Mismatch> {
    if !matches!(column, Column::Json(_) | Column::List(_) | Column::Struct(_) | Column::Map(_)) {
        return column.push_text(source, range);
    }
    let bytes = &source.text.as_bytes()[..range.end];
    let start = json::skip_space(bytes, range.start);
    match json::value_end(bytes, start, 0) {
        Ok(end) if json::skip_space(bytes, end) == range.end => column.push_json(source, start..end),
        _ => Err(Mismatch::new(format!("{} as JSON text", column.expectation()), source.get(range))),
    }
}
