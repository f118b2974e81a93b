//! Event streams as splits of records: the [`Source`] and [`Reader`] traits and one module per connector.
//!
//! This crate knows bytes and positions. It knows neither windows nor sinks, and Arrow only as the shape of what was
//! stored as columns.

#[cfg(test)]
mod conformance;
mod duration;
mod error;
mod file;
mod framing;
mod generator;
mod memory;
mod moment;
mod records;
mod replay;
mod size;
mod source;
mod stdin;

pub use duration::{HumanDuration, InvalidDuration};
pub use error::SourceError;
pub use file::{FileOptions, FileSource};
pub use framing::Framing;
pub use generator::{GeneratorOptions, GeneratorSource, InvalidRate, Profile, ProfileSchema, Rate, profile_schema};
pub use memory::MemorySource;
pub use records::{Records, Rejected};
pub use replay::{EventTime, ReplayFormat, ReplayOptions, ReplaySource};
pub use size::{ByteSize, InvalidSize};
pub use source::{Position, ReadLimits, ReadStatus, Reader, Source, SplitId};
pub use stdin::{StdinOptions, StdinSource};
