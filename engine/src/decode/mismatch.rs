//! A value that does not fit its column, in words.

/// Longest piece of a value that a reason quotes, in characters.
const QUOTED: usize = 40;

/// Where, what was expected, what was found.
#[derive(Debug)]
pub(super) struct Mismatch {
    /// Innermost step first; put in order when shown.
    path: Vec<Step>,
    expected: String,
    found: String,
}

#[derive(Debug)]
enum Step {
    Field(String),
    Item(usize),
}

impl Mismatch {
    pub(super) fn new(expected: impl Into<String>, found: &str) -> Self {
        Self { path: Vec::new(), expected: expected.into(), found: shorten(found) }
    }

    /// The same, where `found` is short already.
    pub(super) fn worded(expected: impl Into<String>, found: String) -> Self {
        Self { path: Vec::new(), expected: expected.into(), found }
    }

    /// Adds the field in which the mismatch lies; called from the inside out.
    pub(super) fn in_field(mut self, name: &str) -> Self {
        self.path.push(Step::Field(name.to_owned()));
        self
    }

    /// Adds the list item in which the mismatch lies.
    pub(super) fn in_item(mut self, index: usize) -> Self {
        self.path.push(Step::Item(index));
        self
    }

    pub(super) fn reason(&self) -> String {
        let mut out = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Field(name) if out.is_empty() => out.push_str(name),
                Step::Field(name) => {
                    out.push('.');
                    out.push_str(name);
                }
                Step::Item(index) => out.push_str(&format!("[{index}]")),
            }
        }
        if !out.is_empty() {
            out.push_str(": ");
        }
        format!("{out}expected {}, found {}", self.expected, self.found)
    }
}

/// The beginning of `text`, on one line.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(QUOTED).is_some() {
        short.push('…');
    }
    short
}
