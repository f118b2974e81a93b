//! JSON: one object a record.
//!
//! [`exact()`] defines what a record means. [`fast()`] gives the same answer for what is common and asks the exact path about
//! the rest, record by record. [`arrow()`] goes through arrow-json where that reads a schema the same way; it is the
//! yardstick that benchmarks and tests hold the others to.

mod arrow;
mod exact;
mod fast;
mod lex;
mod plan;
mod scan;
mod value;

use super::{Decode, DecodeError};
use crate::schema::SourceSchema;

pub(super) use lex::{Walk, skip_space, unescape, value_end};

/// The decoder that the engine uses.
pub(super) fn decoder(schema: &SourceSchema, projection: &[usize]) -> Result<Box<dyn Decode>, DecodeError> {
    fast(schema, projection)
}

/// Decodes every record by the exact path.
pub fn exact(schema: &SourceSchema, projection: &[usize]) -> Result<Box<dyn Decode>, DecodeError> {
    Ok(Box::new(exact::ExactDecoder::new(schema, projection)?))
}

/// Decodes common records in one pass, the others by the exact path.
pub fn fast(schema: &SourceSchema, projection: &[usize]) -> Result<Box<dyn Decode>, DecodeError> {
    Ok(Box::new(fast::FastDecoder::new(schema, projection)?))
}

/// Decodes by arrow-json, or by the exact path a chunk in which arrow-json meets a surprise. `None` where arrow-json
/// would read one of the projected types in another way than the exact path.
pub fn arrow(schema: &SourceSchema, projection: &[usize]) -> Result<Option<Box<dyn Decode>>, DecodeError> {
    Ok(arrow::ArrowDecoder::new(schema, projection)?.map(|decoder| Box::new(decoder) as Box<dyn Decode>))
}
