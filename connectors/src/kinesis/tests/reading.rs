//! Positions.

use serde_json::{Value, json};

use crate::kinesis::place::{Place, Point};
use crate::source::{Position, SplitId};

fn parse(value: Value) -> Option<Place> {
    Place::parse(&SplitId::new("shard"), &Position(value)).ok()
}

#[test]
fn a_place_says_what_to_ask_for() {
    let cases = [
        (json!({ "records": 0 }), Point::Horizon),
        (json!({ "records": 0, "since": 7 }), Point::Moment(7)),
        (json!({ "sequence": "49", "records": 1 }), Point::After("49".into())),
        (json!({ "sequence": "49", "records": 1, "since": 7 }), Point::After("49".into())),
        (json!({ "sequence": "49", "sub": 2, "records": 3 }), Point::At("49".into())),
    ];
    for (position, point) in cases {
        let place = parse(position.clone()).unwrap();
        assert_eq!(place.point(), point, "{position}");
        assert_eq!(place.position().0, position);
    }
    for position in [json!({ "sub": 1 }), json!({ "sequence": "" }), json!({ "sequence": "x" }), json!(7)] {
        assert!(parse(position.clone()).is_none(), "{position}");
    }
}

#[test]
fn what_was_handed_out_of_an_aggregate_is_left_out() {
    let inside = parse(json!({ "sequence": "49", "sub": 2 })).unwrap();
    assert_eq!((inside.handed_out_of("49"), inside.handed_out_of("50")), (3, 0));
    let behind = parse(json!({ "sequence": "49" })).unwrap();
    assert_eq!((behind.handed_out_of("49"), behind.handed_out_of("50")), (usize::MAX, 0));
}
