//! Which values are one key.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, TimeUnit};

use super::super::key::{hashes, supports_key};
use super::super::{SeenKeys, supports_key as supports};

fn hash(columns: &[ArrayRef]) -> Vec<Option<u128>> {
    hashes(columns, columns[0].len()).unwrap()
}

#[test]
fn a_hash_does_not_change_between_versions() {
    let text: ArrayRef = Arc::new(StringViewArray::from(vec!["an event id that is longer than a view"]));
    let number: ArrayRef = Arc::new(Int64Array::from(vec![42]));
    assert_eq!(hash(std::slice::from_ref(&text)), [Some(XXH3_TEXT)]);
    assert_eq!(hash(std::slice::from_ref(&number)), [Some(XXH3_NUMBER)]);
    assert_eq!(hash(&[text, number]), [Some(XXH3_BOTH)]);
}

// From the reference implementation, of the text; of 42 as eight bytes; of the text's length as eight bytes, the text, and 42.
const XXH3_TEXT: u128 = 0xc573_aaed_5957_110f_4ba7_6fb6_634f_6ec5;
const XXH3_NUMBER: u128 = 0x9bab_3e2f_55e1_fe86_61c2_164e_8b89_5a45;
const XXH3_BOTH: u128 = 0xacce_f351_98f3_7ecc_f9e5_2320_96c0_f0ba;

#[test]
fn a_value_hashes_alike_in_every_layout() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("something longer than twelve")]));
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    for layout in [DataType::LargeUtf8, DataType::Utf8View, DataType::BinaryView, dictionary] {
        assert_eq!(hash(&[cast(&texts, &layout).unwrap()]), hash(std::slice::from_ref(&texts)), "{layout}");
    }
    let numbers: ArrayRef = Arc::new(Int8Array::from(vec![Some(-1), Some(127), None]));
    for layout in [DataType::Int16, DataType::Int32, DataType::Int64] {
        assert_eq!(hash(&[cast(&numbers, &layout).unwrap()]), hash(std::slice::from_ref(&numbers)), "{layout}");
    }
}

#[test]
fn every_type_that_is_supported_tells_values_apart() {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(1), None])),
        Arc::new(UInt8Array::from(vec![Some(200), Some(1), None])),
        Arc::new(Int32Array::from(vec![Some(-1), Some(1), None])),
        Arc::new(Float32Array::from(vec![Some(1.5), Some(f32::NAN), None])),
        Arc::new(Float64Array::from(vec![Some(0.0), Some(-0.0), None])),
        Arc::new(Date32Array::from(vec![Some(1), Some(2), None])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(1), Some(2), None]).with_timezone("UTC")),
        Arc::new(Decimal128Array::from(vec![Some(1 << 70), Some(1 << 71), None])),
        Arc::new(BinaryArray::from(vec![Some(&b"\0"[..]), Some(b"\0\0"), None])),
        Arc::new(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some(b"ab"), Some(b"ac"), None].into_iter(), 2)
                .unwrap(),
        ),
        Arc::new(StringArray::from(vec![Some(""), Some("a"), None])),
        Arc::new(vec![Some("x"), Some("y"), None].into_iter().collect::<DictionaryArray<Int32Type>>()),
    ];
    for column in columns {
        assert!(supports_key(column.data_type()), "{}", column.data_type());
        let whole = hash(std::slice::from_ref(&column));
        assert!(whole[0].is_some() && whole[1].is_some() && whole[0] != whole[1], "{}", column.data_type());
        assert_eq!(whole[2], None, "{}", column.data_type());
        assert_eq!(hash(&[column.slice(1, 2)]), whole[1..], "a slice of {}", column.data_type());
    }
}

#[test]
fn columns_do_not_run_into_each_other() {
    let pairs = [("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", "")];
    let first: ArrayRef = Arc::new(StringArray::from_iter_values(pairs.iter().map(|pair| pair.0)));
    let second: ArrayRef = Arc::new(StringArray::from_iter_values(pairs.iter().map(|pair| pair.1)));
    let distinct: BTreeSet<_> = hash(&[first, second]).into_iter().collect();
    assert_eq!(distinct.len(), pairs.len());
}

#[test]
fn a_null_is_never_a_duplicate() {
    let seen = SeenKeys::new(10, 4);
    let first: ArrayRef = Arc::new(StringArray::from(vec![None, None, Some("a"), Some("a"), Some("a")]));
    let second: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(1), None, None, Some(1)]));
    let take = seen.admit(1, &[first, second], &[0; 5]).unwrap();
    assert_eq!((take.true_count(), seen.len()), (5, 1));
}

#[test]
fn nested_types_are_refused() {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
    for data_type in [list, DataType::Null, DataType::Struct(vec![Field::new("a", DataType::Int32, true)].into())] {
        assert!(!supports(&data_type), "{data_type}");
        let said = SeenKeys::new(10, 4).admit(1, &[new_null_array(&data_type, 1)], &[0]).unwrap_err().to_string();
        assert!(said.contains("can't deduplicate by a key of type"), "{said}");
    }
    assert!(supports(&DataType::Time64(TimeUnit::Microsecond)));
}
