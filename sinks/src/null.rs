//! The sink that forgets: for benchmarks, and to try a pipeline without writing anything.

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;

use crate::error::SinkError;
use crate::sink::{Committed, Flush, Held, Prepared, Sink};

/// Takes every row and keeps none. There is nothing to prepare, to hold or to commit, and no epoch to remember.
#[derive(Debug, Default)]
pub struct NullSink {}

impl NullSink {
    /// A sink that forgets.
    pub fn new() -> Self {
        Self {}
    }
}

#[async_trait]
impl Sink for NullSink {
    async fn open(&mut self) -> Result<u64, SinkError> {
        Ok(1)
    }

    async fn write(&mut self, _number: u64, _batch: RecordBatch) -> Result<(), SinkError> {
        Ok(())
    }

    async fn prepare(&mut self, _epoch: u64, _flush: Flush) -> Result<Prepared, SinkError> {
        Ok(Prepared::nothing())
    }

    fn holds(&self) -> bool {
        false
    }

    fn held(&self) -> Option<Held> {
        None
    }

    async fn resume(&mut self, _held: &Held) -> Result<(), SinkError> {
        Ok(())
    }

    async fn commit(&mut self, _prepared: &Prepared) -> Result<Committed, SinkError> {
        Ok(Committed::default())
    }
}
