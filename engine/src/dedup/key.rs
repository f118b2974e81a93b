//! From key columns to hashes.
//!
//! A hash is of the value, not of the array that holds it: strings hash alike in all of Arrow's layouts and integers in all
//! widths. It must not change between versions of this program, or keys that a checkpoint stored would not be found.

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use twox_hash::XxHash3_128;

/// True if records can be deduplicated by a column of this type: any but nested ones.
pub fn supports_key(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => true,
        DataType::Boolean => true,
        DataType::Dictionary(_, value) => supports_key(value),
        other => other.is_primitive(),
    }
}

/// The bytes of each value of a column.
enum Values {
    /// Of any length.
    Bytes(BinaryViewArray),
    /// All of one length.
    Fixed {
        bytes: Vec<u8>,
        width: usize,
    },
    Bits(BooleanBuffer),
}

struct KeyColumn {
    values: Values,
    nulls: Option<NullBuffer>,
}

impl KeyColumn {
    fn new(column: &ArrayRef) -> Result<Self> {
        let column = plain(column)?;
        let nulls = column.logical_nulls();
        let values = match column.data_type() {
            DataType::Boolean => Values::Bits(column.as_boolean().values().clone()),
            DataType::BinaryView => Values::Bytes(column.as_binary_view().clone()),
            other => match other.primitive_width() {
                Some(width) => Values::Fixed { bytes: fixed_bytes(&column, width), width },
                None => return exec_err!("can't deduplicate by a key of type {other}"),
            },
        };
        Ok(Self { values, nulls })
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Adds the value so that no two rows of values look alike.
    fn append(&self, row: usize, out: &mut Vec<u8>) {
        match &self.values {
            Values::Bytes(values) => {
                let value = values.value(row);
                out.extend_from_slice(&(value.len() as u64).to_le_bytes());
                out.extend_from_slice(value);
            }
            Values::Fixed { bytes, width } => out.extend_from_slice(&bytes[row * width..(row + 1) * width]),
            Values::Bits(bits) => out.push(u8::from(bits.value(row))),
        }
    }
}

/// The column in the one layout that its values are hashed in.
fn plain(column: &ArrayRef) -> Result<ArrayRef> {
    let target = match column.data_type() {
        data_type if !supports_key(data_type) => return exec_err!("can't deduplicate by a key of type {data_type}"),
        DataType::Dictionary(_, value) => return plain(&cast(column, value)?),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::BinaryView,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::BinaryView,
        DataType::Int8 | DataType::Int16 | DataType::Int32 => DataType::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => DataType::Int64,
        _ => return Ok(column.clone()),
    };
    Ok(cast(column, &target)?)
}

/// The values of a primitive array, one behind the other.
fn fixed_bytes(column: &ArrayRef, width: usize) -> Vec<u8> {
    let data = column.to_data();
    let from = data.offset() * width;
    data.buffers()[0].as_slice()[from..from + data.len() * width].to_vec()
}

/// The hash of each row's key; none where a column is null.
pub(super) fn hashes(keys: &[ArrayRef], rows: usize) -> Result<Vec<Option<u128>>> {
    let columns = keys.iter().map(KeyColumn::new).collect::<Result<Vec<_>>>()?;
    // One string is the usual key: its bytes need no copy.
    if let [KeyColumn { values: Values::Bytes(values), .. }] = columns.as_slice() {
        let hash = |row| (!columns[0].is_null(row)).then(|| XxHash3_128::oneshot(values.value(row)));
        return Ok((0..rows).map(hash).collect());
    }
    let mut bytes = Vec::new();
    let hash = |row| {
        bytes.clear();
        if columns.iter().any(|column| column.is_null(row)) {
            return None;
        }
        columns.iter().for_each(|column| column.append(row, &mut bytes));
        Some(XxHash3_128::oneshot(&bytes))
    };
    Ok((0..rows).map(hash).collect())
}
