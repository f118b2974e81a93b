//! One CSV record to its fields (RFC 4180).

use std::ops::Range;

use super::super::CsvOptions;
use super::super::arena::Source;

/// Where a field's text is.
#[derive(Debug, Clone)]
pub(in super::super) enum Field {
    /// In the record, as it stands.
    Plain(Range<usize>),
    /// In the splitter's scratch, with doubled quotes made single.
    Unquoted(Range<usize>),
}

/// Splits records; keeps its memory between them.
pub(in super::super) struct Splitter {
    delimiter: u8,
    quote: u8,
    fields: Vec<Field>,
    scratch: String,
}

/// The fields of one record.
pub(in super::super) struct Row<'a> {
    fields: &'a [Field],
    scratch: &'a str,
}

impl<'a> Row<'a> {
    pub(in super::super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// The text that field `i` is in, and where.
    pub(in super::super) fn field(&self, i: usize, record: Source<'a>) -> (Source<'a>, Range<usize>) {
        match &self.fields[i] {
            Field::Plain(range) => (record, range.clone()),
            Field::Unquoted(range) => (Source::scratch(self.scratch), range.clone()),
        }
    }
}

impl Splitter {
    /// `None` if delimiter and quote can't be told apart from each other, from a line break or from text.
    pub(in super::super) fn new(options: &CsvOptions) -> Option<Self> {
        let CsvOptions { delimiter, quote, .. } = *options;
        let usable = |b: u8| b.is_ascii() && !matches!(b, b'\n' | b'\r');
        (usable(delimiter) && usable(quote) && delimiter != quote).then(|| Self {
            delimiter,
            quote,
            fields: Vec::new(),
            scratch: String::new(),
        })
    }

    /// The fields of the record at `span` of `text`. A quote opens a quoted field only where the field begins; a
    /// carriage return at the record's end belongs to the line break.
    pub(in super::super) fn split(&mut self, text: &str, span: Range<usize>) -> Result<Row<'_>, &'static str> {
        self.fields.clear();
        self.scratch.clear();
        let bytes = text.as_bytes();
        let bytes = &bytes[..span.end];
        let bytes = bytes.strip_suffix(b"\r").filter(|rest| rest.len() >= span.start).unwrap_or(bytes);
        let mut at = span.start;
        loop {
            at = if bytes.get(at) == Some(&self.quote) {
                self.quoted(text, bytes, at + 1)?
            } else {
                let end = find(bytes, at, self.delimiter).unwrap_or(bytes.len());
                self.fields.push(Field::Plain(at..end));
                end
            };
            match bytes.get(at) {
                None => break,
                Some(b) if *b == self.delimiter => at += 1,
                Some(_) => return Err("text behind a closing quote"),
            }
        }
        Ok(Row { fields: &self.fields, scratch: &self.scratch })
    }

    /// Reads a quoted field from behind its opening quote; gives the position behind its closing one.
    fn quoted(&mut self, text: &str, bytes: &[u8], start: usize) -> Result<usize, &'static str> {
        let first = find(bytes, start, self.quote).ok_or("quoted field without an end")?;
        if bytes.get(first + 1) != Some(&self.quote) {
            self.fields.push(Field::Plain(start..first));
            return Ok(first + 1);
        }
        let from = self.scratch.len();
        let mut piece = start;
        let mut quote = first;
        while bytes.get(quote + 1) == Some(&self.quote) {
            // With one of the two quotes.
            self.scratch.push_str(&text[piece..=quote]);
            piece = quote + 2;
            quote = find(bytes, piece, self.quote).ok_or("quoted field without an end")?;
        }
        self.scratch.push_str(&text[piece..quote]);
        self.fields.push(Field::Unquoted(from..self.scratch.len()));
        Ok(quote + 1)
    }
}

fn find(bytes: &[u8], from: usize, wanted: u8) -> Option<usize> {
    memchr::memchr(wanted, &bytes[from..]).map(|i| from + i)
}
