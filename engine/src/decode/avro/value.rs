//! Reads values into columns, by a plan.

use std::collections::HashMap;
use std::fmt::Write;

use watershed_connectors::avro::{Blocks, Broken, Cursor, Kind, Logical, Node, NodeId, Schema};

use super::super::column::{Column, MapColumn};
use super::super::mismatch::Mismatch;
use super::super::typed::Typed;
use super::json;
use super::plan::{Fields, Plan, RowPlan};

/// Why a record is bad.
pub(super) type Fault = super::super::fault::Fault<Broken>;

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl RowPlan {
    /// Pushes one row, or says why the record is bad; then a part of the row may have been pushed.
    pub(super) fn push(
        &self,
        schema: &Schema,
        cursor: &mut Cursor<'_>,
        names: &[String],
        columns: &mut [Column],
    ) -> Result<(), String> {
        let name = |column: usize| names[column].as_str();
        match self {
            Self::Record(fields) => {
                fields.push(schema, cursor, columns).map_err(|(at, fault)| fault.in_field(name(at)).reason())
            }
            Self::Union(branches) => {
                let place = cursor.place(branches.len()).map_err(|broken| broken.to_string())?;
                branches[place].push(schema, cursor, names, columns)
            }
            Self::Refuse => Err("the value is no record: declare columns that are fields of one".to_owned()),
        }
    }
}

impl Fields {
    /// Pushes one value to each column; says at which one it could not.
    fn push(&self, schema: &Schema, cursor: &mut Cursor<'_>, columns: &mut [Column]) -> Result<(), (usize, Fault)> {
        for (id, to) in &self.written {
            match to {
                Some((column, plan)) => {
                    plan.push(schema, *id, cursor, &mut columns[*column]).map_err(|fault| (*column, fault))?;
                }
                None => cursor.skip(schema, *id).map_err(|broken| (0, broken.into()))?,
            }
        }
        self.missing.iter().for_each(|column| columns[*column].push_null());
        Ok(())
    }
}

impl Plan {
    fn push(&self, schema: &Schema, id: NodeId, cursor: &mut Cursor<'_>, column: &mut Column) -> Result<(), Fault> {
        match (self, &schema.node(id).kind, &mut *column) {
            (Self::Union(plans), Kind::Union(branches), column) => {
                let place = cursor.place(branches.len())?;
                plans[place].push(schema, branches[place], cursor, column)
            }
            (Self::Struct(fields), _, Column::Struct(to)) => {
                let pushed = fields.push(schema, cursor, &mut to.children);
                pushed.map_err(|(at, fault)| fault.in_field(to.names.get(at)))?;
                to.push();
                Ok(())
            }
            (Self::List(plan), Kind::Array(items), Column::List(to)) => {
                let (mut blocks, mut index) = (Blocks::default(), 0);
                while cursor.item(&mut blocks)? {
                    plan.push(schema, *items, cursor, &mut to.items).map_err(|fault| fault.in_item(index))?;
                    index += 1;
                }
                to.push();
                Ok(())
            }
            (Self::Map(plan), Kind::Map(values), Column::Map(to)) => push_map(plan, schema, *values, cursor, to),
            (Self::Json, _, Column::Json(to)) => {
                let mut text = String::new();
                json::write(schema, id, cursor, &mut text)?;
                to.push_owned(&text);
                Ok(())
            }
            (Self::Plain, _, column) => push_plain(schema, id, cursor, column),
            (_, _, column) => {
                Err(Mismatch::new(column.expectation(), &format!("a value of type {}", schema.type_name(id))).into())
            }
        }
    }
}

