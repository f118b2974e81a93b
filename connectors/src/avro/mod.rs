//! Avro's schemas and binary encoding, as far as it takes to tell where a value ends and which kind it is.
//!
//! The one idea: a schema is a flat list of nodes, checked once and bounded in size, so that whoever walks a value needs no
//! recursion but the value's own, and no value can ask for more work or memory than its bytes pay for.
//!
//! It stands here as a container file can only be cut into records by reading them; what a record means is the engine's.

mod canonical;
mod cursor;
mod schema;
#[cfg(test)]
mod tests;

pub use cursor::{Blocks, Broken, Cursor};
pub use schema::{Field, Kind, Logical, Node, NodeId, Schema, SchemaError};
