//! SQL types as the config writes them, to Arrow and back.
//!
//! The one idea: a small recursive reader with a budget (length, depth, fields), so that an absurd type is an error with
//! its byte offset and never a stack overflow.

use std::fmt::Write;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use super::{is_json, nested_field};

/// Longest type text that is read, in bytes.
const MAX_LENGTH: usize = 10_000;
/// Deepest nesting of list, struct and map.
const MAX_DEPTH: usize = 32;
/// Most struct fields in one type, nested ones counted.
const MAX_FIELDS: usize = 4096;
/// What a decimal holds: 38 digits fit 128 bits.
const MAX_PRECISION: u8 = 38;

/// The names that errors offer; other spellings of the same types are accepted too.
const NAMES: [&str; 16] = [
    "boolean",
    "int",
    "bigint",
    "float",
    "double",
    "decimal",
    "string",
    "varchar",
    "text",
    "bytes",
    "date",
    "timestamp",
    "list",
    "struct",
    "map",
    "json",
];

/// A type text that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (at byte {offset} of the type)")]
pub struct TypeError {
    /// Where in the type text.
    pub offset: usize,
    /// What is wrong and what to write instead.
    pub reason: String,
}

/// Reads a SQL type: `boolean`, `int`, `bigint`, `float`, `double`, `decimal(p,s)`, `string` (also `varchar`, `text`),
/// `bytes`, `date`, `timestamp`, `list<T>`, `struct<a: T, …>`, `map<K, V>`, `json`, in any case.
///
/// `json` comes back as the string it is stored in; inside a nested type its field is marked, at the top
/// [`SourceField::json`](super::SourceField::json) says so.
pub fn parse_type(text: &str) -> Result<DataType, TypeError> {
    let mut reader = Reader { text, at: 0, fields: 0 };
    if text.len() > MAX_LENGTH {
        return Err(reader.error_at(MAX_LENGTH, format!("a type has at most {MAX_LENGTH} characters")));
    }
    let (data_type, _json) = reader.read_type(0)?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.unexpected("the end of the type"));
    }
    Ok(data_type)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    fields: usize,
}

