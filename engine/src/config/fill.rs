//! `${NAME}` and `${file:PATH}` in strings, and keeping what they stand for out of everything that is shown.
//!
//! The one idea: a filled string keeps its written form beside it. Messages and `Debug` show the written form; text
//! that comes from elsewhere (a planner, a connector, a log line) goes through [`Secrets::redact`].

use std::collections::BTreeMap;
use std::env::VarError;
use std::fmt;
use std::path::Path;

use super::document::{Span, read_limited, shorten};
use super::mapping::Mapping;

/// Largest file that `${file:PATH}` takes: tokens and certificates, not data.
const MAX_SECRET_BYTES: usize = 64 * 1024;

/// Values shorter than this are not looked for in foreign text: blanking every "1" would hide the message, and so
/// short a value is no secret.
const MIN_REDACTED_BYTES: usize = 4;

/// Where environment variables come from; a parameter so that tests own it.
pub type Environment<'a> = &'a (dyn Fn(&str) -> Result<String, VarError> + Sync);

/// What `${…}` stood for, to be taken out of text again.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Value to written form.
    values: BTreeMap<String, String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.values.len())
    }
}

impl Secrets {
    /// `text` with every filled-in value turned back into the `${…}` it came from, also where it was escaped for JSON
    /// or `Debug`. Values under four bytes stay.
    pub fn redact(&self, text: &str) -> String {
        let mut forms: Vec<(String, &str)> = Vec::new();
        for (value, written) in &self.values {
            let debug = format!("{value:?}");
            let json = serde_json::Value::from(value.as_str()).to_string();
            for form in [value.as_str(), &debug[1..debug.len() - 1], &json[1..json.len() - 1]] {
                if form.len() >= MIN_REDACTED_BYTES && text.contains(form) {
                    forms.push((form.to_string(), written));
                }
            }
        }
        // The longest first, so that a value inside another one does not leave its rest standing.
        forms.sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
        forms.iter().fold(text.to_string(), |text, (form, written)| text.replace(form, written))
    }

    /// Takes over what another file was filled with.
    pub fn join(&mut self, others: &Self) {
        self.values.extend(others.values.iter().map(|(value, written)| (value.clone(), written.clone())));
    }

    /// Takes note of a secret that the file spells out; of one that was filled in, what it was written as is known already.
    pub(super) fn hide(&mut self, value: &str) {
        self.show_as(value, "***");
    }

    /// As [`hide`](Self::hide), of one of which a part may be shown.
    pub(super) fn show_as(&mut self, value: &str, shown: &str) {
        if !self.values.contains_key(value) {
            self.add(value, shown);
        }
    }

    /// True if there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn add(&mut self, value: &str, written: &str) {
        if !value.trim().is_empty() {
            self.values.insert(value.to_string(), written.to_string());
        }
    }
}

/// A string after filling.
pub(super) struct Filled {
    pub(super) text: String,
    pub(super) mapping: Mapping,
    /// True if any of it came from elsewhere.
    pub(super) filled: bool,
}

/// What went wrong with one `${…}`.
pub(super) struct FillError {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) help: String,
}

/// Fills strings.
pub(super) struct Filler<'a> {
    pub(super) environment: Environment<'a>,
    /// Folder that `${file:PATH}` starts from.
    pub(super) folder: &'a Path,
    pub(super) secrets: Secrets,
}

impl Filler<'_> {
    /// Fills every `${…}` in `text`; `$${` stands for `${`.
    pub(super) fn fill(&mut self, text: &str, mapping: &Mapping) -> Result<Filled, FillError> {
        let mut out = Filled { text: String::with_capacity(text.len()), mapping: Mapping::default(), filled: false };
        let mut at = 0;
        while let Some(found) = text[at..].find("${").map(|found| at + found) {
            let escaped = text[..found].ends_with('$') && found > at;
            let plain_end = if escaped { found - 1 } else { found };
            out.copy(text, mapping, at..plain_end);
            if escaped {
                out.copy(text, mapping, found..found + 2);
                at = found + 2;
                continue;
            }
            let span_to = |end: usize| mapping.file_offset(found)..mapping.file_offset(end - 1) + 1;
            let Some(length) = text[found..].find('}') else {
                return Err(FillError {
                    span: span_to(found + 2),
                    message: "`${` is never closed".to_string(),
                    help: "write `${NAME}`, or `$${` for the characters themselves".to_string(),
                });
            };
            let end = found + length + 1;
            let value = self.value(&text[found + 2..end - 1]).map_err(|(message, help)| FillError {
                span: span_to(end),
                message,
                help,
            })?;
            self.secrets.add(&value, &text[found..end]);
            out.mapping.push(out.text.len(), mapping.file_offset(found), false);
            out.text.push_str(&value);
            out.filled = true;
            at = end;
        }
        out.copy(text, mapping, at..text.len());
        Ok(out)
    }

    /// What stands for the inside of `${…}`, or a message and what to do.
    fn value(&self, inside: &str) -> Result<String, (String, String)> {
        if let Some(path) = inside.strip_prefix("file:") {
            return self.file(path.trim());
        }
        let mut chars = inside.chars();
        let starts_well = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err((
                format!("`${{{}}}` does not name an environment variable", shorten(inside)),
                "write `${NAME}`, `${file:PATH}`, or `$${` for the characters themselves".to_string(),
            ));
        }
        match (self.environment)(inside) {
            Ok(value) => Ok(value),
            Err(VarError::NotPresent) => Err((
                format!("the environment variable `{inside}` is not set"),
                format!("set it before starting watershed: export {inside}=…"),
            )),
            Err(VarError::NotUnicode(_)) => Err((
                format!("the environment variable `{inside}` is not UTF-8 text"),
                "only text can stand in a config".to_string(),
            )),
        }
    }

    fn file(&self, path: &str) -> Result<String, (String, String)> {
        let place = "a relative path starts from the folder of the region file".to_string();
        let bytes = read_limited(&self.folder.join(path), MAX_SECRET_BYTES)
            .map_err(|error| (format!("cannot read the file `{path}`: {error}"), place.clone()))?;
        if bytes.len() > MAX_SECRET_BYTES {
            return Err((format!("the file `{path}` is larger than {MAX_SECRET_BYTES} bytes"), place));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(text.trim().to_string()),
            Err(_) => Err((format!("the file `{path}` is not UTF-8 text"), place)),
        }
    }
}

impl Filled {
    fn copy(&mut self, text: &str, mapping: &Mapping, span: Span) {
        self.mapping.push_part(mapping, span.clone(), self.text.len());
        self.text.push_str(&text[span]);
    }
}
