//! What a user is told when a file is wrong: what, where, and what to write instead.
//!
//! The one idea: a diagnostic holds text as the user wrote it, never what it was filled in with, so that it can be
//! printed anywhere. Rendering is a pure function; only its caller knows whether there is a terminal.

use std::fmt;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// Longest part of a source line that is shown, in characters: a terminal's width or two.
const SHOWN_COLUMNS: usize = 160;

/// A place in a file that a user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file, as the user would name it.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters are meant; at least 1.
    pub width: usize,
    /// The whole line as written.
    pub source_line: String,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file it is in.
    pub file: Option<PathBuf>,
    /// Line and column, from 1; the column counts characters.
    pub line_column: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The line as it stands in the file.
    pub source_line: Option<String>,
    /// How many characters of that line are meant.
    pub width: usize,
}

impl Diagnostic {
    /// A diagnostic without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { file: None, line_column: None, message: message.into(), help: None, source_line: None, width: 1 }
    }

    /// A diagnostic about something at `location`.
    pub fn at(location: Location, message: impl Into<String>) -> Self {
        Self {
            file: Some(location.file),
            line_column: Some((location.line, location.column)),
            message: message.into(),
            help: None,
            source_line: Some(location.source_line),
            width: location.width,
        }
    }

    /// A diagnostic about a whole file.
    pub fn in_file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: Some(file.to_path_buf()), ..Self::new(message) }
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The text for a terminal or a log, ending with a newline.
    pub fn render(&self, color: bool) -> String {
        let paint = Paint { color };
        let mut out = format!("{}{}\n", paint.red("error"), paint.bold(&format!(": {}", printable(&self.message))));
        let gutter = match self.line_column {
            Some((line, _)) => line.to_string().len(),
            None => 1,
        };
        let blank = " ".repeat(gutter);
        if let Some(file) = &self.file {
            let place = match self.line_column {
                Some((line, column)) => format!("{}:{line}:{column}", file.display()),
                None => file.display().to_string(),
            };
            out.push_str(&format!("{blank}{} {}\n", paint.blue("-->"), printable(&place)));
        }
        if let (Some(line), Some((number, column))) = (&self.source_line, self.line_column) {
            let (shown, start, width) = excerpt(line, column, self.width);
            let bar = paint.blue("|");
            out.push_str(&format!("{blank} {bar}\n"));
            out.push_str(&format!("{} {bar} {shown}\n", paint.blue(&number.to_string())));
            out.push_str(&format!("{blank} {bar} {}{}\n", " ".repeat(start), paint.red(&"^".repeat(width))));
        }
        if let Some(help) = &self.help {
            let indent = format!("\n{blank}         ");
            out.push_str(&format!("{blank} {} {}\n", paint.blue("= help:"), printable(help).replace('\n', &indent)));
        }
        out
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Diagnostic {}

/// Renders several, with a blank line between them.
pub fn render_all<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>, color: bool) -> String {
    let rendered: Vec<_> = diagnostics.into_iter().map(|diagnostic| diagnostic.render(color)).collect();
    rendered.join("\n")
}

/// The name among `known` that `written` was most likely meant to be.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &name.to_lowercase()), name))
        // A third of the letters may be wrong; of short names one, but not all.
        .filter(|(distance, name)| {
            let letters = name.chars().count();
            *distance <= letters.max(3) / 3 && *distance < letters
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The part of `line` around `column`, where the mark starts in it, and how wide it is.
fn excerpt(line: &str, column: usize, width: usize) -> (String, usize, usize) {
    let chars: Vec<char> = line.chars().map(visible).collect();
    let start = column.saturating_sub(1).min(chars.len());
    let width = width.clamp(1, (chars.len() - start).max(1));
    if chars.len() <= SHOWN_COLUMNS {
        return (chars.into_iter().collect(), start, width);
    }
    let from = start.saturating_sub(SHOWN_COLUMNS / 4);
    let to = (from + SHOWN_COLUMNS).min(chars.len());
    let head = if from > 0 { "…" } else { "" };
    let tail = if to < chars.len() { "…" } else { "" };
    let shown: String = chars[from..to].iter().collect();
    (format!("{head}{shown}{tail}"), start - from + head.chars().count(), width.min(to - start).max(1))
}

/// Keeps a hostile file from steering the terminal.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() || is_bidi_control(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { visible(c) }).collect()
}

struct Paint {
    color: bool,
}

impl Paint {
    fn red(&self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn blue(&self, text: &str) -> String {
        self.with("1;34", text)
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}
