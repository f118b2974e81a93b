#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

#[test]
fn a_block_is_as_good_as_its_records_one_by_one() {
    let mut one_by_one = Records::default();
    let mut at_once = Records::default();
    for records in [&mut one_by_one, &mut at_once] {
        records.push(b"first", 5);
    }
    one_by_one.push(b"a", 100);
    one_by_one.push(b"", 102);
    one_by_one.push(b"b\nb", 103);
    at_once.push_block(b"a\n\nb\nb\n", &[1, 2, 6], 100);
    at_once.push_block(b"", &[], 107);
    assert_eq!(one_by_one.bytes(), at_once.bytes());
    assert_eq!((one_by_one.len(), at_once.len()), (4, 4));
    for i in 0..4 {
        assert_eq!(one_by_one.span(i), at_once.span(i));
        assert_eq!(one_by_one.position(i), at_once.position(i));
    }
}
