//! Schemas that messages name by number, as a registry keeps them.
//!
//! The one idea: decoding stays pure. A message in Confluent's framing — a zero, four bytes of schema id, the value — says
//! which schema it needs; whoever hands the records over looks those up first, waits for as long as that takes, and tells
//! the decoder what it found.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use watershed_connectors::Records;

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    /// Avro, as JSON.
    Avro,
    /// A `.proto` file.
    Protobuf,
    /// Something else.
    Other,
}

/// A schema as it was registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// Its language.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// Names and texts of the schemas that it refers to, each after the ones it needs itself.
    pub references: Vec<(String, String)>,
}

/// What a registry says of some ids; none: that it has no such schema.
pub type Registered = Vec<(u32, Option<Arc<RegisteredSchema>>)>;

/// The ids that records need to be read.
pub fn schema_ids(records: &Records) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    let mut last = None;
    for i in 0..records.len() {
        if let Ok((id, _)) = framed(records.payload(i))
            && last != Some(id)
        {
            ids.insert(id);
            last = Some(id);
        }
    }
    ids
}

/// The schema id of a message, and what stands behind it.
pub(super) fn framed(payload: &[u8]) -> Result<(u32, &[u8]), String> {
    match payload {
        [0, i3, i2, i1, i0, rest @ ..] => Ok((u32::from_be_bytes([*i3, *i2, *i1, *i0]), rest)),
        [0, ..] => Err("it ends inside its schema id".to_owned()),
        [] => Err("empty record".to_owned()),
        [first, ..] => Err(format!("expected a zero and a schema id in front, found byte {first:#04x}")),
    }
}

/// What a decoder has made of registered schemas, by id.
#[derive(Debug)]
pub(super) struct ById<T> {
    entries: HashMap<u32, Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    schema: Option<Arc<RegisteredSchema>>,
    made: Result<T, String>,
}

/// Schemas that a decoder keeps. More are not in use at a time; one that is missing is made again.
const MOST: usize = 1024;

impl<T> Default for ById<T> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

impl<T> ById<T> {
    /// Takes in what the next records need.
    pub(super) fn learn(&mut self, registered: &Registered, make: impl Fn(&RegisteredSchema) -> Result<T, String>) {
        let known = |entry: &Entry<T>, schema: &Option<Arc<RegisteredSchema>>| match (&entry.schema, schema) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
            (None, None) => true,
            _ => false,
        };
        if self.entries.len() + registered.len() > MOST {
            self.entries.clear();
        }
        for (id, schema) in registered {
            if self.entries.get(id).is_some_and(|entry| known(entry, schema)) {
                continue;
            }
            let made = match schema {
                Some(schema) => make(schema).map_err(|why| format!("schema {id}: {why}")),
                None => Err(format!("the registry has no schema {id}")),
            };
            self.entries.insert(*id, Entry { schema: schema.clone(), made });
        }
    }

    /// What was made of schema `id`, or why nothing was.
    pub(super) fn get(&self, id: u32) -> Result<&T, String> {
        match self.entries.get(&id) {
            Some(entry) => entry.made.as_ref().map_err(Clone::clone),
            None => Err(format!("schema {id} was not looked up")),
        }
    }
}