impl Reader<'_> {
    /// Reads one type; the flag says that it was `json`.
    fn read_type(&mut self, depth: usize) -> Result<(DataType, bool), TypeError> {
        self.skip_space();
        let start = self.at;
        if depth > MAX_DEPTH {
            return Err(self.error_at(start, format!("a type is nested at most {MAX_DEPTH} levels deep")));
        }
        let word = self.word();
        let data_type = match word.as_str() {
            "" => return Err(self.unexpected("a type")),
            "boolean" | "bool" => DataType::Boolean,
            "int" | "integer" => DataType::Int32,
            "bigint" | "long" => DataType::Int64,
            "float" | "real" => DataType::Float32,
            "double" => DataType::Float64,
            "decimal" | "numeric" => self.read_decimal(start)?,
            "string" | "varchar" | "text" => {
                self.refuse_length(&word)?;
                DataType::Utf8View
            }
            "json" => return Ok((DataType::Utf8View, true)),
            "bytes" | "binary" => DataType::BinaryView,
            "date" => DataType::Date32,
            "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            "list" | "array" => self.read_list(depth)?,
            "struct" | "row" => self.read_struct(depth)?,
            "map" => self.read_map(depth)?,
            _ => return Err(self.error_at(start, unknown(&word))),
        };
        Ok((data_type, false))
    }

    fn read_decimal(&mut self, start: usize) -> Result<DataType, TypeError> {
        self.skip_space();
        if !self.text[self.at..].starts_with('(') {
            return Err(self.error_at(start, "a decimal needs its precision and scale: write decimal(18,2)".to_owned()));
        }
        self.at += 1;
        let (precision_at, precision) = self.read_number()?;
        if !(1..=MAX_PRECISION).contains(&precision) {
            let reason = format!("a decimal's precision is 1 to {MAX_PRECISION}, not {precision}");
            return Err(self.error_at(precision_at, reason));
        }
        self.skip_space();
        let mut scale = 0;
        if self.text[self.at..].starts_with(',') {
            self.at += 1;
            let (scale_at, number) = self.read_number()?;
            if number > precision {
                let reason = format!("a decimal's scale is at most its precision {precision}, not {number}");
                return Err(self.error_at(scale_at, reason));
            }
            scale = number;
        }
        self.expect(')')?;
        Ok(DataType::Decimal128(precision, scale as i8))
    }

    fn read_list(&mut self, depth: usize) -> Result<DataType, TypeError> {
        self.expect('<')?;
        let (item, json) = self.read_type(depth + 1)?;
        self.expect('>')?;
        Ok(DataType::List(Arc::new(nested_field(Field::LIST_FIELD_DEFAULT_NAME, item, json))))
    }

    fn read_struct(&mut self, depth: usize) -> Result<DataType, TypeError> {
        self.expect('<')?;
        let mut fields: Vec<Field> = Vec::new();
        let mut names = std::collections::HashSet::new();
        loop {
            self.skip_space();
            let name_at = self.at;
            let name = self.read_name()?;
            self.fields += 1;
            if self.fields > MAX_FIELDS {
                return Err(self.error_at(name_at, format!("a type has at most {MAX_FIELDS} fields")));
            }
            if !names.insert(name.clone()) {
                return Err(self.error_at(name_at, format!("field `{name}` stands twice in this struct")));
            }
            self.expect(':')?;
            let (data_type, json) = self.read_type(depth + 1)?;
            fields.push(nested_field(&name, data_type, json));
            self.skip_space();
            if !self.text[self.at..].starts_with(',') {
                break;
            }
            self.at += 1;
        }
        self.expect('>')?;
        Ok(DataType::Struct(Fields::from(fields)))
    }

    fn read_map(&mut self, depth: usize) -> Result<DataType, TypeError> {
        self.expect('<')?;
        self.skip_space();
        let key_at = self.at;
        let (key, key_json) = self.read_type(depth + 1)?;
        if key_json || key.is_nested() {
            return Err(self.error_at(key_at, "a map's key is a plain type, such as string or bigint".to_owned()));
        }
        self.expect(',')?;
        let (value, json) = self.read_type(depth + 1)?;
        self.expect('>')?;
        // DataFusion compares a map's keys with plain strings: `m['k']` on views is refused.
        let key = if key == DataType::Utf8View { DataType::Utf8 } else { key };
        let entry = Fields::from(vec![Field::new("key", key, false), nested_field("value", value, json)]);
        Ok(DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false))
    }

    /// A struct field's name: bare, or between backticks or double quotes (doubled inside to stand for themselves).
    fn read_name(&mut self) -> Result<String, TypeError> {
        let start = self.at;
        let rest = &self.text[start..];
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '`' | '"')) else {
            let end = rest.find(|c: char| !bare(c)).unwrap_or(rest.len());
            self.at += end;
            return if end == 0 { Err(self.unexpected("a field name")) } else { Ok(rest[..end].to_owned()) };
        };
        let mut name = String::new();
        let mut chars = rest.char_indices().skip(1).peekable();
        while let Some((i, c)) = chars.next() {
            if c != quote {
                name.push(c);
            } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
                name.push(quote);
                chars.next();
            } else {
                self.at = start + i + 1;
                return Ok(name);
            }
        }
        Err(self.error_at(start, format!("this name has no closing {quote}")))
    }

    fn read_number(&mut self) -> Result<(usize, u8), TypeError> {
        self.skip_space();
        let start = self.at;
        let rest = &self.text[start..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.unexpected("a number"));
        }
        self.at += end;
        // Anything over three digits is out of range all the same.
        Ok((start, rest[..end].parse().unwrap_or(u8::MAX)))
    }

    fn refuse_length(&mut self, word: &str) -> Result<(), TypeError> {
        let rest = self.text[self.at..].trim_start();
        if !rest.starts_with('(') {
            return Ok(());
        }
        let reason = format!("`{word}` takes no length, strings are as long as they are: write `{word}`");
        Err(self.error_at(self.text.len() - rest.len(), reason))
    }

    fn word(&mut self) -> String {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_ascii_lowercase()
    }

    fn expect(&mut self, wanted: char) -> Result<(), TypeError> {
        self.skip_space();
        if !self.text[self.at..].starts_with(wanted) {
            return Err(self.unexpected(&format!("`{wanted}`")));
        }
        self.at += wanted.len_utf8();
        Ok(())
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn unexpected(&self, wanted: &str) -> TypeError {
        let reason = match self.text[self.at..].chars().next() {
            Some(found) => format!("expected {wanted}, found `{found}`"),
            None => format!("expected {wanted}, but the type ends here"),
        };
        self.error_at(self.at, reason)
    }

    fn error_at(&self, offset: usize, reason: String) -> TypeError {
        TypeError { offset, reason }
    }
}

