//! Event streams as splits of records: the [`Source`] and [`Reader`] traits and one module per connector.
//!
//! This crate knows bytes and positions. It knows neither windows nor sinks, and Arrow only as the shape of what was
//! stored as columns.

pub mod avro;
#[cfg(test)]
mod conformance;
mod duration;
mod error;
#[cfg(feature = "eventhubs")]
mod eventhubs;
mod file;
mod framing;
mod generator;
#[cfg(feature = "http")]
mod http;
pub mod ipc;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kinesis")]
mod kinesis;
mod memory;
mod metadata;
mod moment;
mod predecessors;
#[cfg(feature = "pubsub")]
mod pubsub;
mod records;
mod replay;
mod size;
mod source;
#[cfg(feature = "sse")]
mod sse;
mod start;
mod stdin;
mod stream;
mod varint;

pub use duration::{HumanDuration, InvalidDuration};
pub use error::SourceError;
#[cfg(feature = "eventhubs")]
pub use eventhubs::EventHubsOptions;
pub use file::{Container, FileContent, FileOptions, FileSource};
pub use framing::Framing;
pub use generator::{
    EventMaker, GeneratorOptions, GeneratorSource, InvalidRate, Profile, ProfileSchema, Rate, profile_schema,
};
#[cfg(feature = "http")]
pub use http::{Ack, HttpOptions, Inlet};
#[cfg(feature = "kafka")]
pub use kafka::KafkaOptions;
#[cfg(feature = "kinesis")]
pub use kinesis::{KinesisOptions, LeaseOptions};
pub use memory::{MemoryQueue, MemorySource, QueueSource};
pub use metadata::{MetadataField, MetadataType, MetadataValue, Wanted};
pub use predecessors::Predecessors;
#[cfg(feature = "pubsub")]
pub use pubsub::PubSubOptions;
pub use records::{Records, Rejected, memory};
pub use replay::{EventTime, ReplayFormat, ReplayOptions, ReplaySource};
pub use size::{ByteSize, InvalidSize};
pub use source::{Known, Lag, Position, ReadLimits, ReadStatus, Reader, Source, SplitId};
#[cfg(feature = "sse")]
pub use sse::SseOptions;
pub use start::Start;
pub use stdin::{StdinOptions, StdinSource};
pub use stream::{StreamOptions, Surroundings};
pub use varint::varint;
pub use watershed_clients::Secret;
