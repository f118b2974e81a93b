//! Reads a table of the tree into a serde struct, and reports everything that is wrong with it, not just the first.
//!
//! The one idea: serde stops at its first error, so the entry that caused it is set aside and the table is read again
//! without it. Unknown keys are found beforehand, because serde hands over the list of known ones.

use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::{DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_spanned::de::{SpannedDeserializer, is_spanned};

use super::document::{Document, Span};
use super::keys::{Default, Key, KeySet};
use super::read_error::{Kind, ReadError};
use super::tree::{Entry, Node, Value, literal};
use crate::diagnostic::{Diagnostic, nearest};

/// Collects what is wrong.
#[derive(Default)]
pub(super) struct Findings(RefCell<Vec<Diagnostic>>);

impl Findings {
    pub(super) fn add(&self, diagnostic: Diagnostic) {
        self.0.borrow_mut().push(diagnostic);
    }

    pub(super) fn extend(&self, diagnostics: Vec<Diagnostic>) {
        self.0.borrow_mut().extend(diagnostics);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(super) fn into_inner(self) -> Vec<Diagnostic> {
        self.0.into_inner()
    }
}

/// Reads a table whose keys are declared here. None if it cannot be made at all; what is wrong has been reported.
pub(super) fn read<T: KeySet>(table: &Node, title: &str, document: &Document, findings: &Findings) -> Option<T> {
    Reading { document, findings, keys: T::KEYS, aside: RefCell::default(), reported: RefCell::default() }
        .run(table, title)
}

/// Reads a table whose keys are declared elsewhere, by a serde struct.
pub(super) fn read_foreign<T: DeserializeOwned>(
    table: &Node,
    title: &str,
    document: &Document,
    findings: &Findings,
) -> Option<T> {
    Reading { document, findings, keys: &[], aside: RefCell::default(), reported: RefCell::default() }.run(table, title)
}

/// Reports every entry of `table` whose key is not among `known`; gives back the others.
pub(super) fn without_unknown(
    table: &Node,
    title: &str,
    known: &[&str],
    document: &Document,
    findings: &Findings,
) -> Node {
    let (good, bad): (Vec<Entry>, Vec<Entry>) =
        table.entries().iter().cloned().partition(|entry| known.contains(&entry.key.as_str()));
    for entry in &bad {
        findings.add(unknown_key(entry, title, known, document));
    }
    Node { span: table.span.clone(), value: Value::Table(good) }
}

/// The keys that a foreign struct knows.
pub(super) fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Probe<'a>(&'a mut &'static [&'static str]);

    impl<'de> serde::Deserializer<'de> for Probe<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(serde::de::Error::custom("only the names of the fields are wanted"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut fields: &'static [&'static str] = &[];
    // The probe always fails; what it has seen is the answer.
    let _ = T::deserialize(Probe(&mut fields));
    fields
}

/// How a table is called in messages.
pub(super) fn in_table(title: &str) -> String {
    if title.is_empty() { "at the top of the file".to_string() } else { format!("in [{title}]") }
}

fn unknown_key(entry: &Entry, title: &str, known: &[&str], document: &Document) -> Diagnostic {
    let error =
        document.error(entry.key_span.clone(), format!("unknown key `{}` {}", printed(&entry.key), in_table(title)));
    match nearest(&entry.key, known.iter().copied()) {
        Some(name) => error.help(format!("did you mean `{name}`?")),
        None => error.help(format!("the keys here are {}", known.join(", "))),
    }
}

fn printed(key: &str) -> String {
    super::document::shorten(key)
}

/// One table being read, possibly several times.
struct Reading<'a> {
    document: &'a Document,
    findings: &'a Findings,
    /// For the defaults and docs of the outermost table.
    keys: &'static [Key],
    /// Entries that are left out, by the place of their key.
    aside: RefCell<HashSet<usize>>,
    /// Unknown keys that have been reported.
    reported: RefCell<HashSet<usize>>,
}

impl Reading<'_> {
    fn run<T: DeserializeOwned>(&self, table: &Node, title: &str) -> Option<T> {
        let defaults: Vec<Entry> = self.keys.iter().filter_map(|key| default_entry(key, table)).collect();
        loop {
            let reader = Reader { node: table, title: title.to_string(), defaults: &defaults, reading: self };
            let error = match T::deserialize(reader) {
                Ok(value) => return Some(value),
                Err(error) => error,
            };
            let entry = error.entry;
            if let Some(diagnostic) = error.into_diagnostic(self.document, self.keys) {
                self.findings.add(diagnostic);
            }
            match entry {
                Some(entry) if self.aside.borrow_mut().insert(entry) => {}
                _ => return None,
            }
        }
    }

    fn is_aside(&self, entry: &Entry) -> bool {
        matches!(entry.node.value, Value::Broken) || self.aside.borrow().contains(&entry.key_span.start)
    }

    fn report_unknown(&self, entry: &Entry, title: &str, known: &[&str]) {
        if self.reported.borrow_mut().insert(entry.key_span.start) {
            self.findings.add(unknown_key(entry, title, known, self.document));
        }
    }
}

