//! Event time: which moment an event's number stands for, and how a moment is spelled.

use chrono::DateTime;

use super::line::Line;
use super::rate::Rate;

const DAY_MS: i64 = 86_400_000;
/// The first and the last millisecond that have a year of four digits.
const FIRST_MS: i64 = -62_167_219_200_000;
const LAST_MS: i64 = 253_402_300_799_999;

/// Two digits for each number below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

/// Tells and spells event time.
#[derive(Debug)]
pub(super) struct Clock {
    start_ms: i64,
    rate: Rate,
    day: i64,
    date: [u8; 11],
}

impl Clock {
    pub(super) fn new(start_ms: i64, rate: Rate) -> Self {
        Self { start_ms, rate, day: i64::MIN, date: *b"0000-00-00T" }
    }

    /// When event `n` of the whole sequence happens, in milliseconds since the epoch.
    #[inline]
    pub(super) fn at(&self, n: u64) -> i64 {
        self.start_ms.saturating_add_unsigned(self.rate.millis(n)).clamp(FIRST_MS, LAST_MS)
    }

    /// Writes a moment as RFC 3339 with milliseconds, in UTC.
    #[inline]
    pub(super) fn write(&mut self, ms: i64, line: &mut Line) {
        let ms = ms.clamp(FIRST_MS, LAST_MS);
        let day = ms.div_euclid(DAY_MS);
        if day != self.day {
            self.turn_to(day);
        }
        let of_day = ms.rem_euclid(DAY_MS) as usize;
        let (seconds, millis) = (of_day / 1000, of_day % 1000);
        let [h, m, s] = [PAIRS[seconds / 3600], PAIRS[seconds / 60 % 60], PAIRS[seconds % 60]];
        let f = PAIRS[millis / 10];
        line.text(&self.date);
        line.text(&[
            h[0],
            h[1],
            b':',
            m[0],
            m[1],
            b':',
            s[0],
            s[1],
            b'.',
            f[0],
            f[1],
            b'0' + (millis % 10) as u8,
            b'Z',
        ]);
    }

    #[cold]
    fn turn_to(&mut self, day: i64) {
        self.day = day;
        if let Some(midnight) = DateTime::from_timestamp_millis(day * DAY_MS) {
            let date = midnight.format("%Y-%m-%dT").to_string();
            if let Ok(date) = date.as_bytes().try_into() {
                self.date = date;
            }
        }
    }
}
