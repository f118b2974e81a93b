//! A TOML file as a tree in which every key and value knows its place, with `${…}` filled in.
//!
//! The one idea: everything that can go wrong before meaning matters — syntax, depth, size, variables — is found here,
//! so that what follows only asks what a key means.

use std::collections::HashSet;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, Span};
use super::fill::{Filled, Filler};
use super::mapping::Mapping;
use crate::diagnostic::Diagnostic;

/// Deepest nesting of tables and lists. The deepest key there is stands at four.
const MAX_DEPTH: usize = 16;

/// Most dots in one line: what bounds the depth that dotted keys can reach before the depth is looked at.
const MAX_DOTS: usize = 200;

/// Stack of the thread that parses. A tree is dropped by recursion; the parser allows 80 inline tables, each under a
/// key of [`MAX_DOTS`] dots, and a kilobyte for each level is plenty.
const PARSER_STACK_BYTES: usize = 64 * 1024 * 1024;

/// Most syntax errors shown: what follows the first few is usually their consequence.
const MAX_SYNTAX_ERRORS: usize = 5;

/// A value and its place.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) value: Value,
}

/// A value of TOML.
#[derive(Clone)]
pub(super) enum Value {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    String(Text),
    List(Vec<Node>),
    /// In the order written.
    Table(Vec<Entry>),
    /// A value whose error has been reported.
    Broken,
}

/// A string.
#[derive(Clone)]
pub(super) struct Text {
    /// Filled in.
    pub(super) text: String,
    /// Where each byte of it came from.
    pub(super) mapping: Mapping,
    /// True if any of it came from outside the file and must not be shown.
    pub(super) filled: bool,
}

/// A key and its value.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) node: Node,
}

impl Node {
    /// The entries of a table; none for any other value.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// True if some of the value came from outside the file.
    pub(super) fn is_filled(&self) -> bool {
        match &self.value {
            Value::String(text) => text.filled,
            Value::List(items) => items.iter().any(Node::is_filled),
            Value::Table(entries) => entries.iter().any(|entry| entry.node.is_filled()),
            Value::Boolean(_) | Value::Integer(_) | Value::Float(_) | Value::Broken => false,
        }
    }

    /// The value as written, on one line: what `Debug` of a config shows.
    pub(super) fn written(&self, document: &Document) -> String {
        match &self.value {
            Value::Boolean(value) => value.to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::String(_) | Value::Broken => format!("\"{}\"", document.written(&self.span)),
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(|item| item.written(document)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Table(entries) => {
                let entries: Vec<_> =
                    entries.iter().map(|entry| format!("{} = {}", entry.key, entry.node.written(document))).collect();
                format!("{{ {} }}", entries.join(", "))
            }
        }
    }
}

/// Parses a document and fills its strings. Syntax errors are returned alone, without a tree: what a broken file means
/// is a guess. Any other error leaves [`Value::Broken`] in its place.
pub(super) fn parse(document: &Document, filler: &mut Filler<'_>) -> (Option<Node>, Vec<Diagnostic>) {
    if let Some(error) = too_many_dots(document) {
        return (None, vec![error]);
    }
    let run = || parse_here(document, filler);
    std::thread::scope(|scope| {
        let parsed = std::thread::Builder::new()
            .name("config".to_string())
            .stack_size(PARSER_STACK_BYTES)
            .spawn_scoped(scope, run)
            .map(|thread| thread.join());
        match parsed {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => (None, vec![Diagnostic::in_file(document.path(), format!("cannot start a thread: {error}"))]),
        }
    })
}

/// The value of a literal that this program wrote itself, such as a default. None if it is not TOML.
pub(super) fn literal(toml: &str, span: Span) -> Option<Node> {
    let value = match DeValue::parse(toml).ok()?.into_inner() {
        DeValue::String(text) => Value::String(Text { text: text.into(), mapping: Mapping::default(), filled: false }),
        DeValue::Integer(integer) => Value::Integer(integer.as_str().parse().ok()?),
        DeValue::Boolean(boolean) => Value::Boolean(boolean),
        _ => return None,
    };
    Some(Node { span, value })
}

fn too_many_dots(document: &Document) -> Option<Diagnostic> {
    let mut start = 0;
    for line in document.text().split('\n') {
        if line.bytes().filter(|byte| *byte == b'.').count() > MAX_DOTS {
            return Some(
                document
                    .error(start..start + 1, format!("this line has more than {MAX_DOTS} dots"))
                    .help("keys cannot nest that deep; long SQL fits better into a file of its own (`sql_file`)"),
            );
        }
        start += line.len() + 1;
    }
    None
}

fn parse_here(document: &Document, filler: &mut Filler<'_>) -> (Option<Node>, Vec<Diagnostic>) {
    let (root, errors) = DeTable::parse_recoverable(document.text());
    if !errors.is_empty() {
        return (None, syntax_errors(document, &errors));
    }
    let mut builder = Builder { document, filler, errors: Vec::new() };
    let node = builder.node(Spanned::new(root.span(), DeValue::Table(root.into_inner())), 0);
    (Some(node), builder.errors)
}

/// The first error of each line.
fn syntax_errors(document: &Document, errors: &[toml::de::Error]) -> Vec<Diagnostic> {
    let mut lines = HashSet::new();
    let mut found = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let message = match error.message() {
            "duplicate key" => format!("`{}` is defined twice", document.written(&span)),
            "cannot recurse further; max recursion depth met" => too_deep(),
            other => format!("this is not TOML: {other}"),
        };
        let diagnostic = document.error(span, message);
        if lines.insert(diagnostic.line_column.map(|(line, _)| line)) {
            found.push(diagnostic);
        }
    }
    found.sort_by_key(|diagnostic| diagnostic.line_column);
    found.truncate(MAX_SYNTAX_ERRORS);
    found
}

