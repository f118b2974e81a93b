//! A place behind a network that is down at times: some calls fail, some hang, and of some only the answer is lost.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use watershed_sinks::{Committed, Flush, Held, MemoryRows, MemorySink, Prepared, Sink, SinkError};

use crate::environment::{Environment, Simulated};

/// The place.
#[derive(Clone)]
pub(super) struct Mirror {
    pub(super) rows: MemoryRows,
    pub(super) limit: u64,
    /// What a standby has taken, and after what time it takes over.
    pub(super) backup: MemoryRows,
    pub(super) standby: Option<Duration>,
    dark: Arc<AtomicBool>,
    silent: Arc<AtomicBool>,
    environment: Arc<Simulated>,
}

impl Mirror {
    pub(super) fn new(environment: Arc<Simulated>, limit: u64, standby: Option<Duration>) -> Self {
        let (rows, backup) = (MemoryRows::new(), MemoryRows::new());
        Self { rows, limit, backup, standby, dark: Arc::default(), silent: Arc::default(), environment }
    }

    pub(super) fn turn(&self, dark: bool) {
        self.dark.store(dark, Ordering::Relaxed);
    }

    /// Answers nothing from now on.
    pub(super) fn silence(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_dark(&self) -> bool {
        self.dark.load(Ordering::Relaxed)
    }

    /// One way over the network, there or back.
    async fn pass(&self) -> Result<(), SinkError> {
        if self.silent.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        if !self.is_dark() {
            return Ok(());
        }
        match self.environment.random_u64() % 4 {
            0 => Ok(()),
            1 => std::future::pending().await,
            2 => Err(SinkError::fatal("mirror", "the upload broke off")),
            _ => Err(self.down()),
        }
    }

    /// The same, where a sink says of all trouble that it may pass.
    async fn pass_or_wait(&self) -> Result<(), SinkError> {
        self.pass().await.map_err(|_| self.down())
    }

    fn down(&self) -> SinkError {
        SinkError::retry("mirror", "the network is down")
    }
}

/// A sink that writes there.
pub(super) struct MirrorSink {
    place: Mirror,
    sink: MemorySink,
}

impl MirrorSink {
    pub(super) fn new(place: Mirror, sink: MemorySink) -> Self {
        Self { place, sink }
    }
}

impl fmt::Debug for MirrorSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MirrorSink")
    }
}

#[async_trait]
impl Sink for MirrorSink {
    async fn open(&mut self) -> Result<u64, SinkError> {
        self.place.pass_or_wait().await?;
        self.sink.open().await
    }

    async fn write(&mut self, number: u64, batch: RecordBatch) -> Result<(), SinkError> {
        self.place.pass().await?;
        self.sink.write(number, batch).await
    }

    async fn prepare(&mut self, epoch: u64, flush: Flush) -> Result<Prepared, SinkError> {
        self.place.pass().await?;
        let prepared = self.sink.prepare(epoch, flush).await?;
        self.place.pass().await?;
        Ok(prepared)
    }

    fn held(&self) -> Option<Held> {
        self.sink.held()
    }

    async fn resume(&mut self, held: &Held) -> Result<(), SinkError> {
        self.sink.resume(held).await
    }

    async fn resume_encoded(&mut self, number: u64, bytes: Bytes) -> Result<(), SinkError> {
        self.place.pass_or_wait().await?;
        self.sink.resume_encoded(number, bytes).await
    }

    async fn commit(&mut self, prepared: &Prepared) -> Result<Committed, SinkError> {
        self.place.pass_or_wait().await?;
        let committed = self.sink.commit(prepared).await?;
        self.place.pass_or_wait().await?;
        Ok(committed)
    }
}
