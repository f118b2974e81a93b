//! `format` of a source: a name, or a table with what the format has to know.

use std::path::PathBuf;
use std::sync::Arc;

use serde_spanned::Spanned as At;
use watershed_connectors::Secret;
use watershed_connectors::avro::Schema;

use super::document::{MAX_FILE_BYTES, Span, read_limited};
use super::resolve::Context;
use super::tree::{Node, Value};
use super::written::FormatKeys;
use crate::decode::{AvroSchemas, CsvOptions, Format, ProtobufMessage, from_descriptor_set, from_proto_file};
use crate::diagnostic::nearest;
use crate::registry::RegistryOptions;

/// A format: its name in the file, its name in words, and the keys that are its own.
struct Known {
    name: &'static str,
    title: &'static str,
    keys: &'static [&'static str],
}

const KNOWN: [Known; 7] = [
    Known { name: "json", title: "JSON", keys: &[] },
    Known { name: "csv", title: "CSV", keys: &["delimiter", "quote", "header", "null"] },
    Known { name: "avro", title: "Avro", keys: &["schema_file", "registry", "username", "password", "token", "tls"] },
    Known {
        name: "protobuf",
        title: "protobuf",
        keys: &["descriptor", "proto", "message", "registry", "username", "password", "token", "tls"],
    },
    Known { name: "arrow", title: "Arrow", keys: &[] },
    Known { name: "raw", title: "raw records", keys: &[] },
    Known { name: "parquet", title: "Parquet", keys: &[] },
];

/// A format, and the registry that has its schemas.
pub(super) struct Resolved {
    pub(super) format: Format,
    pub(super) registry: Option<RegistryOptions>,
}

impl From<Format> for Resolved {
    fn from(format: Format) -> Self {
        Self { format, registry: None }
    }
}

