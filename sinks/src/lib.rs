//! Where rows go: the [`Sink`] trait and one module per sink.
//!
//! This crate knows Arrow batches, object stores, and brokers that take messages. It knows neither sources nor windows.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod delta;
#[cfg(any(feature = "eventhubs", feature = "http", feature = "kinesis", feature = "pubsub"))]
mod digest;
mod error;
#[cfg(feature = "eventhubs")]
pub mod eventhubs;
mod json;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "kinesis")]
pub mod kinesis;
mod memory;
mod messages;
mod null;
mod numbers;
pub mod parquet;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "pubsub")]
pub mod pubsub;
mod sink;
mod stdout;
pub mod store;
mod trouble;
mod types;
mod units;
mod upkeep;
#[cfg(feature = "http")]
pub mod webhook;

pub use crate::delta::DeltaSink;
pub use crate::error::{SinkError, whole};
#[cfg(feature = "eventhubs")]
pub use crate::eventhubs::EventHubsOptions;
#[cfg(feature = "kafka")]
pub use crate::kafka::KafkaOptions;
#[cfg(feature = "kinesis")]
pub use crate::kinesis::KinesisOptions;
pub use crate::memory::{MemoryRows, MemorySink};
pub use crate::messages::{MessageOptions, Whereabouts};
pub use crate::null::NullSink;
pub use crate::parquet::{ParquetOptions, ParquetSink, WriterBudget};
#[cfg(feature = "postgres")]
pub use crate::postgres::PostgresOptions;
#[cfg(feature = "pubsub")]
pub use crate::pubsub::PubSubOptions;
pub use crate::sink::{Committed, Flush, Held, Prepared, Sink, SinkContext};
pub use crate::stdout::{StdoutSink, StdoutStyle};
pub use crate::units::{ByteSize, Period};
pub use crate::upkeep::{Amount, Compacted, Expired, Stop, Swept, Upkeep};
#[cfg(feature = "http")]
pub use crate::webhook::WebhookOptions;
