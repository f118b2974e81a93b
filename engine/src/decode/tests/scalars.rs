//! Numbers and times from text, held against independent readings.

use chrono::{DateTime, NaiveDate};
use proptest::prelude::*;

use super::super::number::{Rest, Short, scaled, to_f32, to_f64};
use super::super::{base64, time};

fn micros(text: &str) -> Option<i64> {
    time::rfc3339(text.as_bytes())
}

#[test]
fn rfc3339_times() {
    let table = [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00", 0),
        ("1970-01-01 00:00:00", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T18:30:00-05:30", 0),
        ("1970-01-01T00:00:00.1Z", 100_000),
        ("1970-01-01T00:00:00.123456Z", 123_456),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
        ("1969-12-31T23:59:59.9999999Z", -1),
        ("2000-02-29T23:59:59Z", 951_868_799_000_000),
        ("2026-03-01T12:00:00.5+02:00", 1_772_359_200_500_000),
        ("0000-01-01T00:00:00Z", -62_167_219_200_000_000),
        ("0000-02-29T00:00:00Z", -62_162_121_600_000_000),
        ("0000-01-01T00:00:00+23:59", -62_167_305_540_000_000),
        ("0001-01-01", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        ("9999-12-31T23:59:59-23:59", 253_402_387_139_000_000),
    ];
    for (text, expected) in table {
        assert_eq!(micros(text), Some(expected), "{text}");
    }
}

#[test]
fn what_is_no_rfc3339_time() {
    let table = [
        "",
        "2026",
        "2026-03",
        "2026-3-1",
        "20260301",
        "2026-00-01",
        "2026-13-01",
        "2026-03-00",
        "2026-03-32",
        "2026-02-29",
        "1900-02-29",
        "2026-04-31",
        "10000-01-01T00:00:00Z",
        "-001-01-01T00:00:00Z",
        "2026-03-01T",
        "2026-03-01T12",
        "2026-03-01T12:00",
        "2026-03-01T12:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:60:00Z",
        "2026-03-01T12:00:60Z",
        "2016-12-31T23:59:60Z",
        "2026-03-01T12:00:00.Z",
        "2026-03-01T12:00:00.1234567890Z",
        "2026-03-01T12:00:00,5Z",
        "2026-03-01T12:00:00+2",
        "2026-03-01T12:00:00+0200",
        "2026-03-01T12:00:00+24:00",
        "2026-03-01T12:00:00+02:60",
        "2026-03-01T12:00:00ZZ",
        "2026-03-01T12:00:00 Z",
        "2026-03-01_12:00:00Z",
        "2026/03/01T12:00:00Z",
        " 2026-03-01",
        "2026-03-01 ",
        "২০২৬-03-01",
    ];
    for text in table {
        assert_eq!(micros(text), None, "{text}");
    }
}

#[test]
fn numbers_scale_exactly() {
    let table = [
        ("1.5", 6, Rest::Floor, Some(1_500_000)),
        ("1.0000009", 6, Rest::Floor, Some(1_000_000)),
        ("-1.0000009", 6, Rest::Floor, Some(-1_000_001)),
        ("-0.0000009", 6, Rest::Floor, Some(-1)),
        ("1.5", 0, Rest::Refuse, None),
        ("150e-2", 1, Rest::Refuse, Some(15)),
        ("0.000", 0, Rest::Refuse, Some(0)),
        ("2.5", 0, Rest::Round, Some(3)),
        ("-2.5", 0, Rest::Round, Some(-3)),
        ("2.4999999999999999999999999999999999999999999999999", 0, Rest::Round, Some(2)),
        ("0.5", 0, Rest::Round, Some(1)),
        ("0.05", 0, Rest::Round, Some(0)),
        ("9e-400", 0, Rest::Round, Some(0)),
        ("-9e-400", 0, Rest::Floor, Some(-1)),
        ("170141183460469231731687303715884105727", 0, Rest::Refuse, Some(i128::MAX)),
        ("170141183460469231731687303715884105728", 0, Rest::Refuse, None),
        ("340282366920938463463374607431768211456", 0, Rest::Refuse, None),
        ("999999999999999999999999999999999999999", 0, Rest::Refuse, None),
        ("1e39", 0, Rest::Refuse, None),
        ("1e38", 0, Rest::Refuse, Some(10i128.pow(38))),
        ("", 0, Rest::Refuse, None),
        (".", 0, Rest::Refuse, None),
        ("+", 0, Rest::Refuse, None),
        ("1e", 0, Rest::Refuse, None),
        ("1e+", 0, Rest::Refuse, None),
        ("1.2.3", 0, Rest::Refuse, None),
        ("0x10", 0, Rest::Refuse, None),
        (".5", 1, Rest::Refuse, Some(5)),
        ("5.", 0, Rest::Refuse, Some(5)),
        ("+007", 0, Rest::Refuse, Some(7)),
    ];
    for (text, shift, rest, expected) in table {
        assert_eq!(scaled(text, shift, rest), expected, "{text} by 10^{shift}, {rest:?}");
    }
}

#[test]
fn a_number_of_a_megabyte_takes_no_harm() {
    let digits = "9".repeat(1 << 20);
    assert_eq!(scaled(&digits, 0, Rest::Refuse), None);
    assert_eq!(scaled(&format!("0.{digits}"), 0, Rest::Floor), Some(0));
    assert_eq!(to_f64(&digits), None);
    assert_eq!(to_f64(&format!("0.{digits}")), Some(1.0));
}

proptest! {
    #[test]
    fn times_agree_with_chrono(
        seconds in -62_167_219_200i64..253_402_300_800,
        nanos in 0u32..1_000_000_000,
        offset in -86_340i32..=86_340,
    ) {
        let zone = chrono::FixedOffset::east_opt(offset / 60 * 60).unwrap();
        let time = DateTime::from_timestamp(seconds, nanos).unwrap();
        let text = time.with_timezone(&zone).format("%Y-%m-%dT%H:%M:%S%.9f%:z").to_string();
        // At the ends of year 0 and 9999 the offset leads out of four digits.
        prop_assume!(text.len() == 35 && !text.starts_with(['+', '-']));
        prop_assert_eq!(micros(&text), Some(time.timestamp_micros()));
    }

    #[test]
    fn dates_agree_with_chrono(year in 0i32..10_000, month in 0u32..14, day in 0u32..33) {
        let text = format!("{year:04}-{month:02}-{day:02}");
        let days = NaiveDate::from_ymd_opt(year, month, day).map(|d| d.to_epoch_days());
        prop_assert_eq!(time::date(text.as_bytes()), days);
    }

    #[test]
    fn no_text_makes_the_readers_panic(text in "[-+0-9eE.TZ: ]{0,40}", shift in -9i64..9) {
        let _ = (micros(&text), time::date(text.as_bytes()), to_f64(&text), to_f32(&text));
        let _ = (scaled(&text, shift, Rest::Refuse), scaled(&text, shift, Rest::Floor), scaled(&text, shift, Rest::Round));
        base64::decode(&text, &mut Vec::new());
    }

    #[test]
    fn short_numbers_agree_with_the_standard_library(text in "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,19})?(e[0-9])?") {
        if let Some(short) = Short::read(text.as_bytes(), 0) {
            prop_assert_eq!(short.end, text.len());
            prop_assert_eq!(short.double().map(f64::to_bits).unwrap_or(text.parse::<f64>().unwrap().to_bits()), text.parse::<f64>().unwrap().to_bits());
            prop_assert_eq!(short.float().map(f32::to_bits).unwrap_or(text.parse::<f32>().unwrap().to_bits()), text.parse::<f32>().unwrap().to_bits());
            if let Some(integer) = short.integer() {
                prop_assert_eq!(Ok(integer), text.parse());
            }
        }
    }

    #[test]
    fn integers_scale_as_integers_do(value in any::<i64>(), shift in 0i64..19) {
        let expected = i128::from(value) * 10i128.pow(shift as u32);
        prop_assert_eq!(scaled(&value.to_string(), shift, Rest::Refuse), Some(expected));
        prop_assert_eq!(scaled(&value.to_string(), -shift, Rest::Floor), Some(i128::from(value).div_euclid(10i128.pow(shift as u32))));
    }

    #[test]
    fn bytes_come_back_from_base64(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let bits = group.iter().chain([0u8, 0].iter()).take(3).fold(0u32, |bits, b| bits << 8 | u32::from(*b));
            for i in 0..=group.len() {
                text.push(DIGITS[(bits >> (18 - 6 * i) & 63) as usize].into());
            }
        }
        for padded in [text.clone(), format!("{text:=<width$}", width = text.len().next_multiple_of(4))] {
            let mut out = vec![7];
            prop_assert!(base64::decode(&padded, &mut out));
            prop_assert_eq!(&out[1..], &bytes);
        }
    }
}
