#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

#[derive(Debug, Deserialize)]
struct Keys {
    size: Option<ByteSize>,
    time: Option<Period>,
}

fn size(text: &str) -> Result<u64, String> {
    let keys: Keys = toml::from_str(&format!("size = {text}")).map_err(|e| e.to_string())?;
    Ok(keys.size.unwrap().0)
}

fn time(text: &str) -> Result<Duration, String> {
    let keys: Keys = toml::from_str(&format!("time = {text}")).map_err(|e| e.to_string())?;
    Ok(keys.time.unwrap().0)
}

#[test]
fn sizes_are_read_as_people_write_them() {
    for (text, bytes) in [
        ("4096", 4096),
        ("\"4096\"", 4096),
        ("\"128MB\"", 128_000_000),
        ("\"128 mb\"", 128_000_000),
        ("\"64MiB\"", 64 << 20),
        ("\"1.5GB\"", 1_500_000_000),
        ("\"2KiB\"", 2048),
        ("\"10B\"", 10),
        ("0", 0),
    ] {
        assert_eq!(size(text).unwrap(), bytes, "{text}");
    }
}

#[test]
fn broken_sizes_are_refused_with_an_example() {
    for text in ["\"128M\"", "\"MB\"", "\"\"", "\"-1MB\"", "\"1..5MB\"", "\"12 parsecs\"", "-5", "true", "1.5"] {
        let error = size(text).unwrap_err();
        assert!(error.contains("size"), "{text}: {error}");
    }
    assert!(size("\"99999999999TB\"").unwrap_err().contains("64 bits"));
}

#[test]
fn durations_are_humantime() {
    assert_eq!(time("\"5m\"").unwrap(), Duration::from_secs(300));
    assert_eq!(time("\"1h 30m\"").unwrap(), Duration::from_secs(5400));
    assert_eq!(time("\"250ms\"").unwrap(), Duration::from_millis(250));
    assert!(time("\"soon\"").unwrap_err().contains("is not a duration"));
    assert!(time("5").unwrap_err().contains("a duration such as"));
}

#[test]
fn both_print_as_they_are_written() {
    assert_eq!(ByteSize(128_000_000).to_string(), "128MB");
    assert_eq!(ByteSize(64 << 20).to_string(), "64MiB");
    assert_eq!(ByteSize(7).to_string(), "7B");
    assert_eq!(Period(Duration::from_secs(300)).to_string(), "5m");
}