fn too_deep() -> String {
    format!("tables and lists nest deeper than {MAX_DEPTH}")
}

struct Builder<'a, 'b> {
    document: &'a Document,
    filler: &'a mut Filler<'b>,
    errors: Vec<Diagnostic>,
}

impl Builder<'_, '_> {
    fn node(&mut self, value: Spanned<DeValue<'_>>, depth: usize) -> Node {
        let span = value.span();
        if depth > MAX_DEPTH {
            return self.broken(self.document.error(span.clone(), too_deep()), span);
        }
        let value = match value.into_inner() {
            DeValue::Boolean(value) => Value::Boolean(value),
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(value) => Value::Integer(value),
                Err(_) => {
                    let error = self.document.error(span.clone(), "this integer does not fit into 64 bits");
                    return self.broken(error, span);
                }
            },
            DeValue::Float(float) => match float.as_str().parse() {
                Ok(value) => Value::Float(value),
                Err(_) => return self.broken(self.document.error(span.clone(), "this is not a number"), span),
            },
            // `start = 2026-03-01T00:00:00Z` means the same with and without quotes.
            DeValue::Datetime(datetime) => {
                Value::String(Text { text: datetime.to_string(), mapping: Mapping::default(), filled: false })
            }
            DeValue::String(text) => return self.text(&text, span),
            DeValue::Array(items) => Value::List(items.into_iter().map(|item| self.node(item, depth + 1)).collect()),
            DeValue::Table(table) => Value::Table(self.entries(table, depth)),
        };
        Node { span, value }
    }

    fn entries(&mut self, table: DeTable<'_>, depth: usize) -> Vec<Entry> {
        let mut entries: Vec<Entry> = table
            .into_iter()
            .map(|(key, value)| {
                let node = self.node(value, depth + 1);
                Entry { key_span: key.span(), key: key.into_inner().into(), node }
            })
            .collect();
        entries.sort_by_key(|entry| entry.key_span.start);
        entries
    }

    fn text(&mut self, value: &str, span: Span) -> Node {
        let raw = self.document.text().get(span.clone()).unwrap_or_default();
        let mapping = Mapping::of_string(raw, span.start, value);
        match self.filler.fill(value, &mapping) {
            Ok(Filled { text, mapping, filled }) => Node { span, value: Value::String(Text { text, mapping, filled }) },
            Err(error) => self.broken(self.document.error(error.span, error.message).help(error.help), span),
        }
    }

    fn broken(&mut self, error: Diagnostic, span: Span) -> Node {
        self.errors.push(error);
        Node { span, value: Value::Broken }
    }
}