fn unknown(word: &str) -> String {
    let nearest = NAMES.iter().map(|name| (strsim::osa_distance(word, name), *name)).min();
    match nearest {
        // Two slips in a word of six letters still look like that word.
        Some((distance, name)) if distance <= 1 + name.len() / 4 => {
            format!("unknown type `{word}`: did you mean `{name}`?")
        }
        _ => format!("unknown type `{word}`: the types are {}", NAMES.join(", ")),
    }
}

/// Characters of a name that needs no quotes.
fn bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$' | '@')
}

/// The SQL spelling of an Arrow type; [`parse_type`] reads what it writes for every type that a source can declare.
pub fn type_name(data_type: &DataType) -> String {
    let mut out = String::new();
    write_type(&mut out, data_type);
    out
}

fn write_type(out: &mut String, data_type: &DataType) {
    match data_type {
        DataType::Null => out.push_str("null"),
        DataType::Boolean => out.push_str("boolean"),
        DataType::Int8 => out.push_str("tinyint"),
        DataType::Int16 => out.push_str("smallint"),
        DataType::Int32 => out.push_str("int"),
        DataType::Int64 => out.push_str("bigint"),
        DataType::UInt8 => out.push_str("tinyint unsigned"),
        DataType::UInt16 => out.push_str("smallint unsigned"),
        DataType::UInt32 => out.push_str("int unsigned"),
        DataType::UInt64 => out.push_str("bigint unsigned"),
        DataType::Float16 | DataType::Float32 => out.push_str("float"),
        DataType::Float64 => out.push_str("double"),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            // Writing to a string can't fail.
            let _ = write!(out, "decimal({p},{s})");
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => out.push_str("string"),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            out.push_str("bytes");
        }
        DataType::Date32 | DataType::Date64 => out.push_str("date"),
        DataType::Time32(_) | DataType::Time64(_) => out.push_str("time"),
        DataType::Timestamp(..) => out.push_str("timestamp"),
        DataType::Interval(_) | DataType::Duration(_) => out.push_str("interval"),
        DataType::Dictionary(_, value) => write_type(out, value),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => {
            out.push_str("list<");
            write_field_type(out, item);
            out.push('>');
        }
        DataType::Struct(fields) => write_struct(out, fields),
        DataType::Map(entries, _) => write_map(out, entries),
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

fn write_struct(out: &mut String, fields: &Fields) {
    out.push_str("struct<");
    for (i, field) in fields.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_name(out, field.name());
        out.push_str(": ");
        write_field_type(out, field);
    }
    out.push('>');
}

fn write_map(out: &mut String, entries: &Field) {
    out.push_str("map<");
    if let DataType::Struct(entry) = entries.data_type() {
        for (i, field) in entry.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            write_field_type(out, field);
        }
    }
    out.push('>');
}

fn write_field_type(out: &mut String, field: &Field) {
    if is_json(field) { out.push_str("json") } else { write_type(out, field.data_type()) }
}

/// Writes a struct field's name as [`parse_type`] reads it back.
pub(crate) fn write_name(out: &mut String, name: &str) {
    if !name.is_empty() && name.chars().all(bare) {
        out.push_str(name);
        return;
    }
    out.push('`');
    out.push_str(&name.replace('`', "``"));
    out.push('`');
}
