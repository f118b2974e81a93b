use super::super::checkpoint::Checkpoint;
use super::super::{further, reckon};
use super::after;
use crate::kinesis::place::Place;

fn place(json: serde_json::Value) -> Place {
    serde_json::from_value(json).unwrap()
}

#[test]
fn reading_begins_at_what_is_further() {
    use serde_json::json;
    let table = [
        // Nothing of our own: the table decides.
        (json!({"records": 0}), Checkpoint::TrimHorizon, None, json!({"records": 0})),
        (json!({"records": 0}), after(7, 0), None, json!({"sequence": "7", "sub": 0, "records": 0})),
        (json!({"records": 0}), after(7, 2), None, json!({"sequence": "7", "sub": 2, "records": 0})),
        // All begin at the moment at which the first did; what came later is read from its beginning.
        (json!({"records": 0, "since": 90}), Checkpoint::Latest, Some(50), json!({"records": 0, "since": 50})),
        (json!({"records": 0, "since": 90}), Checkpoint::AtTimestamp, Some(50), json!({"records": 0, "since": 50})),
        (json!({"records": 0, "since": 90}), Checkpoint::Latest, None, json!({"records": 0, "since": 90})),
        (json!({"records": 0, "since": 90}), Checkpoint::TrimHorizon, None, json!({"records": 0})),
        // Others have read on.
        (json!({"sequence": "9", "records": 4}), after(10, 0), None, json!({"sequence": "10", "sub": 0, "records": 4})),
        (
            json!({"sequence": "9", "sub": 1, "records": 4}),
            after(9, 2),
            None,
            json!({"sequence": "9", "sub": 2, "records": 4}),
        ),
        // Our own epoch was durable, and the table did not hear of it.
        (json!({"sequence": "10", "records": 4}), after(9, 7), None, json!({"sequence": "10", "records": 4})),
        (json!({"sequence": "9", "records": 4}), after(9, 0), None, json!({"sequence": "9", "records": 4})),
        (json!({"sequence": "9", "records": 4}), Checkpoint::TrimHorizon, None, json!({"sequence": "9", "records": 4})),
    ];
    for (own, checkpoint, since, expected) in table {
        assert_eq!(further(place(own.clone()), &checkpoint, since), place(expected), "{own} and {checkpoint}");
    }
}

#[test]
fn a_place_inside_an_aggregate_is_a_sub_sequence_number() {
    use serde_json::json;
    assert_eq!(reckon(&place(json!({"records": 0}))), None);
    assert_eq!(reckon(&place(json!({"sequence": "9", "records": 4}))), Some(after(9, 0)));
    assert_eq!(reckon(&place(json!({"sequence": "9", "sub": 3, "records": 4}))), Some(after(9, 3)));
}
