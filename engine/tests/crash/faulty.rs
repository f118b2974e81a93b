//! Stores that fail while a run writes its state and its files.

use std::sync::Arc;
use std::time::Instant;

use object_store::ObjectStore;
use watershed_engine::checkpoint::faulty::{Fault, FaultyStore, Operation};
use watershed_engine::checkpoint::{Place, StateError};
use watershed_engine::config::{Checkpoint, SinkConfig, SinkOptions};
use watershed_engine::connect;
use watershed_engine::environment::Environment;
use watershed_engine::run::Connect;
use watershed_sinks::{DeltaSink, ParquetSink, Sink, SinkContext, SinkError};

/// What the state store does wrong, and how often.
const STATE: [(Operation, Fault, f64); 9] = [
    (Operation::Put, Fault::Error, 0.05),
    (Operation::Put, Fault::LostAnswer, 0.05),
    (Operation::Put, Fault::FalseConflict, 0.05),
    (Operation::Put, Fault::Precondition, 0.05),
    (Operation::Get, Fault::Error, 0.05),
    (Operation::Get, Fault::BitFlip, 0.02),
    (Operation::List, Fault::PartialList, 0.2),
    (Operation::List, Fault::Error, 0.1),
    (Operation::Delete, Fault::LostAnswer, 0.1),
];

/// What the store of a lake does wrong. Only the log of a table is created on a condition, and listed.
const LAKE: [(Operation, Fault, f64); 9] = [
    (Operation::Put, Fault::Error, 0.01),
    (Operation::Put, Fault::LostAnswer, 0.01),
    (Operation::Put, Fault::FalseConflict, 0.01),
    (Operation::Put, Fault::Precondition, 0.02),
    (Operation::List, Fault::Error, 0.01),
    (Operation::Copy, Fault::Error, 0.05),
    (Operation::Copy, Fault::LostAnswer, 0.05),
    (Operation::Get, Fault::Error, 0.02),
    (Operation::Delete, Fault::LostAnswer, 0.05),
];

/// Opens the real places, with faults before them.
pub(crate) struct Faulty {
    pub(crate) seed: u64,
    pub(crate) environment: Arc<dyn Environment>,
}

impl Faulty {
    fn wrap(&self, store: Arc<dyn ObjectStore>, faults: &[(Operation, Fault, f64)]) -> Arc<dyn ObjectStore> {
        let store = FaultyStore::new(store, self.environment.clone(), self.seed);
        faults.iter().for_each(|(operation, fault, probability)| store.fail(*operation, *fault, *probability));
        Arc::new(store)
    }
}

impl Connect for Faulty {
    fn sink(&self, config: &SinkConfig, context: SinkContext) -> Result<Box<dyn Sink>, SinkError> {
        let (wrap, clock) = (|store| self.wrap(store, &LAKE), Arc::new(Instant::now));
        Ok(match &config.options {
            SinkOptions::Parquet(options) => {
                Box::new(ParquetSink::local_with(options.as_ref().clone(), context, clock, wrap)?)
            }
            SinkOptions::Delta(options) => {
                Box::new(DeltaSink::local_with(options.as_ref().clone(), context, clock, wrap)?)
            }
            _ => return connect::sink(config, context),
        })
    }

    fn state(&self, checkpoint: &Checkpoint) -> Result<Place, StateError> {
        let place = Place::open(&checkpoint.url, &checkpoint.store)?;
        Ok(Place { store: self.wrap(place.store.clone(), &STATE), ..place })
    }
}
