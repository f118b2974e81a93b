//! Timestamps and dates from their text, by hand: fixed places, no allocation.

use crate::schema::{Pattern, TimestampFormat, TimestampFormatError};

use super::number::{Rest, scaled};

const SECONDS_A_DAY: i64 = 86_400;
const MICROS: i64 = 1_000_000;

/// How a timestamp column reads its values, made once from its format.
#[derive(Debug, Clone)]
pub(super) enum Clock {
    /// Text in RFC 3339.
    Rfc3339(LastDay),
    /// A number; times 10^shift it is microseconds.
    Epoch { shift: i64 },
    /// Text by a pattern.
    Pattern(Box<Pattern>),
}

impl Clock {
    pub(super) fn new(format: &TimestampFormat) -> Result<Self, TimestampFormatError> {
        Ok(match format {
            TimestampFormat::Rfc3339 => Self::Rfc3339(LastDay::default()),
            TimestampFormat::EpochSeconds => Self::Epoch { shift: 6 },
            TimestampFormat::EpochMillis => Self::Epoch { shift: 3 },
            TimestampFormat::EpochMicros => Self::Epoch { shift: 0 },
            TimestampFormat::EpochNanos => Self::Epoch { shift: -3 },
            TimestampFormat::Pattern(pattern) => Self::Pattern(Box::new(Pattern::compile(pattern)?)),
        })
    }

    /// Microseconds since the epoch from a number's text; only for epochs.
    pub(super) fn read_number(&self, text: &str) -> Option<i64> {
        match self {
            Self::Epoch { shift } => i64::try_from(scaled(text, *shift, Rest::Floor)?).ok().filter(readable),
            _ => None,
        }
    }

    /// Microseconds since the epoch from words; not for epochs.
    pub(super) fn read_words(&self, text: &str) -> Option<i64> {
        match self {
            Self::Rfc3339(_) => rfc3339(text.as_bytes()),
            Self::Epoch { .. } => None,
            Self::Pattern(pattern) => pattern.read(text),
        }
    }

    /// Microseconds from a plain integer, for epochs.
    #[inline]
    pub(super) fn read_integer(&self, value: i64) -> Option<i64> {
        let us = match self {
            Self::Epoch { shift: 6 } => value.checked_mul(MICROS),
            Self::Epoch { shift: 3 } => value.checked_mul(1000),
            Self::Epoch { shift: 0 } => Some(value),
            Self::Epoch { .. } => Some(value.div_euclid(1000)),
            _ => None,
        };
        us.filter(readable)
    }
}

/// True for instants that can be written as a date again, with room for the windows around them: 250,000 years either
/// way. What is beyond is a wrong unit, not an event.
pub(super) fn readable(us: &i64) -> bool {
    const LIMIT: i64 = 250_000 * 365 * 86_400 * MICROS;
    (-LIMIT..=LIMIT).contains(us)
}

/// Microseconds since the epoch: `YYYY-MM-DD`, then optionally `T` or a space, `hh:mm:ss`, up to nine digits of
/// fraction, and `Z` or `±hh:mm`. No offset is UTC; the seventh digit and on are cut off. Years 0000 to 9999 all fit.
pub(super) fn rfc3339(text: &[u8]) -> Option<i64> {
    LastDay::default().rfc3339(text)
}

/// The day that was read last: the next time mostly lies in the same one.
#[derive(Debug, Clone)]
pub(super) struct LastDay {
    text: [u8; 10],
    days: i32,
}

impl Default for LastDay {
    fn default() -> Self {
        Self { text: *b"1970-01-01", days: 0 }
    }
}

impl LastDay {
    #[inline]
    fn days(&mut self, text: &[u8; 10]) -> Option<i32> {
        if *text != self.text {
            self.days = days(text)?;
            self.text = *text;
        }
        Some(self.days)
    }

    /// As the function of this name.
    #[inline]
    pub(super) fn rfc3339(&mut self, text: &[u8]) -> Option<i64> {
        let (day, rest) = text.split_first_chunk::<10>()?;
        let day = i64::from(self.days(day)?) * SECONDS_A_DAY;
        in_day(day, rest)
    }
}

/// Microseconds since the epoch of what follows the date.
#[inline]
fn in_day(day: i64, rest: &[u8]) -> Option<i64> {
    if rest.is_empty() {
        return Some(day * MICROS);
    }
    let (clock, rest) = rest.split_first_chunk::<9>()?;
    let [b'T' | b't' | b' ', h1, h0, b':', m1, m0, b':', s1, s0] = *clock else {
        return None;
    };
    let (hour, minute, second) = (pair(h1, h0)?, pair(m1, m0)?, pair(s1, s0)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, rest) = fraction(rest)?;
    let seconds = day + i64::from(hour * 3600 + minute * 60 + second) - offset(rest)?;
    Some(seconds * MICROS + fraction)
}

/// A fraction of a second in microseconds, if there is one, and what follows it.
#[inline]
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', rest @ ..] = text else {
        return Some((0, text));
    };
    let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let digits = rest[..count].iter().map(|b| b - b'0').chain(std::iter::repeat(0)).take(6);
    let micros = digits.fold(0, |micros, digit| micros * 10 + i64::from(digit));
    Some((micros, &rest[count..]))
}

/// Seconds east of Greenwich.
#[inline]
fn offset(text: &[u8]) -> Option<i64> {
    match *text {
        [] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h0, b':', m1, m0] => {
            let (hour, minute) = (pair(h1, h0)?, pair(m1, m0)?);
            let seconds = i64::from(hour * 3600 + minute * 60);
            (hour < 24 && minute < 60).then_some(if sign == b'+' { seconds } else { -seconds })
        }
        _ => None,
    }
}

/// Days since the epoch from `YYYY-MM-DD`.
pub(super) fn date(text: &[u8]) -> Option<i32> {
    days(text.try_into().ok()?)
}

fn days(text: &[u8; 10]) -> Option<i32> {
    let [y3, y2, y1, y0, b'-', m1, m0, b'-', d1, d0] = *text else {
        return None;
    };
    let year = pair(y3, y2)? * 100 + pair(y1, y0)?;
    let (month, day) = (pair(m1, m0)?, pair(d1, d0)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day == 0 || day > length {
        return None;
    }
    Some(days_from_civil(year, month, day))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, for years from 0 on (Howard Hinnant, "chrono-compatible
/// low-level date algorithms", `days_from_civil`): years begin in March, so that the leap day is their last.
fn days_from_civil(year: u32, month: u32, day: u32) -> i32 {
    // 400 years on, so that January of year 0 is no negative year; they are 146,097 days.
    let year = year + 400 - u32::from(month <= 2);
    let era = year / 400;
    let year_of_era = year % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era) as i32 - 719_468 - 146_097
}

#[inline]
fn pair(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}
