#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

#[test]
fn durations_are_read_as_written() {
    for (text, millis) in [
        ("0s", Some(0)),
        ("250ms", Some(250)),
        ("2s", Some(2_000)),
        ("5m", Some(300_000)),
        ("1h30m", Some(5_400_000)),
        (" 1h 30m ", Some(5_400_000)),
        ("1.5s", Some(1_500)),
        ("7d", Some(604_800_000)),
        ("", None),
        ("5", None),
        ("-5s", None),
        ("s", None),
        ("soon", None),
        ("99999999999999999999s", None),
        ("18446744073709551615s 1000ms", None),
        ("999999999999999y", None),
    ] {
        let expected = millis.map(|millis| HumanDuration(Duration::from_millis(millis)));
        assert_eq!(text.parse().ok(), expected, "{text}");
    }
    let refused = "soon".parse::<HumanDuration>().unwrap_err().to_string();
    assert!(refused.contains("\"soon\" is not a duration"), "{refused}");
    assert!(refused.contains("write for example \"250ms\""), "{refused}");
}

#[test]
fn durations_are_text() {
    let duration = HumanDuration(Duration::from_secs(5_400));
    assert_eq!(serde_json::to_string(&duration).unwrap(), "\"1h 30m\"");
    assert_eq!(serde_json::from_str::<HumanDuration>("\"1h 30m\"").unwrap(), duration);
    let refused = serde_json::from_str::<HumanDuration>("5").unwrap_err().to_string();
    assert!(refused.contains("with its unit"), "{refused}");
}
