//! What a value that has a type of its own means to a declared column: the table of [`super::fit`], value by value, for
//! formats that are read message by message.

use std::borrow::Cow;
use std::fmt::Write;

use chrono::{DateTime, NaiveTime, SecondsFormat, Utc};

use super::arena::Source;
use super::column::Column;
use super::csv::push_field;
use super::mismatch::{Mismatch, shorten};
use super::number::{self, Rest};
use super::time::{Clock, readable};
use super::written;

const DAY: i64 = 86_400_000_000;

/// A value without an inside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Typed<'a> {
    Boolean(bool),
    /// Any integer of 64 bits, signed or not.
    Integer(i128),
    Float(f32),
    Double(f64),
    /// An unscaled number, and its digits behind the point.
    Decimal(i128, u32),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Days since the epoch.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since the epoch.
    Timestamp(i64),
}

impl Column {
    /// Pushes a value; `kind` is its type as its format calls it, for the reason.
    pub(super) fn push_typed(&mut self, value: Typed<'_>, kind: &str) -> Result<(), Mismatch> {
        if self.takes(value) {
            return Ok(());
        }
        let found = format!("{} ({kind})", shorten(&value.text()));
        Err(Mismatch::worded(self.expectation(), found))
    }

    /// Pushes the value if the column takes it. Texts are read as fields of CSV.
    fn takes(&mut self, value: Typed<'_>) -> bool {
        if let Typed::Text(text) = value
            && !matches!(self, Self::String(_))
        {
            return push_field(self, Source::scratch(text), 0..text.len()).is_ok();
        }
        match self {
            Self::Boolean(c) => put(value.boolean(), |value| c.push(value)),
            Self::Int(c) => put(value.integer().and_then(|value| i32::try_from(value).ok()), |value| c.push(value)),
            Self::BigInt(c) => put(value.integer().and_then(|value| i64::try_from(value).ok()), |value| c.push(value)),
            Self::Float(c) => put(value.float(), |value| c.push(value)),
            Self::Double(c) => put(value.double(), |value| c.push(value)),
            Self::Decimal { values, precision, scale } => {
                put(value.decimal(*precision, *scale), |value| values.push(value))
            }
            Self::Date(c) => put(value.date(), |value| c.push(value)),
            Self::Timestamp { values, clock, .. } => put(value.timestamp(clock), |value| values.push(value)),
            Self::String(c) => put(value.string(), |text| c.push_owned(&text)),
            Self::Bytes(c) => match value {
                Typed::Bytes(bytes) => c.push_with(|out| {
                    out.extend_from_slice(bytes);
                    true
                }),
                _ => false,
            },
            Self::Json(c) => {
                let mut json = String::new();
                value.write_json(&mut json);
                c.push_owned(&json);
                true
            }
            Self::List(_) | Self::Struct(_) | Self::Map(_) => false,
        }
    }
}

/// Pushes a value if there is one.
fn put<T>(value: Option<T>, push: impl FnOnce(T)) -> bool {
    value.map(push).is_some()
}

impl Typed<'_> {
    fn boolean(self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(value),
            _ => None,
        }
    }

    /// Microseconds since the epoch.
    fn timestamp(self, clock: &Clock) -> Option<i64> {
        match self {
            Self::Timestamp(us) => Some(us).filter(readable),
            Self::Date(day) => i64::from(day).checked_mul(DAY).filter(readable),
            Self::Integer(value) => clock.read_integer(i64::try_from(value).ok()?),
            _ => None,
        }
    }

    /// What a string column holds; bytes only if they are text.
    fn string(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            _ => Some(self.text()),
        }
    }

    fn integer(self) -> Option<i128> {
        match self {
            Self::Integer(value) => Some(value),
            Self::Float(_) | Self::Double(_) | Self::Decimal(..) => self.decimal(38, 0),
            _ => None,
        }
    }

    fn double(self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(value as f64),
            Self::Float(value) => Some(f64::from(value)),
            Self::Double(value) => Some(value),
            Self::Decimal(..) => self.text().parse().ok(),
            _ => None,
        }
    }

    fn float(self) -> Option<f32> {
        match self {
            Self::Integer(value) => Some(value as f32),
            Self::Float(value) => Some(value),
            Self::Double(value) => Some(value as f32),
            Self::Decimal(..) => self.text().parse().ok(),
            _ => None,
        }
    }

    fn date(self) -> Option<i32> {
        let day = match self {
            Self::Date(day) => day,
            Self::Timestamp(us) => i32::try_from(us.div_euclid(DAY)).ok()?,
            _ => return None,
        };
        i64::from(day).checked_mul(DAY).filter(readable).map(|_| day)
    }

    /// The same number with `scale` digits behind the point; none if it needs more, or more than `precision` in all.
    fn decimal(self, precision: u8, scale: i8) -> Option<i128> {
        let value = match self {
            Self::Integer(value) => value.checked_mul(10i128.checked_pow(u32::try_from(scale).ok()?)?)?,
            Self::Float(_) | Self::Double(_) | Self::Decimal(..) => {
                number::scaled(&self.text(), scale.into(), Rest::Refuse)?
            }
            _ => return None,
        };
        (value.unsigned_abs() < 10u128.checked_pow(precision.into())?).then_some(value)
    }

    /// The value as a string column holds it.
    pub(super) fn text(&self) -> Cow<'_, str> {
        let text = match *self {
            Self::Boolean(value) => return Cow::Borrowed(if value { "true" } else { "false" }),
            Self::Text(text) => return Cow::Borrowed(text),
            Self::Bytes(bytes) => return String::from_utf8_lossy(bytes),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => format!("{value:?}"),
            Self::Double(value) => format!("{value:?}"),
            Self::Decimal(unscaled, scale) => decimal_text(unscaled, scale),
            Self::Date(day) => match DateTime::<Utc>::from_timestamp(i64::from(day) * 86_400, 0) {
                Some(time) => time.date_naive().to_string(),
                None => format!("day {day}"),
            },
            Self::Time(us) => {
                let seconds = u32::try_from(us.div_euclid(1_000_000)).ok();
                let nanos = us.rem_euclid(1_000_000) as u32 * 1000;
                let time = seconds.and_then(|s| NaiveTime::from_num_seconds_from_midnight_opt(s, nanos));
                time.map_or_else(|| format!("{us} us of a day"), |time| time.to_string())
            }
            Self::Timestamp(us) => match DateTime::<Utc>::from_timestamp_micros(us) {
                Some(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
                None => format!("{us} us since the epoch"),
            },
        };
        Cow::Owned(text)
    }

    /// Writes the value as JSON has it: what JSON has no number for is a string.
    pub(super) fn write_json(&self, out: &mut String) {
        match *self {
            Self::Boolean(_) | Self::Integer(_) | Self::Decimal(..) => out.push_str(&self.text()),
            Self::Float(value) if value.is_finite() => out.push_str(&self.text()),
            Self::Double(value) if value.is_finite() => out.push_str(&self.text()),
            Self::Bytes(bytes) => written::base64(bytes, out),
            _ => written::string(&self.text(), out),
        }
    }
}

fn decimal_text(unscaled: i128, scale: u32) -> String {
    let digits = unscaled.unsigned_abs().to_string();
    let sign = if unscaled < 0 { "-" } else { "" };
    let scale = scale as usize;
    let mut text = String::from(sign);
    if scale == 0 {
        text.push_str(&digits);
        return text;
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    // Writing to a string does not fail.
    let _ = write!(text, "{whole}.{fraction}");
    text
}
