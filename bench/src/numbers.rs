//! Numbers as people read them.

pub(crate) use watershed_engine::numbers::{bytes, count};

/// In three digits: `9.53M`, `120k`, `0.05`.
pub(crate) fn short(number: f64) -> String {
    let (scaled, unit) = match number.abs() {
        n if n >= 1e9 => (number / 1e9, "G"),
        n if n >= 1e6 => (number / 1e6, "M"),
        n if n >= 1e3 => (number / 1e3, "k"),
        _ => (number, ""),
    };
    let decimals = match scaled.abs() {
        0.0 => 0,
        n if n >= 100.0 => 0,
        n if n >= 10.0 => 1,
        n if n >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{scaled:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

/// Milliseconds: `850 µs`, `12.3 ms`, `4.5 s`.
pub(crate) fn millis(ms: f64) -> String {
    match ms {
        0.0 => "0 ms".to_owned(),
        ms if ms >= 1000.0 => format!("{} s", short(ms / 1000.0)),
        ms if ms < 1.0 => format!("{} µs", short(ms * 1000.0)),
        ms => format!("{} ms", short(ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::{count, millis, short};

    #[test]
    fn numbers_are_short() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(7), "7");
        assert_eq!(short(9_530_000.0), "9.53M");
        assert_eq!(short(120_000.0), "120k");
        assert_eq!(short(0.05), "0.05");
        assert_eq!(short(0.0), "0");
        assert_eq!(millis(0.85), "850 µs");
        assert_eq!(millis(4500.0), "4.5 s");
    }
}