fn push_map(
    plan: &Plan,
    schema: &Schema,
    values: NodeId,
    cursor: &mut Cursor<'_>,
    to: &mut MapColumn,
) -> Result<(), Fault> {
    // A key that comes again keeps its place and gets the later value, as in JSON.
    let mut entries: Vec<(&str, Cursor<'_>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut blocks = Blocks::default();
    while cursor.item(&mut blocks)? {
        let key = cursor.string()?;
        let place = *places.entry(key).or_insert(entries.len());
        if place == entries.len() {
            entries.push((key, cursor.clone()));
        } else {
            entries[place].1 = cursor.clone();
        }
        cursor.skip(schema, values)?;
    }
    for (key, mut value) in entries {
        to.keys.push_typed(Typed::Text(key), "string")?;
        plan.push(schema, values, &mut value, &mut to.values).map_err(|fault| fault.in_field(key))?;
    }
    to.push();
    Ok(())
}

fn push_plain(schema: &Schema, id: NodeId, cursor: &mut Cursor<'_>, column: &mut Column) -> Result<(), Fault> {
    let node = schema.node(id);
    let mut scratch = String::new();
    // 16 bytes of UUID are bytes where bytes are declared, and text elsewhere.
    let raw = matches!(column, Column::Bytes(_));
    match plain(node, cursor, raw, &mut scratch)? {
        None => column.push_null(),
        Some(value) => column.push_typed(value, schema.type_name(id))?,
    }
    Ok(())
}

/// Reads a value without an inside; none for null.
pub(super) fn plain<'v, 'c: 'v>(
    node: &'v Node,
    cursor: &mut Cursor<'c>,
    raw: bool,
    scratch: &'v mut String,
) -> Result<Option<Typed<'v>>, Fault> {
    Ok(Some(match (&node.kind, node.logical) {
        (Kind::Boolean, _) => Typed::Boolean(cursor.boolean()?),
        (Kind::Int, Some(Logical::Date)) => Typed::Date(cursor.int()?),
        (Kind::Int, Some(Logical::TimeMillis)) => Typed::Time(i64::from(cursor.int()?) * 1000),
        (Kind::Int, _) => Typed::Integer(cursor.int()?.into()),
        (Kind::Long, logical) => {
            let value = cursor.long()?;
            match logical {
                Some(Logical::TimeMicros) => Typed::Time(value),
                // Beyond 64 bits of microseconds no time can be read anyway.
                Some(Logical::TimestampMillis) => Typed::Timestamp(value.saturating_mul(1000)),
                Some(Logical::TimestampMicros) => Typed::Timestamp(value),
                Some(Logical::TimestampNanos) => Typed::Timestamp(value.div_euclid(1000)),
                _ => Typed::Integer(value.into()),
            }
        }
        (Kind::Float, _) => Typed::Float(cursor.float()?),
        (Kind::Double, _) => Typed::Double(cursor.double()?),
        (Kind::String, _) => Typed::Text(cursor.string()?),
        (Kind::Enum { symbols, .. }, _) => Typed::Text(&symbols[cursor.place(symbols.len())?]),
        (Kind::Bytes, Some(Logical::Decimal { scale, .. })) => decimal(cursor.bytes()?, scale)?,
        (Kind::Fixed { size, .. }, Some(Logical::Decimal { scale, .. })) => decimal(cursor.take(*size)?, scale)?,
        (Kind::Fixed { size, .. }, Some(Logical::Uuid)) if !raw => {
            uuid(cursor.take(*size)?, scratch);
            Typed::Text(scratch)
        }
        (Kind::Bytes, _) => Typed::Bytes(cursor.bytes()?),
        (Kind::Fixed { size, .. }, _) => Typed::Bytes(cursor.take(*size)?),
        (Kind::Null | Kind::Record { .. } | Kind::Array(_) | Kind::Map(_) | Kind::Union(_), _) => return Ok(None),
    }))
}

/// A big-endian number in two's complement.
fn decimal<'a>(bytes: &[u8], scale: u32) -> Result<Typed<'a>, Mismatch> {
    let sign = bytes.first().map_or(0, |first| if first & 0x80 == 0 { 0u8 } else { 0xff });
    let spare = bytes.len().saturating_sub(16);
    let (extension, kept) = bytes.split_at(spare);
    let fits =
        extension.iter().all(|byte| *byte == sign) && kept.first().is_none_or(|b| spare == 0 || (b ^ sign) < 0x80);
    if !fits {
        return Err(Mismatch::new("a decimal of at most 38 digits", &format!("one of {} bytes", bytes.len())));
    }
    let value = kept.iter().fold(i128::from(sign as i8), |value, byte| value << 8 | i128::from(*byte));
    Ok(Typed::Decimal(value, scale))
}

fn uuid(bytes: &[u8], out: &mut String) {
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
    }
}
