//! A message as JSON text, after protobuf's own mapping: 64-bit numbers are strings, enums go by name, bytes are base64, the
//! well-known types have their short forms. Fields go by the names in the `.proto` file, as columns do, and those that were
//! not sent are left out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::super::typed::Typed;
use super::super::written::{self, Commas};
use super::plan::wrapped;
use super::scalar::Scalar;
use super::value::{Whole, join, map_entry, seconds_and_nanos, wrapped_value};
use super::wire::{Broken, Value, Wire};

/// How deep messages may lie in each other, as in JSON records.
const MAX_DEPTH: usize = 64;

/// Writes a message.
pub(super) fn message(descriptor: &MessageDescriptor, bytes: &[u8], out: &mut String) -> Result<(), Broken> {
    write_message(descriptor, bytes, out, 0)
}

/// Writes a repeated field or a map.
pub(super) fn many(field: &FieldDescriptor, values: &[Value<'_>], out: &mut String) -> Result<(), Broken> {
    write_many(field, values, out, 0)
}

fn write_message(descriptor: &MessageDescriptor, bytes: &[u8], out: &mut String, depth: usize) -> Result<(), Broken> {
    if depth > MAX_DEPTH {
        return Err(Broken { at: 0, what: "messages are nested too deep" });
    }
    if well_known(descriptor, bytes, out, depth)? {
        return Ok(());
    }
    let mut found: BTreeMap<u32, (FieldDescriptor, Vec<Value<'_>>)> = BTreeMap::new();
    let mut wire = Wire::new(bytes);
    while let Some((number, value)) = wire.field()? {
        let Some(field) = descriptor.get_field(number) else { continue };
        if let Some(oneof) = field.containing_oneof() {
            found.retain(|other, (held, _)| *other == number || held.containing_oneof().as_ref() != Some(&oneof));
        }
        found.entry(number).or_insert_with(|| (field, Vec::new())).1.push(value);
    }
    let mut commas = Commas::default();
    out.push('{');
    for (field, values) in found.values() {
        let before = out.len();
        commas.next(out);
        written::string(field.name(), out);
        out.push(':');
        if field.is_list() || field.is_map() {
            write_many(field, values, out, depth)?;
        } else if !write_last(&field.kind(), values, out, depth)? {
            // Nothing but values of another shape: an unknown field.
            out.truncate(before);
        }
    }
    out.push('}');
    Ok(())
}

/// Writes a field that counts once; false if there was nothing to write.
fn write_last(kind: &Kind, values: &[Value<'_>], out: &mut String, depth: usize) -> Result<bool, Broken> {
    let Kind::Message(descriptor) = kind else {
        let Some(scalar) = Scalar::of(kind) else { return Ok(false) };
        let mut last = None;
        for value in values {
            last = scalar.read(*value)?.or(last);
        }
        last.iter().for_each(|value| write_scalar(&scalar, *value, out));
        return Ok(last.is_some());
    };
    let mut pieces = values.iter().filter_map(|value| Whole(*value).message());
    let Some(first) = pieces.next() else { return Ok(false) };
    let whole = pieces.fold(Cow::Borrowed(first), |whole, piece| Cow::Owned(join(whole, piece)));
    write_message(descriptor, &whole, out, depth + 1)?;
    Ok(true)
}

fn write_many(field: &FieldDescriptor, values: &[Value<'_>], out: &mut String, depth: usize) -> Result<(), Broken> {
    let kind = field.kind();
    let mut commas = Commas::default();
    if let (true, Kind::Message(entry)) = (field.is_map(), &kind) {
        let value_kind = entry.map_entry_value_field().kind();
        let mut entries: BTreeMap<String, Option<Value<'_>>> = BTreeMap::new();
        if let Some(key) = Scalar::of(&entry.map_entry_key_field().kind()) {
            for entry in values.iter().filter_map(|entry| Whole(*entry).message()) {
                let (key, value) = map_entry(&key, entry)?;
                entries.insert(key, value);
            }
        }
        out.push('{');
        for (key, value) in entries {
            commas.next(out);
            written::string(&key, out);
            out.push(':');
            let written = match value {
                Some(value) => write_last(&value_kind, &[value], out, depth)?,
                None => false,
            };
            if !written {
                write_default(&value_kind, out, depth)?;
            }
        }
        out.push('}');
        return Ok(());
    }
    out.push('[');
    let scalar = Scalar::of(&kind);
    for value in values {
        match (&scalar, value) {
            (Some(scalar), Value::Bytes(packed)) if scalar.packs() => {
                let mut packed = Wire::new(packed);
                while !packed.is_at_end() {
                    let value = scalar.unpack(&mut packed)?;
                    commas.next(out);
                    scalar.read(value)?.iter().for_each(|value| write_scalar(scalar, *value, out));
                }
            }
            _ => {
                let before = out.len();
                let begun = commas.clone();
                commas.next(out);
                if !write_last(&kind, &[*value], out, depth)? {
                    out.truncate(before);
                    commas = begun;
                }
            }
        }
    }
    out.push(']');
    Ok(())
}

fn write_default(kind: &Kind, out: &mut String, depth: usize) -> Result<(), Broken> {
    match (kind, Scalar::of(kind)) {
        (Kind::Message(message), _) => write_message(message, b"", out, depth + 1),
        (_, Some(scalar)) => {
            write_scalar(&scalar, scalar.default(), out);
            Ok(())
        }
        (_, None) => {
            out.push_str("null");
            Ok(())
        }
    }
}

fn write_scalar(scalar: &Scalar, value: Typed<'_>, out: &mut String) {
    match value {
        Typed::Integer(_) if scalar.is_wide() => written::string(&value.text(), out),
        Typed::Double(number) if !number.is_finite() => written::string(special(number), out),
        Typed::Float(number) if !number.is_finite() => written::string(special(number.into()), out),
        _ => value.write_json(out),
    }
}

fn special(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// A duration as protobuf's JSON has it: `3.500s`, with as many groups of three digits as it needs.
pub(super) fn duration(seconds: i64, nanos: i32) -> String {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let (scaled, digits) = match total {
        total if total % 1_000_000_000 == 0 => (total / 1_000_000_000, 0),
        total if total % 1_000_000 == 0 => (total / 1_000_000, 3),
        total if total % 1000 == 0 => (total / 1000, 6),
        total => (total, 9),
    };
    format!("{}s", Typed::Decimal(scaled, digits).text())
}

/// Writes a well-known type in its short form; false if it is none.
fn well_known(descriptor: &MessageDescriptor, bytes: &[u8], out: &mut String, depth: usize) -> Result<bool, Broken> {
    let Some(name) = descriptor.full_name().strip_prefix("google.protobuf.") else { return Ok(false) };
    match name {
        "Timestamp" => {
            let (seconds, nanos) = seconds_and_nanos(bytes)?;
            let time = u32::try_from(nanos).ok().and_then(|nanos| chrono::DateTime::from_timestamp(seconds, nanos));
            match time {
                Some(time) => written::string(&time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true), out),
                None => return Err(Broken { at: 0, what: "a timestamp lies outside all years" }),
            }
        }
        "Duration" => {
            let (seconds, nanos) = seconds_and_nanos(bytes)?;
            written::string(&duration(seconds, nanos), out);
        }
        "Struct" => {
            let Some(field) = descriptor.get_field(1) else { return Ok(false) };
            write_many(&field, &all(bytes, 1)?, out, depth + 1)?;
        }
        "ListValue" => {
            let Some(field) = descriptor.get_field(1) else { return Ok(false) };
            write_many(&field, &all(bytes, 1)?, out, depth + 1)?;
        }
        "Value" => return write_value(descriptor, bytes, out, depth),
        "FieldMask" => {
            let paths = all(bytes, 1)?;
            let paths: Vec<_> =
                paths.iter().filter_map(|path| Whole(*path).message()).map(String::from_utf8_lossy).collect();
            written::string(&paths.join(","), out);
        }
        _ => match wrapped(descriptor) {
            Some(scalar) => write_scalar(&scalar, wrapped_value(&scalar, bytes)?, out),
            None => return Ok(false),
        },
    }
    Ok(true)
}

/// `google.protobuf.Value`: whichever it holds, the last one.
fn write_value(descriptor: &MessageDescriptor, bytes: &[u8], out: &mut String, depth: usize) -> Result<bool, Broken> {
    let mut last = None;
    let mut wire = Wire::new(bytes);
    while let Some((number, value)) = wire.field()? {
        last = descriptor.get_field(number).map(|field| (field, value)).or(last);
    }
    match last {
        Some((field, value)) if field.number() != 1 => {
            if !write_last(&field.kind(), &[value], out, depth)? {
                out.push_str("null");
            }
        }
        _ => out.push_str("null"),
    }
    Ok(true)
}

fn all(bytes: &[u8], wanted: u32) -> Result<Vec<Value<'_>>, Broken> {
    let mut values = Vec::new();
    let mut wire = Wire::new(bytes);
    while let Some((number, value)) = wire.field()? {
        if number == wanted {
            values.push(value);
        }
    }
    Ok(values)
}