/// The format of the source `table`; JSON where none is named.
pub(super) fn resolve(table: &Node, title: &str, context: &Context<'_>) -> Option<Resolved> {
    let Some(node) = table.get("format") else { return Some(Format::Json.into()) };
    match &node.value {
        Value::String(text) => {
            let known = by_name(&text.text, &node.span, context)?;
            let keys = FormatKeys::named(At::new(node.span.clone(), text.text.clone()));
            of(known, &keys, &node.span, context)
        }
        Value::Table(_) => {
            let keys: FormatKeys = context.read(node, &format!("{title}.format"))?;
            let known = by_name(keys.r#type.get_ref(), &keys.r#type.span(), context)?;
            refuse_others(known, node, context);
            of(known, &keys, &keys.r#type.span(), context)
        }
        Value::Broken => None,
        _ => {
            let help = "write \"json\", \"csv\" or { type = \"csv\", delimiter = \";\" }";
            context.refuse(node.span.clone(), "`format` is a name or a table", help);
            None
        }
    }
}

fn by_name(name: &str, span: &Span, context: &Context<'_>) -> Option<&'static Known> {
    let found = KNOWN.iter().find(|known| known.name == name);
    if found.is_none() {
        let written = context.written(span);
        let names = || KNOWN.iter().map(|known| known.name);
        let help = match nearest(&written, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("this build has {}", names().collect::<Vec<_>>().join(", ")),
        };
        context.refuse(span.clone(), format!("unknown format `{written}`"), help);
    }
    found
}

/// Refuses keys that belong to other formats.
fn refuse_others(known: &Known, node: &Node, context: &Context<'_>) {
    for entry in node.entries().iter().filter(|entry| entry.key != "type" && !known.keys.contains(&&*entry.key)) {
        let owners: Vec<&Known> = KNOWN.iter().filter(|other| other.keys.contains(&&*entry.key)).collect();
        // Unknown keys have been reported as such.
        let Some(first) = owners.first() else { continue };
        let titles: Vec<&str> = owners.iter().map(|owner| owner.title).collect();
        let message = format!("`{}` is a key of {}, not of {}", entry.key, titles.join(" and "), known.title);
        context.refuse(entry.key_span.clone(), message, format!("remove it, or write type = \"{}\"", first.name));
    }
}

fn of(known: &Known, keys: &FormatKeys, span: &Span, context: &Context<'_>) -> Option<Resolved> {
    Some(match known.name {
        "csv" => Format::Csv(csv(keys, context)?).into(),
        "avro" => return avro(keys, context),
        "protobuf" => return protobuf(keys, span, context),
        "arrow" => Format::Arrow.into(),
        "raw" => Format::Raw.into(),
        "parquet" => Format::Parquet.into(),
        _ => Format::Json.into(),
    })
}

fn csv(keys: &FormatKeys, context: &Context<'_>) -> Option<CsvOptions> {
    let default = CsvOptions::default();
    let delimiter = character(keys.delimiter.as_ref(), default.delimiter, "delimiter", context)?;
    let quote = character(keys.quote.as_ref(), default.quote, "quote", context)?;
    if let (true, Some(key)) = (delimiter == quote, keys.quote.as_ref().or(keys.delimiter.as_ref())) {
        context.refuse(key.span(), "`delimiter` and `quote` are the same character", "write two different ones");
        return None;
    }
    Some(CsvOptions {
        delimiter,
        quote,
        header: keys.header.as_ref().map_or(default.header, |header| *header.get_ref()),
        null: keys.null.as_ref().map_or(default.null, |null| null.get_ref().clone()),
    })
}

fn character(written: Option<&At<String>>, default: u8, key: &str, context: &Context<'_>) -> Option<u8> {
    let Some(text) = written else { return Some(default) };
    match text.get_ref().as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Some(*byte),
        _ => {
            let help = "write one ASCII character, such as \";\" or \"\\t\"";
            context.refuse(text.span(), format!("`{key}` is one character"), help);
            None
        }
    }
}

fn avro(keys: &FormatKeys, context: &Context<'_>) -> Option<Resolved> {
    let registry = registry(keys, context)?;
    let Some(files) = &keys.schema_file else {
        let format = Format::Avro(if registry.is_some() { AvroSchemas::Registry } else { AvroSchemas::Container });
        return Some(Resolved { format, registry });
    };
    if registry.is_some() {
        let help = "a registry has the schemas of all messages: remove one of the two";
        context.refuse(files.span(), "`schema_file` and `registry` are both given", help);
        return None;
    }
    let mut schemas = Vec::new();
    for file in files.get_ref().clone().into_vec() {
        let file = At::new(files.span(), file);
        let document = context.open(&file, "schema")?;
        match Schema::parse(document.text(), &[]) {
            Ok(schema) => schemas.push(Arc::new(schema)),
            Err(error) => {
                let message = format!("`{}` is no Avro schema: {error}", context.written(&file.span()));
                context.refuse(file.span(), message, "name the JSON file that the messages were written with");
                return None;
            }
        }
    }
    if schemas.is_empty() {
        context.refuse(files.span(), "`schema_file` is empty", "name the schema that messages were written with");
        return None;
    }
    Some(Format::Avro(AvroSchemas::Known(schemas)).into())
}

fn protobuf(keys: &FormatKeys, span: &Span, context: &Context<'_>) -> Option<Resolved> {
    let registry = registry(keys, context)?;
    let given = [("descriptor", &keys.descriptor), ("proto", &keys.proto), ("registry", &keys.registry)];
    let given: Vec<_> = given.iter().filter_map(|(key, value)| value.as_ref().map(|value| (*key, value))).collect();
    let (key, place) = match given.as_slice() {
        [only] => *only,
        [] => {
            let help = "write { type = \"protobuf\", proto = \"orders.proto\", message = \"acme.Order\" }, \
                        or name a `descriptor` or a `registry`";
            context.refuse(span.clone(), "protobuf does not say by itself what it means", help);
            return None;
        }
        [(one, _), (other, place), ..] => {
            context.refuse(place.span(), format!("`{one}` and `{other}` are both given"), "remove one of the two");
            return None;
        }
    };
    let name = keys.message.as_ref().map(|name| name.get_ref().as_str());
    let path = context.folder.join(place.get_ref());
    let found = match key {
        "registry" => {
            let format = Format::Protobuf(ProtobufMessage::Registry(name.map(str::to_owned)));
            return Some(Resolved { format, registry });
        }
        "descriptor" => read_limited(&path, 4 * MAX_FILE_BYTES)
            .map_err(|error| error.to_string())
            .and_then(|bytes| from_descriptor_set(&bytes, name)),
        _ => from_proto_file(&path, name),
    };
    match found {
        Ok(message) => Some(Format::Protobuf(ProtobufMessage::Known(message)).into()),
        Err(why) => {
            let message = format!("no message type can be taken from `{}`: {why}", context.written(&place.span()));
            let help = match key {
                "descriptor" => "it is what `protoc --include_imports --descriptor_set_out=FILE` writes",
                _ => "its path starts from the folder of the region file",
            };
            context.refuse(place.span(), message, help);
            None
        }
    }
}

/// The registry, if one is named. None if it can't be right.
fn registry(keys: &FormatKeys, context: &Context<'_>) -> Option<Option<RegistryOptions>> {
    let Some(url) = &keys.registry else {
        let lonely = [("username", &keys.username), ("password", &keys.password), ("token", &keys.token)];
        for (key, value) in lonely.iter().filter_map(|(key, value)| value.as_ref().map(|value| (key, value))) {
            context.refuse(
                value.span(),
                format!("`{key}` is for a registry, and none is named"),
                "add registry = \"URL\"",
            );
        }
        return lonely.iter().all(|(_, value)| value.is_none()).then_some(None);
    };
    if let (Some(token), Some(_)) = (&keys.token, &keys.username) {
        context.refuse(token.span(), "`token` and `username` are both given", "a registry takes one of the two");
        return None;
    }
    let secret = |value: &Option<At<String>>| value.as_ref().map(|value| Secret::new(value.get_ref().as_str()));
    let options = RegistryOptions {
        url: url.get_ref().clone(),
        username: keys.username.as_ref().map(|name| name.get_ref().clone()),
        password: secret(&keys.password),
        token: secret(&keys.token),
        ca: keys.tls.as_ref().map(|tls| -> PathBuf { context.folder.join(&tls.ca) }),
    };
    match options.check() {
        Ok(()) => Some(Some(options)),
        Err(help) => {
            let message = format!("`{}` is no address of a registry", context.written(&url.span()));
            context.refuse(url.span(), message, help);
            None
        }
    }
}
