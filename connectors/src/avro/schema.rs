//! A schema from its JSON: names resolved, logical types checked.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::canonical;

/// A schema that is larger than this is none.
const MAX_BYTES: usize = 1 << 20;
/// Types in a schema, each occurrence counted.
const MAX_NODES: usize = 20_000;
/// How deep types may lie in each other.
const MAX_DEPTH: usize = 64;

/// Why a schema can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(String);

/// The place of a type in its [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(u32);

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// How its values are encoded.
    pub kind: Kind,
    /// What they mean beyond that. One that does not suit the kind is ignored, as the specification asks.
    pub logical: Option<Logical>,
}

/// How a value is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Nothing at all.
    Null,
    /// One byte.
    Boolean,
    /// A zig-zag number of 32 bits.
    Int,
    /// A zig-zag number of 64 bits.
    Long,
    /// Four bytes.
    Float,
    /// Eight bytes.
    Double,
    /// A length, and so many bytes.
    Bytes,
    /// The same in UTF-8.
    String,
    /// Always so many bytes.
    Fixed {
        /// Full name.
        name: String,
        /// Bytes.
        size: usize,
    },
    /// The place of a symbol.
    Enum {
        /// Full name.
        name: String,
        /// The symbols.
        symbols: Vec<String>,
    },
    /// Its fields, one after another.
    Record {
        /// Full name.
        name: String,
        /// The fields.
        fields: Vec<Field>,
    },
    /// Blocks of items.
    Array(NodeId),
    /// Blocks of keys and values.
    Map(NodeId),
    /// The place of a branch, and its value.
    Union(Vec<NodeId>),
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Names that it had before.
    pub aliases: Vec<String>,
    /// Its type.
    pub node: NodeId,
}

/// What a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logical {
    /// An unscaled big-endian number.
    Decimal {
        /// Digits in all.
        precision: u32,
        /// Digits behind the point.
        scale: u32,
    },
    /// Days since the epoch.
    Date,
    /// Milliseconds since midnight.
    TimeMillis,
    /// Microseconds since midnight.
    TimeMicros,
    /// Milliseconds since the epoch; a local timestamp is taken as UTC, here and below.
    TimestampMillis,
    /// Microseconds since the epoch.
    TimestampMicros,
    /// Nanoseconds since the epoch.
    TimestampNanos,
    /// A UUID, as text or as 16 bytes.
    Uuid,
}

/// A whole schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    nodes: Vec<Node>,
    root: NodeId,
    fingerprint: u64,
}

impl Schema {
    /// Reads a schema. `referenced` are those that it names types of, each after the ones it needs itself.
    ///
    /// # Errors
    /// For what is no Avro schema, or is too large or too deep to be one.
    pub fn parse(text: &str, referenced: &[&str]) -> Result<Self, SchemaError> {
        let mut reader = Reader { nodes: Vec::new(), names: HashMap::new() };
        for text in referenced {
            reader.read_text(text)?;
        }
        let root = reader.read_text(text)?;
        let mut schema = Self { nodes: reader.nodes, root, fingerprint: 0 };
        schema.fingerprint = canonical::fingerprint(canonical::form(&schema).as_bytes());
        Ok(schema)
    }

    /// The type of a whole value.
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// The type at `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The 64-bit Rabin fingerprint of the schema's canonical form, as single objects carry it.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The type in the words of Avro.
    pub fn type_name(&self, id: NodeId) -> &str {
        match &self.node(id).kind {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Int => "int",
            Kind::Long => "long",
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::Bytes => "bytes",
            Kind::String => "string",
            Kind::Fixed { name, .. } | Kind::Enum { name, .. } | Kind::Record { name, .. } => name,
            Kind::Array(_) => "array",
            Kind::Map(_) => "map",
            Kind::Union(_) => "union",
        }
    }
}

struct Reader {
    nodes: Vec<Node>,
    /// Named types by their full names.
    names: HashMap<String, NodeId>,
}

fn wrong<T>(what: impl Into<String>) -> Result<T, SchemaError> {
    Err(SchemaError(what.into()))
}

