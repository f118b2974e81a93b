use std::time::Duration;

use super::super::LeaseOptions;

fn checked(options: serde_json::Value, interval: Duration) -> Result<LeaseOptions, String> {
    let options: LeaseOptions = serde_json::from_value(options).map_err(|error| error.to_string())?;
    options.check(interval).map_err(|error| error.to_string())?;
    Ok(options)
}

#[test]
fn options_that_make_no_sense_are_refused_by_the_name_of_their_key() {
    use serde_json::json;
    let interval = Duration::from_secs(10);
    let options = checked(json!({"table": "t"}), interval).unwrap();
    assert_eq!((Duration::from(options.duration), options.owner), (interval, None));
    assert!(checked(json!({"table": "t", "duration": "5s"}), interval).is_ok());
    let table = [
        (json!({}), "table"),
        (json!({"table": ""}), "`table`"),
        (json!({"table": "t", "owner": ""}), "`owner`"),
        (json!({"table": "t", "owners": "a"}), "owners"),
        (json!({"table": "t", "duration": "11m"}), "`duration`"),
        (json!({"table": "t", "duration": "4s"}), "`duration`"),
    ];
    for (options, named) in table {
        let error = checked(options.clone(), interval).unwrap_err();
        assert!(error.contains(named), "{options}: {error}");
    }
    let error = checked(json!({"table": "t", "duration": "500ms"}), Duration::from_millis(100)).unwrap_err();
    assert!(error.contains("\"1s\""), "{error}");
}