fn default_entry(key: &Key, table: &Node) -> Option<Entry> {
    let Default::Value(toml) = key.default else { return None };
    let node = literal(toml, table.span.clone())?;
    Some(Entry { key: key.name.to_string(), key_span: table.span.clone(), node })
}

/// A value being read.
#[derive(Clone)]
struct Reader<'a> {
    node: &'a Node,
    /// What the table is called, for messages.
    title: String,
    /// Taken where the table has no such entry.
    defaults: &'a [Entry],
    reading: &'a Reading<'a>,
}

impl<'a> Reader<'a> {
    /// The same for a value inside this one.
    fn inside(&self, node: &'a Node, key: &str) -> Reader<'a> {
        let dot = if self.title.is_empty() { "" } else { "." };
        Reader { node, title: format!("{}{dot}{key}", self.title), defaults: &[], reading: self.reading }
    }

    fn mismatch(&self, expected: &dyn serde::de::Expected) -> ReadError {
        serde::de::Error::invalid_type(Unexpected::Unit, expected)
    }
}

impl<'de, 'a: 'de> serde::Deserializer<'de> for Reader<'a> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::String(text) => visitor.visit_borrowed_str(&text.text),
            Value::List(items) => visitor.visit_seq(Items { items: items.iter(), reader: self }),
            Value::Table(entries) => visitor.visit_map(Entries::new(entries.iter(), self)),
            Value::Broken => Err(ReadError::reported()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if is_spanned(name) {
            let span = self.node.span.clone();
            return visitor.visit_map(SpannedDeserializer::new(self, span));
        }
        let Value::Table(entries) = &self.node.value else {
            if matches!(self.node.value, Value::Broken) {
                return Err(ReadError::reported());
            }
            return Err(self.mismatch(&visitor));
        };
        for entry in entries.iter().filter(|entry| !fields.contains(&entry.key.as_str())) {
            self.reading.report_unknown(entry, &self.title, fields);
        }
        let known = |entry: &&Entry| fields.contains(&entry.key.as_str());
        let (span, title, reading) = (self.node.span.clone(), self.title.clone(), self.reading);
        visitor.visit_map(Entries::new(entries.iter().filter(known), self)).map_err(|error| match &error.kind {
            Kind::Missing(field) if entries.iter().any(|entry| entry.key == *field && reading.is_aside(entry)) => {
                ReadError::reported()
            }
            _ => error.in_table(span, &title),
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::String(text) => visitor.visit_enum(text.text.as_str().into_deserializer()),
            Value::Broken => Err(ReadError::reported()),
            _ => Err(self.mismatch(&"a string")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier
    }
}

impl<'de, 'a: 'de> IntoDeserializer<'de, ReadError> for Reader<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The items of a list.
struct Items<'a, I> {
    items: I,
    reader: Reader<'a>,
}

impl<'de, 'a: 'de, I: Iterator<Item = &'a Node>> SeqAccess<'de> for Items<'a, I> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let reader = Reader { node: item, defaults: &[], ..self.reader.clone() };
        seed.deserialize(reader).map(Some).map_err(|error| error.at_value(item))
    }
}

/// The entries of a table, then the defaults that it lacks.
struct Entries<'a> {
    entries: std::vec::IntoIter<&'a Entry>,
    value: Option<&'a Entry>,
    reader: Reader<'a>,
}

impl<'a> Entries<'a> {
    fn new(entries: impl Iterator<Item = &'a Entry>, reader: Reader<'a>) -> Self {
        let mut taken: Vec<&Entry> = entries.filter(|entry| !reader.reading.is_aside(entry)).collect();
        let lacking = reader.defaults.iter().filter(|default| taken.iter().all(|entry| entry.key != default.key));
        let lacking: Vec<&Entry> = lacking.collect();
        taken.extend(lacking);
        Self { entries: taken.into_iter(), value: None, reader }
    }
}

impl<'de, 'a: 'de> MapAccess<'de> for Entries<'a> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        seed.deserialize(KeyReader(entry)).map(Some).map_err(|error| error.at_key(entry, &self.reader.title))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let entry = self.value.take().ok_or_else(ReadError::reported)?;
        let reader = self.reader.inside(&entry.node, &entry.key);
        seed.deserialize(reader).map_err(|error| error.at_value(&entry.node).at_entry(entry))
    }
}

/// A key, for field names and for maps with spanned keys.
#[derive(Clone, Copy)]
struct KeyReader<'a>(&'a Entry);

impl<'de, 'a: 'de> serde::Deserializer<'de> for KeyReader<'a> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_borrowed_str(&self.0.key)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if is_spanned(name) {
            let span: Span = self.0.key_span.clone();
            return visitor.visit_map(SpannedDeserializer::new(self, span));
        }
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de, 'a: 'de> IntoDeserializer<'de, ReadError> for KeyReader<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
