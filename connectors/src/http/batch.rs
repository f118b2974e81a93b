//! From a body to records, all of them or none.

use std::io::Cursor;

use axum::http::{HeaderMap, header};
use memchr::memchr_iter;

use super::array::Elements;
use super::refusal::Refusal;
use super::space::Space;
use crate::framing::{Framed, Framer, Framing};
use crate::records::Records;
use crate::size::ByteSize;

/// What a record takes of memory beside its payload: its newline, its span, its place.
const PER_RECORD: usize = 1 + 8 + 8;

/// How records lie in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One after the other.
    Framed(Framing),
    /// In a JSON array; or one object.
    Array,
    /// The body is one record.
    Whole,
}

impl Shape {
    /// What the headers of a request to a source of such records say.
    pub(super) fn of(framing: Option<Framing>, headers: &HeaderMap) -> Result<Self, Refusal> {
        let Some(framing) = framing else { return Ok(Self::Whole) };
        let value = headers.get(header::CONTENT_TYPE).map_or(Ok(""), |value| value.to_str());
        let essence = value.unwrap_or("?").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match (framing, essence.as_str()) {
            (_, "" | "text/plain") => Ok(Self::Framed(framing)),
            (Framing::Lines, "application/x-ndjson" | "application/ndjson" | "application/jsonl") => {
                Ok(Self::Framed(framing))
            }
            (Framing::Lines, "application/json") => Ok(Self::Array),
            (Framing::Csv { .. }, "text/csv") => Ok(Self::Framed(framing)),
            (Framing::Lines, _) => Err(Refusal::Type(
                "send application/x-ndjson (one object a line) or application/json (an array of objects)".to_string(),
            )),
            (Framing::Csv { .. }, _) => Err(Refusal::Type("send text/csv".to_string())),
        }
    }
}

/// Cuts `body`, whose bytes are in `space` already; then the records are instead.
pub(super) fn cut(body: Vec<u8>, shape: Shape, space: &mut Space) -> Result<Records, Refusal> {
    let before = body.len();
    let records = match shape {
        Shape::Framed(Framing::Lines) => lines(&body, space)?,
        Shape::Framed(framing) => csv(body, framing, space)?,
        Shape::Array => array(&body, space)?,
        Shape::Whole => whole(&body, space)?,
    };
    space.shrink(before);
    Ok(records)
}

/// One object a line, as files have it: blank lines are none, and neither `\r` nor a byte order mark is part of any.
fn lines(body: &[u8], space: &mut Space) -> Result<Records, Refusal> {
    space.grow(body.len() + PER_RECORD * (memchr_iter(b'\n', body).count() + 1))?;
    let mut records = Records::default();
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut start = 0;
    for end in memchr_iter(b'\n', text).chain([text.len()]) {
        let line = &text[start..end];
        start = end + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.trim_ascii().is_empty() {
            records.push(line, 0);
        }
    }
    Ok(records)
}

fn csv(body: Vec<u8>, framing: Framing, space: &mut Space) -> Result<Records, Refusal> {
    let length = body.len();
    space.grow(length + PER_RECORD * (memchr_iter(b'\n', &body).count() + 1))?;
    let mut records = Records::default();
    let mut framer = Framer::new(framing, ByteSize(length as u64), 0, None);
    let mut body = Cursor::new(body);
    let checked = |framed| match framed {
        Framed::NoHeader(reason) => Err(Refusal::Broken(format!("the first line is no CSV header: {reason}"))),
        Framed::Full | Framed::Hungry => Ok(()),
    };
    // Reading from memory does not fail.
    while framer.fill(&mut body).is_ok_and(|bytes| bytes > 0) {
        checked(framer.frame(&mut records, usize::MAX))?;
    }
    checked(framer.finish(&mut records))?;
    match records.rejected().first() {
        Some(rejected) => Err(Refusal::Broken(rejected.reason.clone())),
        None => Ok(records),
    }
}

fn array(body: &[u8], space: &mut Space) -> Result<Records, Refusal> {
    let (mut count, mut bytes) = (0, 0);
    for element in Elements::new(body) {
        bytes += element.map_err(Refusal::Broken)?.len();
        count += 1;
    }
    space.grow(bytes + PER_RECORD * count)?;
    let mut records = Records::default();
    for element in Elements::new(body).flatten() {
        records.push(&body[element], 0);
    }
    Ok(records)
}

fn whole(body: &[u8], space: &mut Space) -> Result<Records, Refusal> {
    let mut records = Records::default();
    if !body.is_empty() {
        space.grow(body.len() + PER_RECORD)?;
        records.push(body, 0);
    }
    Ok(records)
}
