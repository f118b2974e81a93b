//! How messages of a type get into columns, worked out once for both.
//!
//! A plan is as deep as the declared type, so that it ends for messages that hold themselves.

use std::collections::HashMap;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::super::column::Column;
use super::scalar::Scalar;

/// What to do with one value.
#[derive(Debug)]
pub(super) enum Plan {
    Plain(Scalar),
    /// A message into a struct.
    Struct(Fields),
    /// A message as JSON text.
    Json(MessageDescriptor),
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// `google.protobuf.Duration`.
    Duration,
    /// A wrapper, such as `google.protobuf.Int64Value`.
    Wrapper(Scalar),
    /// The column takes no such value. Holds its type.
    Refuse(String),
}

/// How often a field comes.
#[derive(Debug)]
pub(super) enum Shape {
    /// Once, or not at all. Where its absence can't be told, that stands for the default.
    One { plan: Plan, presence: bool },
    /// Any number of times.
    Many(Plan),
    /// As entries of a map.
    Map { key: Scalar, value: Plan, value_is_message: bool },
    /// A repeated field or a map as JSON text.
    ManyJson(FieldDescriptor),
}

/// A field that matters: it is declared, or it shares a oneof with one that is.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) column: Option<usize>,
    pub(super) shape: Shape,
    pub(super) oneof: Option<String>,
}

/// The fields of a message.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) fields: Vec<Field>,
    by_number: HashMap<u32, usize>,
    /// Columns that the message has no field for.
    pub(super) missing: Vec<usize>,
}

impl Fields {
    pub(super) fn of<'n>(message: &MessageDescriptor, name: impl Fn(usize) -> &'n str, columns: &[Column]) -> Self {
        let mut plan = Self { fields: Vec::new(), by_number: HashMap::new(), missing: Vec::new() };
        for (at, column) in columns.iter().enumerate() {
            let name = name(at);
            // Its own name first, then the one that JSON knows it by.
            let field = message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name));
            match field.filter(|field| !plan.by_number.contains_key(&field.number())) {
                Some(field) => plan.add(&field, Some(at), Shape::of(&field, column)),
                None => plan.missing.push(at),
            }
        }
        let declared: Vec<String> = plan.fields.iter().filter_map(|field| field.oneof.clone()).collect();
        for field in message.fields().filter(|field| oneof(field).is_some_and(|name| declared.contains(&name))) {
            if !plan.by_number.contains_key(&field.number()) {
                let kind = field.kind();
                let any = Scalar::of(&kind).map_or_else(|| Plan::Refuse(String::new()), Plan::Plain);
                plan.add(&field, None, Shape::One { plan: any, presence: true });
            }
        }
        plan
    }

    fn add(&mut self, field: &FieldDescriptor, column: Option<usize>, shape: Shape) {
        self.by_number.insert(field.number(), self.fields.len());
        self.fields.push(Field { column, shape, oneof: oneof(field) });
    }

    /// The place of the field with a number.
    #[inline]
    pub(super) fn place(&self, number: u32) -> Option<usize> {
        self.by_number.get(&number).copied()
    }
}

fn oneof(field: &FieldDescriptor) -> Option<String> {
    field.containing_oneof().map(|oneof| oneof.name().to_owned())
}

impl Shape {
    fn of(field: &FieldDescriptor, column: &Column) -> Self {
        let kind = field.kind();
        match (column, &kind) {
            (Column::Json(_), _) if field.is_list() || field.is_map() => Self::ManyJson(field.clone()),
            (Column::Map(to), Kind::Message(entry)) if field.is_map() => {
                let value = entry.map_entry_value_field().kind();
                match Scalar::of(&entry.map_entry_key_field().kind()) {
                    Some(key) => Self::Map {
                        key,
                        value: Plan::of(&value, &to.values),
                        value_is_message: matches!(value, Kind::Message(_)),
                    },
                    // The compiler lets no such map through.
                    None => Self::Many(Plan::Refuse("a map".to_owned())),
                }
            }
            _ if field.is_map() => Self::Many(Plan::Refuse("a map".to_owned())),
            (Column::List(to), _) if field.is_list() => Self::Many(Plan::of(&kind, &to.items)),
            _ if field.is_list() => Self::Many(Plan::Refuse("a repeated field".to_owned())),
            _ => Self::One { plan: Plan::of(&kind, column), presence: field.supports_presence() },
        }
    }
}

impl Plan {
    pub(super) fn of(kind: &Kind, column: &Column) -> Self {
        let Kind::Message(message) = kind else {
            // What is no message is a scalar.
            return Scalar::of(kind).map_or_else(|| Self::Refuse("a message".to_owned()), Self::Plain);
        };
        match (column, message.full_name()) {
            (Column::Json(_), _) => Self::Json(message.clone()),
            (Column::Struct(to), _) => Self::Struct(Fields::of(message, |i| to.names.get(i), &to.children)),
            (Column::List(_) | Column::Map(_), name) => Self::Refuse(format!("a message {name}")),
            (_, "google.protobuf.Timestamp") => Self::Timestamp,
            (_, "google.protobuf.Duration") => Self::Duration,
            (_, name) => match wrapped(message) {
                Some(scalar) => Self::Wrapper(scalar),
                None => Self::Refuse(format!("a message {name}")),
            },
        }
    }
}

/// What a wrapper wraps.
pub(super) fn wrapped(message: &MessageDescriptor) -> Option<Scalar> {
    let name = message.full_name().strip_prefix("google.protobuf.")?.strip_suffix("Value")?;
    let known = ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"];
    if !known.contains(&name) {
        return None;
    }
    Scalar::of(&message.get_field(1)?.kind())
}
