//! Where rows go: the [`Sink`] trait and one module per sink.
//!
//! This crate knows Arrow batches and object stores. It knows neither brokers nor windows.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod delta;
mod error;
mod memory;
mod null;
mod numbers;
pub mod parquet;
mod sink;
mod stdout;
pub mod store;
mod trouble;
mod types;
mod units;
mod upkeep;

pub use crate::delta::DeltaSink;
pub use crate::error::SinkError;
pub use crate::memory::{MemoryRows, MemorySink};
pub use crate::null::NullSink;
pub use crate::parquet::{ParquetOptions, ParquetSink};
pub use crate::sink::{Committed, Flush, Held, Prepared, Sink, SinkContext};
pub use crate::stdout::{StdoutSink, StdoutStyle};
pub use crate::units::{ByteSize, Period};
pub use crate::upkeep::{Amount, Compacted, Expired, Stop, Swept, Upkeep};
