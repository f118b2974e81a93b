//! A strptime pattern, compiled once.

use std::fmt::Write;

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{DateTime, NaiveDateTime, NaiveTime, Utc};

use super::TimestampFormatError;

/// A compiled strptime pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    items: Vec<Item<'static>>,
}

impl Pattern {
    /// Compiles `pattern`, and tries it: a pattern that can't read back a time it wrote would make every record bad.
    pub fn compile(pattern: &str) -> Result<Self, TimestampFormatError> {
        let flaw = |reason| TimestampFormatError::Pattern { pattern: pattern.to_owned(), reason };
        let items = StrftimeItems::new(pattern)
            .parse_to_owned()
            .map_err(|_| flaw("it has a specifier that strptime does not know"))?;
        let compiled = Self { items };
        let example = DateTime::<Utc>::from_timestamp(1_000_000_000, 0).ok_or_else(|| flaw("no example"))?;
        let mut text = String::new();
        if write!(text, "{}", example.format_with_items(compiled.items.iter())).is_err() {
            return Err(flaw("it has a specifier that strptime does not know"));
        }
        match compiled.read(&text) {
            Some(_) => Ok(compiled),
            None => Err(flaw("it needs year, month and day (such as %Y-%m-%d), and hours and minutes together")),
        }
    }

    /// Microseconds since the epoch. A date without a time is its midnight, a time without an offset is UTC.
    /// A leap second (`:60`) is no time.
    pub fn read(&self, text: &str) -> Option<i64> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, self.items.iter()).ok()?;
        if parsed.second() == Some(60) {
            return None;
        }
        if parsed.timestamp().is_none() && parsed.hour_div_12().is_none() && parsed.minute().is_none() {
            let date = parsed.to_naive_date().ok()?;
            return Some(micros(date.and_time(NaiveTime::MIN)));
        }
        match parsed.offset() {
            Some(_) => Some(parsed.to_datetime().ok()?.timestamp_micros()),
            None => Some(micros(parsed.to_naive_datetime_with_offset(0).ok()?)),
        }
    }
}

fn micros(time: NaiveDateTime) -> i64 {
    time.and_utc().timestamp_micros()
}
