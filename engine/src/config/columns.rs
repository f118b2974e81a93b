//! `schema` and `schema_file`: the columns of a source or a reference table, in the order written.

use serde_spanned::Spanned as At;

use super::document::{Document, Span, shorten};
use super::read::{Findings, read};
use super::resolve::Context;
use super::tree::{self, Entry, Node, Text, Value};
use super::written::FieldKeys;
use crate::diagnostic::Diagnostic;
use crate::schema::{FieldError, SourceField, SourceSchema};

/// Example for whoever wrote something else.
const EXAMPLE: &str = "write schema = { ts = \"timestamp\", amount = \"double\" }";

/// The columns of the table `owner`; none if none are declared, or if they are wrong.
pub(super) fn resolve(
    owner: &Node,
    title: &str,
    schema_file: Option<&At<String>>,
    context: &Context<'_>,
) -> Option<SourceSchema> {
    match (owner.get("schema"), schema_file) {
        (None, None) => None,
        (Some(_), Some(file)) => {
            context.refuse(file.span(), "`schema` and `schema_file` are both given", "keep one of them");
            None
        }
        (Some(schema), None) => {
            let reader = Columns { document: &context.document, findings: &context.findings };
            reader.table(schema, &format!("{title}.schema"))
        }
        (None, Some(file)) => from_file(file, context),
    }
}

fn from_file(file: &At<String>, context: &Context<'_>) -> Option<SourceSchema> {
    let document = context.open(file, "schema")?;
    let (root, errors) = tree::parse(&document, &mut context.filler.borrow_mut());
    context.findings.extend(errors);
    Columns { document: &document, findings: &context.findings }.table(&root?, "")
}

struct Columns<'a> {
    document: &'a Document,
    findings: &'a Findings,
}

impl Columns<'_> {
    fn table(&self, schema: &Node, title: &str) -> Option<SourceSchema> {
        let Value::Table(entries) = &schema.value else {
            if !matches!(schema.value, Value::Broken) {
                self.refuse(schema.span.clone(), "`schema` is a table of columns", EXAMPLE);
            }
            return None;
        };
        if entries.is_empty() {
            let message = "the schema has no columns";
            let error = match schema.span.is_empty() {
                true => Diagnostic::in_file(self.document.path(), message),
                false => self.document.error(schema.span.clone(), message),
            };
            self.findings.add(error.help("write one line a column, such as ts = \"timestamp\""));
            return None;
        }
        let fields: Vec<_> = entries.iter().map(|entry| self.column(entry, title)).collect();
        Some(SourceSchema { fields: fields.into_iter().collect::<Option<_>>()? })
    }

    fn column(&self, entry: &Entry, title: &str) -> Option<SourceField> {
        let (node, text, format) = match &entry.node.value {
            Value::String(text) => (&entry.node, text, None),
            Value::Table(_) => {
                let dot = if title.is_empty() { "" } else { "." };
                let title = format!("{title}{dot}{}", entry.key);
                let keys: FieldKeys = read(&entry.node, &title, self.document, self.findings)?;
                let node = entry.node.get("type")?;
                let Value::String(text) = &node.value else { return None };
                (node, text, keys.format)
            }
            Value::Broken => return None,
            _ => {
                let message = format!("column `{}` takes a type", shorten(&entry.key));
                let help = "write \"bigint\" or { type = \"timestamp\", format = \"epoch_ms\" }";
                self.refuse(entry.node.span.clone(), message, help);
                return None;
            }
        };
        let spelled = format.as_ref().map(|format| format.get_ref().as_str());
        match SourceField::parse(entry.key.as_str(), &text.text, spelled) {
            Ok(field) => Some(field),
            Err(error) => {
                self.findings.add(self.explain(error, node, text, format.as_ref()));
                None
            }
        }
    }

    /// The diagnostic for a wrong type or format, at the very character where that is known.
    fn explain(&self, error: FieldError, node: &Node, text: &Text, format: Option<&At<String>>) -> Diagnostic {
        let format_filled = |span: &Span| self.document.written(span).contains("${");
        match (error, format) {
            (_, _) if text.filled => self.document.error(
                node.span.clone(),
                format!("what \"{}\" stands for is no type", self.document.written(&node.span)),
            ),
            (FieldError::Type(error), _) => {
                let start = text.mapping.file_offset(error.offset);
                let rest = text.text.get(error.offset..).unwrap_or_default();
                let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                self.document.error(start..start + word.max(1), error.reason)
            }
            (_, Some(format)) if format_filled(&format.span()) => self.document.error(
                format.span(),
                format!("what \"{}\" stands for is no timestamp format", self.document.written(&format.span())),
            ),
            (other, Some(format)) => self.document.error(format.span(), other.to_string()),
            (other, None) => self.document.error(node.span.clone(), other.to_string()),
        }
    }

    fn refuse(&self, span: Span, message: impl Into<String>, help: &str) {
        self.findings.add(self.document.error(span, message).help(help));
    }
}
