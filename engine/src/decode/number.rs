//! Numbers from their decimal text, exactly.
//!
//! The one idea: a number is its digits and a power of ten. Integers, decimals and epoch timestamps are made from those,
//! never by way of a float, so that nothing is rounded that was not asked for.

/// What to do with digits behind the last one that can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// The number does not fit.
    Refuse,
    /// Cut off, towards the past.
    Floor,
    /// Half away from zero, as SQL does.
    Round,
}

/// A number's text, taken apart.
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Parts<'a> {
    /// Reads `[+-] digits [. digits] [e [+-] digits]` with a digit on at least one side of the point. JSON's numbers are
    /// among these; its stricter grammar is the lexer's business.
    fn of(text: &'a [u8]) -> Option<Self> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (whole, rest) = rest.split_at(digits(rest));
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => rest.split_at(digits(rest)),
            rest => (&rest[..0], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        Some(Self { negative, whole, fraction, exponent })
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len())
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Far beyond any number that fits: capping keeps the verdict and can't overflow.
    let size = digits.iter().fold(0i64, |n, d| (n * 10 + i64::from(d - b'0')).min(1 << 40));
    Some(if negative { -size } else { size })
}

/// `text` × 10^`shift` as an integer; `None` if it is no number, does not fit, or leaves a rest that is refused.
pub(super) fn scaled(text: &str, shift: i64, rest: Rest) -> Option<i128> {
    let parts = Parts::of(text.as_bytes())?;
    let mut all = parts.whole.iter().chain(parts.fraction).skip_while(|d| **d == b'0').map(|d| d - b'0');
    let leading_zeros = parts.whole.iter().chain(parts.fraction).take_while(|d| **d == b'0').count();
    let count = (parts.whole.len() + parts.fraction.len() - leading_zeros) as i64;
    if count == 0 {
        return Some(0);
    }
    let power = parts.exponent - parts.fraction.len() as i64 + shift;
    // Digits in front of the point after the shift; 39 digits may still fit 128 bits.
    let kept = count + power;
    if kept > 39 {
        return None;
    }
    let mut size: u128 = 0;
    for _ in 0..kept.max(0) {
        let digit = all.next().unwrap_or(0);
        size = size.checked_mul(10)?.checked_add(digit.into())?;
    }
    // With `kept` below zero there are zeros between the point and the first digit.
    let half = kept >= 0 && all.clone().next().is_some_and(|d| d >= 5);
    let more = all.any(|d| d != 0);
    size = match rest {
        Rest::Refuse if more => return None,
        Rest::Floor if more && parts.negative => size.checked_add(1)?,
        Rest::Round if half => size.checked_add(1)?,
        _ => size,
    };
    let size = i128::try_from(size).ok()?;
    Some(if parts.negative { -size } else { size })
}

/// An integer: integral however it is spelled (`3`, `3.0`, `3e2`), and in range.
pub(super) fn to_integer<T: TryFrom<i128> + std::str::FromStr>(text: &str) -> Option<T> {
    if let Ok(plain) = text.parse() {
        return Some(plain);
    }
    T::try_from(scaled(text, 0, Rest::Refuse)?).ok()
}

/// A decimal with `scale` digits behind the point, rounded half away from zero, at most `precision` digits in all.
pub(super) fn to_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let value = scaled(text, scale.into(), Rest::Round)?;
    (value.unsigned_abs() < 10u128.pow(precision.into())).then_some(value)
}

/// The nearest double; `None` for what is no number or beyond the largest.
pub(super) fn to_f64(text: &str) -> Option<f64> {
    Parts::of(text.as_bytes())?;
    text.parse().ok().filter(|v: &f64| v.is_finite())
}

/// The nearest float, rounded once.
pub(super) fn to_f32(text: &str) -> Option<f32> {
    Parts::of(text.as_bytes())?;
    text.parse().ok().filter(|v: &f32| v.is_finite())
}

/// A JSON number of at most 18 digits, read in one pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Short {
    pub(super) negative: bool,
    /// The digits without their point.
    pub(super) digits: u64,
    /// The power of ten to multiply them by: the digits behind the point, as a negative number.
    pub(super) power: i32,
    /// Just behind the number.
    pub(super) end: usize,
}

impl Short {
    /// Reads the number at `at`. `None`: too long, with an exponent, or malformed — ask somebody slower.
    #[inline]
    pub(super) fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let negative = bytes.get(at) == Some(&b'-');
        let start = at + usize::from(negative);
        let (mut digits, mut end) = run(bytes, start, 0);
        let whole = end - start;
        if whole == 0 || whole > 18 || (whole > 1 && bytes[start] == b'0') {
            return None;
        }
        let mut power = 0;
        if bytes.get(end) == Some(&b'.') {
            let point = end;
            (digits, end) = run(bytes, point + 1, digits);
            let fraction = end - point - 1;
            if fraction == 0 || whole + fraction > 18 {
                return None;
            }
            power = -(fraction as i32);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            return None;
        }
        Some(Self { negative, digits, power, end })
    }

    /// The integer, unless there is a fraction.
    #[inline]
    pub(super) fn integer(&self) -> Option<i64> {
        let value = self.digits as i64;
        (self.power == 0).then_some(if self.negative { -value } else { value })
    }

    /// The nearest double where one division gives it: digits and power of ten are both doubles without loss, and IEEE
    /// division rounds once (W. D. Clinger, "How to Read Floating Point Numbers Accurately", 1990).
    #[inline]
    pub(super) fn double(&self) -> Option<f64> {
        const EXACT: u64 = 1 << 53;
        let power = POWERS.get(self.power.unsigned_abs() as usize)?;
        if self.digits > EXACT {
            return None;
        }
        let value = self.digits as f64 / power;
        Some(if self.negative { -value } else { value })
    }

    /// The nearest float, by the same rule: 24 bits of digits and ten powers are exact.
    #[inline]
    pub(super) fn float(&self) -> Option<f32> {
        const EXACT: u64 = 1 << 24;
        let power = POWERS[..=10].get(self.power.unsigned_abs() as usize)?;
        if self.digits > EXACT {
            return None;
        }
        let value = self.digits as f32 / *power as f32;
        Some(if self.negative { -value } else { value })
    }
}

/// Goes on with `number` over the digits from `at`; wraps beyond 19 digits, which the callers count.
#[inline]
fn run(bytes: &[u8], mut at: usize, mut number: u64) -> (u64, usize) {
    while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        number = number.wrapping_mul(10).wrapping_add(digit.into());
        at += 1;
    }
    (number, at)
}

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];
