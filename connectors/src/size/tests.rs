#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

#[test]
fn sizes_are_read_as_written() {
    for (text, bytes) in [
        ("0", Some(0)),
        ("123", Some(123)),
        ("1_000", Some(1000)),
        ("5B", Some(5)),
        ("2kB", Some(2000)),
        ("2 KiB", Some(2048)),
        ("16MB", Some(16_000_000)),
        ("16mib", Some(16 << 20)),
        ("1.5GB", Some(1_500_000_000)),
        ("0.5KiB", Some(512)),
        ("3TiB", Some(3 << 40)),
        ("18446744073709551615", Some(u64::MAX)),
        ("", None),
        ("MB", None),
        ("-1", None),
        ("16M", None),
        ("1e9", None),
        ("1.2.3MB", None),
        ("18446744073709551616", None),
        ("99999999TiB", None),
        ("inf", None),
    ] {
        assert_eq!(text.parse().ok(), bytes.map(ByteSize), "{text}");
    }
    let refused = "16M".parse::<ByteSize>().unwrap_err().to_string();
    assert!(refused.starts_with("\"16M\" is not a size: write a number of bytes"), "{refused}");
}

#[test]
fn sizes_are_written_short_and_read_back() {
    for (bytes, text) in [
        (0, "0B"),
        (1, "1B"),
        (1024, "1KiB"),
        (1000, "1kB"),
        (16 << 20, "16MiB"),
        (128_000_000, "128MB"),
        (1_234_567, "1234567B"),
        (1 << 40, "1TiB"),
    ] {
        assert_eq!(ByteSize(bytes).to_string(), text);
        assert_eq!(text.parse(), Ok(ByteSize(bytes)));
    }
}

#[test]
fn sizes_are_numbers_or_text() {
    assert_eq!(serde_json::from_str::<ByteSize>("1000").unwrap(), ByteSize(1000));
    assert_eq!(serde_json::from_str::<ByteSize>("\"1kB\"").unwrap(), ByteSize(1000));
    assert_eq!(serde_json::to_string(&ByteSize(1000)).unwrap(), "\"1kB\"");
    for text in ["-1", "1.5", "true", "\"much\""] {
        assert!(serde_json::from_str::<ByteSize>(text).is_err(), "{text}");
    }
}
