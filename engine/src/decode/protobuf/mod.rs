//! Protobuf: messages of a type, read into the declared columns.
//!
//! The one idea: a message type and the declared columns are matched once, into a plan; a message is then read off the wire
//! straight into the columns. What is not declared is passed by, what the type does not have is null, and so is a field that
//! was not sent — unless its kind can't tell absence from a default, which it then is.

mod json;
mod plan;
mod scalar;
mod schema;
mod value;
mod wire;

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use prost_reflect::{FileDescriptor, MessageDescriptor};
use watershed_connectors::Records;

use super::batch::Rows;
use super::registered::{ById, Registered, RegisteredSchema, SchemaKind, framed};
use super::{Decode, DecodeError, Decoded};
use crate::schema::SourceSchema;
use plan::Fields;
pub use schema::{from_descriptor_set, from_proto_file};
use wire::Wire;

/// Where the type of a message comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtobufMessage {
    /// It is always this one.
    Known(MessageDescriptor),
    /// From a registry, by the id and the indexes in front of the message; if it is named, every message is of that type.
    Registry(Option<String>),
}

enum Types {
    Known(Fields),
    Registry { by_id: ById<Registration>, only: Option<String> },
}

/// A registered file, and the plans for its messages as they are needed.
#[derive(Debug)]
struct Registration {
    plans: BTreeMap<Vec<usize>, Result<Fields, String>>,
}

struct ProtobufDecoder {
    rows: Rows,
    names: Vec<String>,
    types: Types,
}

/// Messages that the indexes in front of one may name, nested ones included.
const MAX_MESSAGES: usize = 10_000;

/// A decoder of protobuf.
pub(super) fn decoder(
    message: &ProtobufMessage,
    schema: &SourceSchema,
    projection: &[usize],
) -> Result<Box<dyn Decode>, DecodeError> {
    let rows = Rows::new(schema, projection)?;
    let names: Vec<String> = projection.iter().map(|&column| schema.fields[column].name.clone()).collect();
    let types = match message {
        ProtobufMessage::Known(message) => Types::Known(fields_of(message, &names, &rows)),
        ProtobufMessage::Registry(only) => Types::Registry { by_id: ById::default(), only: only.clone() },
    };
    Ok(Box::new(ProtobufDecoder { rows, names, types }))
}

fn fields_of(message: &MessageDescriptor, names: &[String], rows: &Rows) -> Fields {
    Fields::of(message, |column| names[column].as_str(), &rows.columns)
}

impl Registration {
    fn of(registered: &RegisteredSchema, only: Option<&str>, names: &[String], rows: &Rows) -> Result<Self, String> {
        if registered.kind != SchemaKind::Protobuf {
            return Err("it is not a protobuf schema".to_owned());
        }
        let mut plans = BTreeMap::new();
        for (indexes, message) in messages(&schema::from_registry(registered)?)? {
            let name = message.full_name();
            let plan = match only.filter(|only| *only != name) {
                Some(only) => Err(format!("expected a message {only}, found one of type {name}")),
                None => Ok(fields_of(&message, names, rows)),
            };
            plans.insert(indexes, plan);
        }
        Ok(Self { plans })
    }
}

/// All messages of a file, by the indexes that lead to them.
fn messages(file: &FileDescriptor) -> Result<Vec<(Vec<usize>, MessageDescriptor)>, String> {
    let mut left: Vec<_> = file.messages().enumerate().map(|(i, message)| (vec![i], message)).collect();
    let mut all = Vec::new();
    while let Some((indexes, message)) = left.pop() {
        let inside = message.child_messages().enumerate();
        left.extend(inside.map(|(i, inside)| ([indexes.as_slice(), &[i]].concat(), inside)));
        all.push((indexes, message));
        if all.len() > MAX_MESSAGES {
            return Err(format!("it holds more than {MAX_MESSAGES} messages"));
        }
    }
    Ok(all)
}

/// The indexes in front of a message, and what stands behind them. A single zero stands for the first message.
fn indexes(payload: &[u8]) -> Result<(Vec<usize>, &[u8]), String> {
    let mut wire = Wire::new(payload);
    let mut next = || {
        let bits = wire.varint().map_err(|broken| broken.to_string())?;
        let index = (bits >> 1) as i64 ^ -((bits & 1) as i64);
        usize::try_from(index).map_err(|_| "an index of the message's type is negative".to_owned())
    };
    let count = next()?;
    if count > 64 {
        return Err(format!("{count} indexes of the message's type are too many"));
    }
    let mut indexes = (0..count).map(|_| next()).collect::<Result<Vec<_>, _>>()?;
    if indexes.is_empty() {
        indexes.push(0);
    }
    Ok((indexes, wire.rest()))
}

impl Types {
    /// The plan of a record, and where its message begins.
    fn of<'p>(&self, payload: &'p [u8]) -> Result<(&Fields, &'p [u8]), String> {
        match self {
            Self::Known(fields) => Ok((fields, payload)),
            Self::Registry { by_id, .. } => {
                let (id, rest) = framed(payload)?;
                let registration = by_id.get(id)?;
                let (indexes, message) = indexes(rest)?;
                match registration.plans.get(&indexes) {
                    Some(plan) => Ok((plan.as_ref().map_err(Clone::clone)?, message)),
                    None => Err(format!("schema {id} has no message at {indexes:?}")),
                }
            }
        }
    }
}

impl ProtobufDecoder {
    fn push_record(&mut self, payload: &[u8]) -> Result<(), String> {
        let (fields, message) = self.types.of(payload)?;
        let names = &self.names;
        fields.push(message, &mut self.rows.columns).map_err(|(at, fault)| {
            let name = names.get(at).map_or("", String::as_str);
            fault.in_field(name).reason()
        })
    }
}

impl Decode for ProtobufDecoder {
    fn schema(&self) -> &SchemaRef {
        self.rows.schema()
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        self.rows.begin(records.len());
        for i in 0..records.len() {
            let outcome = self.push_record(records.payload(i));
            self.rows.end_record(i, outcome);
        }
        self.rows.finish("")
    }

    fn learn(&mut self, registered: &Registered) {
        let (names, rows) = (&self.names, &self.rows);
        if let Types::Registry { by_id, only } = &mut self.types {
            by_id.learn(registered, |schema| Registration::of(schema, only.as_deref(), names, rows));
        }
    }
}
