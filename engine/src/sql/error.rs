//! Why a statement cannot run as a pipeline, where in its text, and what to write instead.

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::tokenizer::Span;

/// A statement that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// What is wrong.
    pub message: String,
    /// Line and column in the SQL text, from 1.
    pub position: Option<(usize, usize)>,
    /// What to write instead.
    pub help: Option<String>,
}

impl SqlError {
    /// An error without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), position: None, help: None }
    }

    /// Adds what to write instead.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the place, unless there is one already or the span is empty.
    pub fn at(mut self, span: Option<Span>) -> Self {
        if self.position.is_none() {
            self.position = span
                .filter(|span| span.start.line > 0)
                .map(|span| (span.start.line as usize, span.start.column as usize));
        }
        self
    }

    /// Carries this error through DataFusion's planner; [`SqlError::from`] takes it out again.
    pub(crate) fn into_datafusion(self) -> DataFusionError {
        DataFusionError::External(Box::new(self))
    }
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> Self {
        let span = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| Span {
            start: (span.start.line, span.start.column).into(),
            end: (span.end.line, span.end.column).into(),
        });
        let root = error.find_root();
        if let DataFusionError::External(inner) = root
            && let Some(own) = inner.downcast_ref::<SqlError>()
        {
            return own.clone().at(span);
        }
        match root {
            DataFusionError::SchemaError(schema_error, _) => schema_message(schema_error).at(span),
            DataFusionError::SQL(parser_error, _) => {
                let text = parser_error.to_string();
                let text = text.strip_prefix("sql parser error: ").unwrap_or(&text).to_string();
                let (message, position) = split_location(&text);
                Self { message, position, help: None }
            }
            other => {
                let text = other.strip_backtrace();
                let text = text.strip_prefix("Error during planning: ").unwrap_or(&text);
                Self::new(lowercase_first(text.lines().next().unwrap_or(text))).at(span)
            }
        }
    }
}

/// A column that is not there, with the nearest name that is.
fn schema_message(error: &SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let message = format!("unknown column `{}`", field.flat_name());
            let nearest = valid_fields
                .iter()
                .map(|valid| (strsim::jaro_winkler(&valid.name.to_lowercase(), &field.name.to_lowercase()), valid))
                .max_by(|a, b| a.0.total_cmp(&b.0));
            match nearest {
                Some((_, valid)) if valid.name.eq_ignore_ascii_case(&field.name) && valid.name != field.name => {
                    SqlError::new(message).help(format!(
                        "names without quotes are folded to lower case: write \"{}\" in double quotes",
                        valid.name
                    ))
                }
                Some((likeness, valid)) if likeness > 0.7 => {
                    SqlError::new(message).help(format!("did you mean `{}`?", valid.name))
                }
                _ => {
                    let names: Vec<_> = valid_fields.iter().map(|valid| format!("`{}`", valid.name)).collect();
                    SqlError::new(message).help(format!("the columns here are {}", names.join(", ")))
                }
            }
        }
        SchemaError::AmbiguousReference { field } => {
            SqlError::new(format!("column `{}` is ambiguous", field.flat_name())).help("name its table: `table.column`")
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            SqlError::new(format!("two columns are called `{name}`")).help("give one of them another name with AS")
        }
    }
}

/// Takes sqlparser's ` at Line: 3, Column: 14` off a message.
fn split_location(text: &str) -> (String, Option<(usize, usize)>) {
    let Some((message, location)) = text.rsplit_once(" at Line: ") else {
        return (lowercase_first(text), None);
    };
    let position = location
        .split_once(", Column: ")
        .and_then(|(line, column)| Some((line.parse().ok()?, column.trim().trim_end_matches('"').parse().ok()?)));
    let message = message.trim_start_matches("ParserError(\"").trim_start_matches("TokenizerError(\"");
    (lowercase_first(message), position)
}

fn lowercase_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        // An acronym such as GROUP BY keeps its capitals.
        Some(first) if !chars.clone().next().is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_string(),
    }
}
