//! What a run takes from outside, so that a test can own it: the clock, chance, sources, sinks, the state store, and a
//! look at each step.

use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use watershed_connectors::{Source, SourceError};
use watershed_sinks::store::StoreOptions;
use watershed_sinks::{ParquetOptions, Sink, SinkContext, SinkError};

use super::step::Step;
use crate::checkpoint::{Place, StateError};
use crate::config::{Checkpoint, SinkConfig, SourceConfig};
use crate::connect;
use crate::environment::{Environment, System};

/// Opens what a region file names. The defaults open the real things.
pub trait Connect: Send + Sync {
    /// A source.
    fn source(&self, config: &SourceConfig) -> Result<Arc<dyn Source>, SourceError> {
        connect::source(config)
    }

    /// A sink.
    fn sink(&self, config: &SinkConfig, context: SinkContext) -> Result<Box<dyn Sink>, SinkError> {
        connect::sink(config, context)
    }

    /// The sink of a source's dead letters.
    fn dead_letters(&self, options: ParquetOptions, context: SinkContext) -> Result<Box<dyn Sink>, SinkError> {
        connect::parquet(options, context)
    }

    /// The place of the state.
    fn state(&self, checkpoint: &Checkpoint) -> Result<Place, StateError> {
        Place::open(&checkpoint.url, &checkpoint.store)
    }

    /// The place of another daemon's state, reached as this daemon's own is.
    fn predecessor(&self, url: &str, options: &StoreOptions) -> Result<Place, StateError> {
        Place::find(url, options)
    }
}

/// Opens the real things.
#[derive(Debug)]
struct Real;

impl Connect for Real {}

/// The outside of a run.
#[derive(Clone)]
pub struct World {
    /// Clock, chance and waiting.
    pub environment: Arc<dyn Environment>,
    /// Sources, sinks and the state store.
    pub connect: Arc<dyn Connect>,
    /// Told of every step just before the next effect.
    pub watch: Arc<dyn Fn(Step) + Send + Sync>,
}

impl Default for World {
    /// This machine.
    fn default() -> Self {
        Self { environment: Arc::new(System::new()), connect: Arc::new(Real), watch: Arc::new(|_| {}) }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl World {
    pub(super) fn reach(&self, step: Step) {
        (self.watch)(step);
    }

    /// The clock, in microseconds since the Unix epoch.
    pub(super) fn now_us(&self) -> i64 {
        let since = self.environment.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
}
