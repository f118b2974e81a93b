//! Reads messages into columns, by a plan.

use std::borrow::Cow;
use std::collections::HashMap;

use super::super::column::{Column, MapColumn};
use super::super::mismatch::Mismatch;
use super::super::typed::Typed;
use super::json;
use super::plan::{Field, Fields, Plan, Shape};
use super::scalar::Scalar;
use super::wire::{Broken, Value, Wire};

/// Why a record is bad.
pub(super) type Fault = super::super::fault::Fault<Broken>;

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// What a message holds of one field.
#[derive(Debug, Clone, Default)]
enum Found<'a> {
    #[default]
    Nothing,
    One(Value<'a>),
    /// A message that came in several pieces: one behind the other they are the whole.
    Pieces(Vec<u8>),
    Many(Vec<Value<'a>>),
}

/// A value, or the pieces of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole<'a>(pub(super) Value<'a>);

impl<'a> Whole<'a> {
    /// The fields of a message.
    pub(super) fn message(self) -> Option<&'a [u8]> {
        match self.0 {
            Value::Bytes(bytes) | Value::Group(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Adds a piece of a message to those that came before it.
pub(super) fn join(before: Cow<'_, [u8]>, piece: &[u8]) -> Vec<u8> {
    let mut whole = before.into_owned();
    whole.extend_from_slice(piece);
    whole
}

impl<'a> Found<'a> {
    fn add(&mut self, field: &Field, value: Value<'a>) {
        match &field.shape {
            Shape::Many(_) | Shape::Map { .. } | Shape::ManyJson(_) => match self {
                Self::Many(values) => values.push(value),
                none => *none = Self::Many(vec![value]),
            },
            Shape::One { plan: Plan::Plain(scalar), .. } => {
                // A value of another shape is an unknown field.
                if !matches!(scalar.read(value), Ok(None)) {
                    *self = Self::One(value);
                }
            }
            Shape::One { .. } => {
                let Some(piece) = Whole(value).message() else { return };
                match self {
                    Self::One(Value::Bytes(before) | Value::Group(before)) => {
                        *self = Self::Pieces(join(Cow::Borrowed(before), piece));
                    }
                    Self::Pieces(pieces) => pieces.extend_from_slice(piece),
                    _ => *self = Self::One(value),
                }
            }
        }
    }
}

impl Fields {
    /// Pushes one value to each column; says at which one it could not.
    pub(super) fn push(&self, message: &[u8], columns: &mut [Column]) -> Result<(), (usize, Fault)> {
        let mut found = vec![Found::Nothing; self.fields.len()];
        let mut wire = Wire::new(message);
        while let Some((number, value)) = wire.field().map_err(|broken| (0, broken.into()))? {
            let Some(place) = self.place(number) else { continue };
            let field = &self.fields[place];
            if let Some(oneof) = &field.oneof {
                // Of a oneof, the last member counts.
                let others = self
                    .fields
                    .iter()
                    .enumerate()
                    .filter(|(at, other)| *at != place && other.oneof.as_ref() == Some(oneof));
                others.for_each(|(at, _)| found[at] = Found::Nothing);
            }
            found[place].add(field, value);
        }
        for (field, found) in self.fields.iter().zip(found) {
            let Some(column) = field.column else { continue };
            field.push(found, &mut columns[column]).map_err(|fault| (column, fault))?;
        }
        self.missing.iter().for_each(|column| columns[*column].push_null());
        Ok(())
    }
}

impl Field {
    fn push(&self, found: Found<'_>, column: &mut Column) -> Result<(), Fault> {
        match (&self.shape, found) {
            (Shape::One { plan, .. }, Found::One(value)) => plan.push(Whole(value), column),
            (Shape::One { plan, .. }, Found::Pieces(pieces)) => plan.push(Whole(Value::Bytes(&pieces)), column),
            (Shape::One { plan: Plan::Plain(scalar), presence: false }, _) => push_default(scalar, column),
            (Shape::One { .. }, _) => {
                column.push_null();
                Ok(())
            }
            (Shape::ManyJson(field), found) => {
                let mut text = String::new();
                json::many(field, found.many(), &mut text)?;
                match column {
                    Column::Json(to) => to.push_owned(&text),
                    other => other.push_null(),
                }
                Ok(())
            }
            (Shape::Many(plan), found) => push_list(plan, found.many(), column),
            (Shape::Map { key, value, value_is_message }, found) => match column {
                Column::Map(to) => push_map(key, value, *value_is_message, found.many(), to),
                _ => Err(Mismatch::new(column.expectation(), "a map").into()),
            },
        }
    }
}

/// Pushes what stands for a field that was not sent. Empty text is no date, number or JSON: there it is null.
fn push_default(scalar: &Scalar, column: &mut Column) -> Result<(), Fault> {
    match (scalar.default(), &mut *column) {
        (Typed::Text("") | Typed::Bytes(b""), Column::String(_) | Column::Bytes(_)) => {}
        (Typed::Text("") | Typed::Bytes(b""), other) => {
            other.push_null();
            return Ok(());
        }
        _ => {}
    }
    Ok(column.push_typed(scalar.default(), scalar.name())?)
}

impl<'f> Found<'f> {
    fn many(&self) -> &[Value<'f>] {
        match self {
            Self::Many(values) => values,
            _ => &[],
        }
    }
}

impl Plan {
    /// Pushes one value.
    fn push(&self, value: Whole<'_>, column: &mut Column) -> Result<(), Fault> {
        let message = value.message().unwrap_or_default();
        match (self, &mut *column) {
            (Self::Plain(scalar), column) => match scalar.read(value.0)? {
                Some(value) => column.push_typed(value, scalar.name())?,
                None => column.push_null(),
            },
            (Self::Struct(fields), Column::Struct(to)) => {
                let pushed = fields.push(message, &mut to.children);
                pushed.map_err(|(at, fault)| fault.in_field(to.names.get(at)))?;
                to.push();
            }
            (Self::Json(descriptor), Column::Json(to)) => {
                let mut text = String::new();
                json::message(descriptor, message, &mut text)?;
                to.push_owned(&text);
            }
            (Self::Timestamp, column) => {
                let (seconds, nanos) = seconds_and_nanos(message)?;
                let micros = seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanos).div_euclid(1000));
                column.push_typed(Typed::Timestamp(micros), "google.protobuf.Timestamp")?;
            }
            (Self::Duration, column @ Column::String(_)) => {
                let (seconds, nanos) = seconds_and_nanos(message)?;
                column.push_typed(Typed::Text(&json::duration(seconds, nanos)), "google.protobuf.Duration")?;
            }
            (Self::Duration, column) => {
                let (seconds, nanos) = seconds_and_nanos(message)?;
                let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
                column.push_typed(Typed::Decimal(nanos, 9), "google.protobuf.Duration")?;
            }
            (Self::Wrapper(scalar), column) => {
                let value = wrapped_value(scalar, message)?;
                column.push_typed(value, scalar.name())?;
            }
            (Self::Refuse(found), column) => return Err(Mismatch::new(column.expectation(), found).into()),
            (_, column) => return Err(Mismatch::new(column.expectation(), "a message").into()),
        }
        Ok(())
    }
}

/// The value in a wrapper.
pub(super) fn wrapped_value<'v>(scalar: &'v Scalar, message: &'v [u8]) -> Result<Typed<'v>, Broken> {
    let mut found = scalar.default();
    let mut wire = Wire::new(message);
    while let Some((number, value)) = wire.field()? {
        if number == 1 {
            found = scalar.read(value)?.unwrap_or(found);
        }
    }
    Ok(found)
}

/// The fields of a timestamp or duration.
pub(super) fn seconds_and_nanos(message: &[u8]) -> Result<(i64, i32), Broken> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut wire = Wire::new(message);
    while let Some((number, value)) = wire.field()? {
        match (number, value) {
            (1, Value::Varint(bits)) => seconds = bits as i64,
            (2, Value::Varint(bits)) => nanos = bits as i32,
            _ => {}
        }
    }
    Ok((seconds, nanos))
}

fn push_list(plan: &Plan, values: &[Value<'_>], column: &mut Column) -> Result<(), Fault> {
    let to = match column {
        Column::List(to) => to,
        other => {
            let found = match plan {
                Plan::Refuse(found) => found,
                _ => "a repeated field",
            };
            // Nothing was sent: the field is as good as absent.
            if values.is_empty() {
                other.push_null();
                return Ok(());
            }
            return Err(Mismatch::new(other.expectation(), found).into());
        }
    };
    let mut index = 0;
    for value in values {
        match (plan, value) {
            (Plan::Plain(scalar), Value::Bytes(packed)) if scalar.packs() => {
                let mut packed = Wire::new(packed);
                while !packed.is_at_end() {
                    let value = scalar.unpack(&mut packed)?;
                    plan.push(Whole(value), &mut to.items).map_err(|fault| fault.in_item(index))?;
                    index += 1;
                }
            }
            _ => {
                plan.push(Whole(*value), &mut to.items).map_err(|fault| fault.in_item(index))?;
                index += 1;
            }
        }
    }
    to.push();
    Ok(())
}

fn push_map(
    key: &Scalar,
    value: &Plan,
    value_is_message: bool,
    entries: &[Value<'_>],
    to: &mut MapColumn,
) -> Result<(), Fault> {
    // A key that comes again keeps its place and gets the later value.
    let mut kept: Vec<(String, Option<Value<'_>>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for entry in entries.iter().filter_map(|entry| Whole(*entry).message()) {
        let (found, held) = map_entry(key, entry)?;
        match places.get(&found) {
            Some(place) => kept[*place].1 = held,
            None => {
                places.insert(found.clone(), kept.len());
                kept.push((found, held));
            }
        }
    }
    for (text, held) in kept {
        to.keys.push_typed(Typed::Text(&text), key.name())?;
        let pushed = match (held, value) {
            (Some(held), plan) => plan.push(Whole(held), &mut to.values),
            (None, Plan::Plain(scalar)) => {
                to.values.push_typed(scalar.default(), scalar.name()).map_err(Fault::Mismatch)
            }
            (None, plan) if value_is_message => plan.push(Whole(Value::Bytes(b"")), &mut to.values),
            (None, _) => {
                to.values.push_null();
                Ok(())
            }
        };
        pushed.map_err(|fault| fault.in_field(&text))?;
    }
    to.push();
    Ok(())
}

/// The key of a map's entry as text, and its value.
pub(super) fn map_entry<'a>(key: &Scalar, entry: &'a [u8]) -> Result<(String, Option<Value<'a>>), Broken> {
    let (mut found, mut held) = (None, None);
    let mut wire = Wire::new(entry);
    while let Some((number, value)) = wire.field()? {
        match number {
            1 => found = key.read(value)?.map(|key| key.text().into_owned()).or(found),
            2 => held = Some(value),
            _ => {}
        }
    }
    Ok((found.unwrap_or_else(|| key.default().text().into_owned()), held))
}