impl Reader {
    fn read_text(&mut self, text: &str) -> Result<NodeId, SchemaError> {
        if text.len() > MAX_BYTES {
            return wrong(format!("the schema takes more than {MAX_BYTES} bytes"));
        }
        // A bare name is how some registries keep a primitive schema.
        let value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(_) if primitive(text.trim()).is_some() => Value::String(text.trim().to_owned()),
            Err(error) => return wrong(format!("the schema is no JSON: {error}")),
        };
        self.read(&value, "", 0)
    }

    fn add(&mut self, kind: Kind, logical: Option<Logical>) -> Result<NodeId, SchemaError> {
        if self.nodes.len() >= MAX_NODES {
            return wrong(format!("the schema holds more than {MAX_NODES} types"));
        }
        self.nodes.push(Node { kind, logical });
        Ok(NodeId(self.nodes.len() as u32 - 1))
    }

    fn read(&mut self, value: &Value, namespace: &str, depth: usize) -> Result<NodeId, SchemaError> {
        if depth > MAX_DEPTH {
            return wrong(format!("the schema is nested more than {MAX_DEPTH} levels deep"));
        }
        match value {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => {
                let read = branches.iter().map(|branch| self.read(branch, namespace, depth + 1));
                let branches = read.collect::<Result<Vec<_>, _>>()?;
                if branches.is_empty() || branches.iter().any(|id| matches!(self.kind(*id), Kind::Union(_))) {
                    return wrong("a union has branches, and none of them is a union");
                }
                self.add(Kind::Union(branches), None)
            }
            Value::Object(table) => self.read_table(table, namespace, depth),
            other => wrong(format!("`{other}` is no type")),
        }
    }

    fn kind(&self, id: NodeId) -> &Kind {
        &self.nodes[id.0 as usize].kind
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<NodeId, SchemaError> {
        if let Some(kind) = primitive(name) {
            return self.add(kind, None);
        }
        let full = full_name(name, namespace);
        match self.names.get(&full).or_else(|| self.names.get(name)) {
            Some(id) => Ok(*id),
            None => wrong(format!("there is no type `{full}`")),
        }
    }

    fn read_table(&mut self, table: &Map<String, Value>, namespace: &str, depth: usize) -> Result<NodeId, SchemaError> {
        let Some(kind) = table.get("type") else { return wrong("a type lacks its `type`") };
        let Value::String(kind) = kind else { return self.read(kind, namespace, depth + 1) };
        let inner = |key: &str| table.get(key).ok_or_else(|| SchemaError(format!("a type `{kind}` lacks its `{key}`")));
        match kind.as_str() {
            "record" | "error" => self.record(table, namespace, depth),
            "array" => {
                let items = self.read(inner("items")?, namespace, depth + 1)?;
                self.add(Kind::Array(items), None)
            }
            "map" => {
                let values = self.read(inner("values")?, namespace, depth + 1)?;
                self.add(Kind::Map(values), None)
            }
            "enum" => {
                let symbols = inner("symbols")?.as_array().map_or(&[][..], Vec::as_slice);
                let symbols: Vec<String> = symbols.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                if symbols.is_empty() {
                    return wrong("an enum lacks its symbols");
                }
                let (name, _) = own_name(table, namespace)?;
                self.add_named(name.clone(), Kind::Enum { name, symbols }, None)
            }
            "fixed" => {
                let size = inner("size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                let Some(size) = size.filter(|size| *size <= i32::MAX as usize) else {
                    return wrong("the size of a fixed type is no number of bytes");
                };
                let (name, _) = own_name(table, namespace)?;
                let logical = logical(table, &Kind::Fixed { name: String::new(), size });
                self.add_named(name.clone(), Kind::Fixed { name, size }, logical)
            }
            simple => match primitive(simple) {
                Some(kind) => {
                    let logical = logical(table, &kind);
                    self.add(kind, logical)
                }
                None => self.named(simple, namespace),
            },
        }
    }

    fn add_named(&mut self, name: String, kind: Kind, logical: Option<Logical>) -> Result<NodeId, SchemaError> {
        let id = self.add(kind, logical)?;
        if self.names.insert(name.clone(), id).is_some() {
            return wrong(format!("type `{name}` is defined twice"));
        }
        Ok(id)
    }

    fn record(&mut self, table: &Map<String, Value>, namespace: &str, depth: usize) -> Result<NodeId, SchemaError> {
        let (name, namespace) = own_name(table, namespace)?;
        // Known before its fields are, as these may be of its own type.
        let id = self.add_named(name.clone(), Kind::Record { name: name.clone(), fields: Vec::new() }, None)?;
        let Some(Value::Array(written)) = table.get("fields") else {
            return wrong(format!("record `{name}` lacks its fields"));
        };
        let mut fields: Vec<Field> = Vec::with_capacity(written.len());
        for field in written {
            let (Some(Value::String(own)), Some(kind)) = (field.get("name"), field.get("type")) else {
                return wrong(format!("a field of record `{name}` lacks its name or type"));
            };
            if fields.iter().any(|other| other.name == *own) {
                return wrong(format!("record `{name}` has two fields `{own}`"));
            }
            let aliases = field.get("aliases").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let aliases = aliases.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            fields.push(Field { name: own.clone(), aliases, node: self.read(kind, &namespace, depth + 1)? });
        }
        self.nodes[id.0 as usize].kind = Kind::Record { name, fields };
        Ok(id)
    }
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::String,
        _ => return None,
    })
}

fn full_name(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// The full name of a type that is defined here, and the namespace of what is inside it.
fn own_name(table: &Map<String, Value>, outer: &str) -> Result<(String, String), SchemaError> {
    let Some(Value::String(name)) = table.get("name") else { return wrong("a named type lacks its name") };
    let namespace = table.get("namespace").and_then(Value::as_str).unwrap_or(outer);
    let full = full_name(name, namespace);
    let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
    Ok((full.strip_prefix('.').map_or(full.clone(), str::to_owned), namespace))
}

fn logical(table: &Map<String, Value>, kind: &Kind) -> Option<Logical> {
    let name = table.get("logicalType")?.as_str()?;
    Some(match (name, kind) {
        ("decimal", Kind::Bytes | Kind::Fixed { .. }) => {
            let number = |key| table.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
            let (precision, scale) = (number("precision")?, number("scale").unwrap_or(0));
            if precision == 0 || scale > precision {
                return None;
            }
            Logical::Decimal { precision, scale }
        }
        ("date", Kind::Int) => Logical::Date,
        ("time-millis", Kind::Int) => Logical::TimeMillis,
        ("time-micros", Kind::Long) => Logical::TimeMicros,
        ("timestamp-millis" | "local-timestamp-millis", Kind::Long) => Logical::TimestampMillis,
        ("timestamp-micros" | "local-timestamp-micros", Kind::Long) => Logical::TimestampMicros,
        ("timestamp-nanos" | "local-timestamp-nanos", Kind::Long) => Logical::TimestampNanos,
        ("uuid", Kind::String | Kind::Fixed { size: 16, .. }) => Logical::Uuid,
        _ => return None,
    })
}
