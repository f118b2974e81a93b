//! The elements of a JSON array, found without changing a byte of them.
//!
//! The one idea: only structure is looked at — strings, brackets, commas — with a bound on depth. Whether an element is
//! what the schema wants, down to its numbers, is the decoder's to say, record by record; what must be certain here is
//! where each ends, since a body is taken whole or not at all.

use std::ops::Range;

use memchr::memchr2;

/// Deeper nesting is refused: no event has it, and it costs a bit a level.
const MAX_DEPTH: usize = 128;

/// The records in one JSON text: each element of an array, or the one object.
#[derive(Debug)]
pub(super) struct Elements<'b> {
    body: &'b [u8],
    at: usize,
    next: Next,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The text itself.
    Text,
    /// The first element, or the end of the array.
    First,
    /// An element.
    Element,
    /// A comma, or the end of the array.
    Comma,
    /// Nothing but white space.
    Nothing,
    /// Nothing at all: it was told.
    Over,
}

impl<'b> Elements<'b> {
    pub(super) fn new(body: &'b [u8]) -> Self {
        let at = if body.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { body, at, next: Next::Text }
    }

    fn step(&mut self) -> Result<Option<Range<usize>>, String> {
        loop {
            self.skip_space();
            let byte = self.body.get(self.at).copied();
            match (self.next, byte) {
                (Next::Over | Next::Nothing, None) => return Ok(None),
                (Next::Over, Some(_)) => return Ok(None),
                (Next::Nothing, Some(_)) => return Err(self.wrong("there is more behind its end")),
                (_, None) => return Err("the JSON ends too soon".to_string()),
                (Next::Text, Some(b'[')) => self.pass(Next::First),
                (Next::Text, Some(b'{')) => return self.element(Next::Nothing),
                (Next::Text, Some(_)) => return Err(self.wrong("send an object or an array of objects")),
                (Next::First | Next::Comma, Some(b']')) => self.pass(Next::Nothing),
                (Next::First | Next::Element, Some(_)) => return self.element(Next::Comma),
                (Next::Comma, Some(b',')) => self.pass(Next::Element),
                (Next::Comma, Some(_)) => return Err(self.wrong("there is no comma between two elements")),
            }
        }
    }

    fn pass(&mut self, next: Next) {
        self.at += 1;
        self.next = next;
    }

    /// One value, from here to its end.
    fn element(&mut self, next: Next) -> Result<Option<Range<usize>>, String> {
        let start = self.at;
        match self.body[start] {
            b'{' | b'[' => self.nested()?,
            b'"' => self.string()?,
            b',' | b']' | b'}' | b':' => return Err(self.wrong("an element is missing")),
            _ => self.scalar(),
        }
        self.next = next;
        Ok(Some(start..self.at))
    }

    /// An object or array: to the bracket that closes the one here.
    fn nested(&mut self) -> Result<(), String> {
        // A bit a level: set for an object.
        let (mut objects, mut depth) = (0u128, 0);
        loop {
            match self.body.get(self.at) {
                None => return Err("the JSON ends too soon".to_string()),
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(open @ (b'{' | b'[')) => {
                    if depth == MAX_DEPTH {
                        return Err(self.wrong(&format!("it is nested deeper than {MAX_DEPTH} levels")));
                    }
                    objects = objects << 1 | u128::from(*open == b'{');
                    depth += 1;
                }
                Some(close @ (b'}' | b']')) => {
                    if (objects & 1 == 1) != (*close == b'}') {
                        return Err(self.wrong("a bracket closes what another kind opened"));
                    }
                    objects >>= 1;
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                Some(_) => {}
            }
            self.at += 1;
        }
    }

    /// A string: behind its closing quote.
    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            let rest = self.body.get(self.at..).unwrap_or_default();
            let Some(found) = memchr2(b'"', b'\\', rest) else {
                return Err("a string in the JSON does not end".to_string());
            };
            let escape = rest[found] == b'\\';
            self.at += found + if escape { 2 } else { 1 };
            if !escape {
                return Ok(());
            }
        }
    }

    /// A number or word: to what cannot be part of one.
    fn scalar(&mut self) {
        let end =
            |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}' | b'[' | b'{' | b'"' | b':');
        let rest = &self.body[self.at..];
        self.at += rest.iter().position(end).unwrap_or(rest.len());
    }

    fn skip_space(&mut self) {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += rest.iter().position(|byte| !space(byte)).unwrap_or(rest.len());
    }

    fn wrong(&self, what: &str) -> String {
        format!("the JSON is broken at byte {}: {what}", self.at)
    }
}

impl Iterator for Elements<'_> {
    type Item = Result<Range<usize>, String>;

    /// The next element; nothing comes behind an error.
    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().transpose();
        if matches!(step, None | Some(Err(_))) {
            self.next = Next::Over;
        }
        step
    }
}
