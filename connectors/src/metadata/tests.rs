#![allow(clippy::unwrap_used)]

use arrow::array::Array;
use arrow::util::display::array_value_to_string;

use super::*;

const LIST: [MetadataField; 3] = [
    MetadataField { name: "_key", kind: MetadataType::Text, doc: "" },
    MetadataField { name: "_offset", kind: MetadataType::Int, doc: "" },
    MetadataField { name: "_headers", kind: MetadataType::Map, doc: "" },
];

#[test]
fn columns_come_in_the_order_wanted_and_nulls_where_nothing_fits() {
    let wanted = Wanted::pick(&LIST, ["_headers", "_key", "_offset", "_other"]);
    let mut described = Described::default();
    let header = || vec![("a".to_string(), Some("1".to_string())), ("b".to_string(), None)];
    described.push(&wanted, |place| match place {
        0 => MetadataValue::Bytes(b"k\xff"),
        1 => MetadataValue::Int(7),
        _ => MetadataValue::Map(header()),
    });
    described.push(&wanted, |place| if place == 1 { MetadataValue::Int(i64::MAX) } else { MetadataValue::Null });
    let arrays = described.arrays();
    let shown = |column: usize, row: usize| array_value_to_string(&arrays[column], row).unwrap();
    assert_eq!((shown(0, 0), shown(1, 0), shown(2, 0)), ("{a: 1, b: }".into(), "k\u{fffd}".into(), "7".into()));
    assert!(arrays.iter().all(|array| array.is_null(1)));
    let types: Vec<_> = [2, 0, 1].map(|at: usize| LIST[at].kind.arrow()).into();
    assert_eq!(arrays.iter().map(|array| array.data_type().clone()).collect::<Vec<_>>(), types);
}

#[test]
fn nothing_wanted_is_nothing_done() {
    let wanted = Wanted::pick(&LIST, []);
    assert!(wanted.is_empty() && !wanted.contains(0));
    assert!(Wanted::pick(&LIST, ["_offset"]).contains(1));
}
