//! Values without an inside, by their declared kind.

use std::collections::HashMap;

use prost_reflect::Kind;

use super::super::typed::Typed;
use super::wire::{Broken, Value, Wire};

/// The kind of a value without an inside.
#[derive(Debug)]
pub(super) struct Scalar {
    kind: Kind,
    /// Of an enum, its names.
    names: HashMap<i32, String>,
}

/// A value, or a number of an enum that has no name.
impl Scalar {
    /// None for messages.
    pub(super) fn of(kind: &Kind) -> Option<Self> {
        let names = match kind {
            Kind::Message(_) => return None,
            // Of several names for one number the first counts.
            Kind::Enum(values) => {
                let mut names = HashMap::new();
                for value in values.values() {
                    names.entry(value.number()).or_insert_with(|| value.name().to_owned());
                }
                names
            }
            _ => HashMap::new(),
        };
        Some(Self { kind: kind.clone(), names })
    }

    /// The kind in the words of protobuf.
    pub(super) fn name(&self) -> &str {
        match &self.kind {
            Kind::Double => "double",
            Kind::Float => "float",
            Kind::Int32 => "int32",
            Kind::Int64 => "int64",
            Kind::Uint32 => "uint32",
            Kind::Uint64 => "uint64",
            Kind::Sint32 => "sint32",
            Kind::Sint64 => "sint64",
            Kind::Fixed32 => "fixed32",
            Kind::Fixed64 => "fixed64",
            Kind::Sfixed32 => "sfixed32",
            Kind::Sfixed64 => "sfixed64",
            Kind::Bool => "bool",
            Kind::String => "string",
            Kind::Bytes => "bytes",
            Kind::Enum(values) => values.full_name(),
            Kind::Message(message) => message.full_name(),
        }
    }

    /// True if JSON has such a number as a string: not every reader keeps 64 bits of it.
    pub(super) fn is_wide(&self) -> bool {
        matches!(self.kind, Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64)
    }

    /// What stands for a value that is not there where its absence can't be told.
    pub(super) fn default(&self) -> Typed<'_> {
        match self.kind {
            Kind::Double => Typed::Double(0.0),
            Kind::Float => Typed::Float(0.0),
            Kind::Bool => Typed::Boolean(false),
            Kind::String => Typed::Text(""),
            Kind::Bytes => Typed::Bytes(b""),
            Kind::Enum(_) => self.named(0),
            _ => Typed::Integer(0),
        }
    }

    fn named(&self, number: i32) -> Typed<'_> {
        self.names.get(&number).map_or(Typed::Integer(number.into()), |name| Typed::Text(name))
    }

    /// The value as this kind; none if its shape is another, which makes it an unknown field.
    pub(super) fn read<'v>(&'v self, value: Value<'v>) -> Result<Option<Typed<'v>>, Broken> {
        Ok(Some(match (&self.kind, value) {
            (Kind::Double, Value::Fixed64(bits)) => Typed::Double(f64::from_bits(bits)),
            (Kind::Float, Value::Fixed32(bits)) => Typed::Float(f32::from_bits(bits)),
            (Kind::Int32, Value::Varint(bits)) => Typed::Integer((bits as i32).into()),
            (Kind::Int64, Value::Varint(bits)) => Typed::Integer((bits as i64).into()),
            (Kind::Uint32, Value::Varint(bits)) => Typed::Integer((bits as u32).into()),
            (Kind::Uint64, Value::Varint(bits)) => Typed::Integer(bits.into()),
            (Kind::Sint32, Value::Varint(bits)) => Typed::Integer((zig_zag(bits & 0xffff_ffff) as i32).into()),
            (Kind::Sint64, Value::Varint(bits)) => Typed::Integer(zig_zag(bits).into()),
            (Kind::Fixed32, Value::Fixed32(bits)) => Typed::Integer(bits.into()),
            (Kind::Fixed64, Value::Fixed64(bits)) => Typed::Integer(bits.into()),
            (Kind::Sfixed32, Value::Fixed32(bits)) => Typed::Integer((bits as i32).into()),
            (Kind::Sfixed64, Value::Fixed64(bits)) => Typed::Integer((bits as i64).into()),
            (Kind::Bool, Value::Varint(bits)) => Typed::Boolean(bits != 0),
            (Kind::Enum(_), Value::Varint(bits)) => self.named(bits as i32),
            (Kind::Bytes, Value::Bytes(bytes)) => Typed::Bytes(bytes),
            (Kind::String, Value::Bytes(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => Typed::Text(text),
                Err(flaw) => return Err(Broken { at: flaw.valid_up_to(), what: "a string is not UTF-8" }),
            },
            _ => return Ok(None),
        }))
    }

    /// The next of some packed values.
    pub(super) fn unpack<'a>(&self, packed: &mut Wire<'a>) -> Result<Value<'a>, Broken> {
        match self.kind {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => packed.fixed64().map(Value::Fixed64),
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => packed.fixed32().map(Value::Fixed32),
            _ => packed.varint().map(Value::Varint),
        }
    }

    /// True if repeated values may come packed.
    pub(super) fn packs(&self) -> bool {
        !matches!(self.kind, Kind::String | Kind::Bytes)
    }
}

fn zig_zag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}
