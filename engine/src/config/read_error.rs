//! Serde's errors, kept as facts until the value they are about is known, so that no message repeats a filled-in value.

use std::fmt;

use serde::de::{Expected, Unexpected};

use super::document::{Document, Span};
use super::keys::Key;
use super::read::in_table;
use super::tree::{Entry, Node, Value};
use crate::diagnostic::{Diagnostic, nearest};

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something else was expected, as the type's own words say it.
    Expected(String),
    /// One of these was expected.
    OneOf(&'static [&'static str]),
    /// A key is missing from a table.
    Missing(&'static str),
    /// The type's own message. It may quote the value.
    Message(String),
    /// It has been reported before.
    Reported,
}

/// A failed attempt to read a value.
#[derive(Debug, Clone)]
pub(super) struct ReadError {
    pub(super) kind: Kind,
    /// The innermost entry it happened in, by the place of its key.
    pub(super) entry: Option<usize>,
    key: Option<String>,
    table: String,
    value: Option<Culprit>,
}

/// The value that an error is about.
#[derive(Debug, Clone)]
struct Culprit {
    span: Span,
    what: &'static str,
    filled: bool,
}

impl ReadError {
    /// An error that needs no further words.
    pub(super) fn reported() -> Self {
        Self::new(Kind::Reported)
    }

    fn new(kind: Kind) -> Self {
        Self { kind, entry: None, key: None, table: String::new(), value: None }
    }

    /// Says which value it is about, unless a value inside it is known already.
    pub(super) fn at_value(mut self, node: &Node) -> Self {
        if self.value.is_none() {
            self.value = Some(Culprit { span: node.span.clone(), what: what(node), filled: node.is_filled() });
        }
        self
    }

    /// Says which entry it happened in, unless one inside it is known already.
    pub(super) fn at_entry(mut self, entry: &Entry) -> Self {
        if self.entry.is_none() {
            self.entry = Some(entry.key_span.start);
            self.key.get_or_insert_with(|| entry.key.clone());
        }
        self
    }

    /// Says that it is about a key itself.
    pub(super) fn at_key(mut self, entry: &Entry, table: &str) -> Self {
        self.value = Some(Culprit { span: entry.key_span.clone(), what: "key", filled: false });
        self.table = table.to_string();
        self.at_entry(entry)
    }

    /// Says which table it happened in, where no value is to blame.
    pub(super) fn in_table(mut self, span: Span, title: &str) -> Self {
        if self.value.is_none() {
            self.value = Some(Culprit { span, what: "a table", filled: false });
            self.table = title.to_string();
        }
        self
    }

    /// The diagnostic, unless it was reported before.
    pub(super) fn into_diagnostic(self, document: &Document, keys: &[Key]) -> Option<Diagnostic> {
        let culprit = self.value.unwrap_or(Culprit { span: 0..0, what: "a value", filled: false });
        let key = self.key.as_deref().map_or("this".to_string(), |key| format!("`{key}`"));
        let written = document.written(&culprit.span);
        let found = match culprit.what {
            "a string" => format!("\"{written}\""),
            "a number" | "a boolean" => format!("`{written}`"),
            other => other.to_string(),
        };
        let error = |message: String| document.error(culprit.span.clone(), message);
        Some(match self.kind {
            Kind::Reported => return None,
            Kind::Expected(expected) => error(format!("{key} takes {expected}, not {found}")),
            Kind::OneOf(names) => {
                let choices: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
                let error = error(format!("{key} takes {}, not {found}", choices.join(" or ")));
                match nearest(&written, names.iter().copied()) {
                    Some(name) if !culprit.filled => error.help(format!("did you mean `{name}`?")),
                    _ => error,
                }
            }
            Kind::Missing(field) => {
                let message = format!("missing key `{field}` {}", in_table(&self.table));
                let error = if culprit.span.is_empty() {
                    Diagnostic::in_file(document.path(), message)
                } else {
                    error(message)
                };
                match keys.iter().find(|known| known.name == field) {
                    Some(known) => error.help(format!("{field}: {}", known.doc.join("\n").trim())),
                    None => error,
                }
            }
            Kind::Message(_) if culprit.filled => error(format!("{key} does not take what \"{written}\" stands for"))
                .help("the value is not shown here; look at the variable or file itself"),
            Kind::Message(message) => error(format!("{key}: {message}")),
        })
    }
}

fn what(node: &Node) -> &'static str {
    match node.value {
        Value::Boolean(_) => "a boolean",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::String(_) | Value::Broken => "a string",
        Value::List(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Serde's words for what it expects, in ours.
fn plain(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "a nonzero u64" | "a nonzero usize" | "a nonzero u32" => {
            "a whole number".to_string()
        }
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_string(),
        "f32" | "f64" => "a number".to_string(),
        "a boolean" => "true or false".to_string(),
        "a map" => "a table".to_string(),
        other if other.starts_with("struct ") => "a table".to_string(),
        other => other.replace("a sequence", "a list"),
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value does not fit")
    }
}

impl std::error::Error for ReadError {}

impl serde::de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Message(message.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Expected(plain(&expected.to_string())))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Expected(plain(&expected.to_string())))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Kind::OneOf(expected))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Kind::OneOf(expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::Missing(field))
    }
}
