//! The sink: the files of the parquet sink, shown, and then an entry of the log.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use deltalake_core::kernel::Add;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use super::columns::Columns;
use super::log::{Location, Log};
use super::upkeep::TableUpkeep;
use crate::error::SinkError;
use crate::parquet::{Clock, ParquetOptions, ParquetSink, PreparedFile};
use crate::sink::{Committed, Flush, Held, Prepared, Sink, SinkContext};
use crate::store::{self, Patience, Store};
use crate::upkeep::Upkeep;

/// Writes the rows of one pipeline to a Delta table. Readers see what its log names, whole epochs at a time.
#[derive(Debug)]
pub struct DeltaSink {
    files: ParquetSink,
    log: Log,
    /// Until it is asked for.
    upkeep: Option<TableUpkeep>,
}

/// The files of an epoch, as they travel in the manifest.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// The epoch that prepared them: what the log remembers.
    epoch: u64,
    files: serde_json::Value,
}

impl DeltaSink {
    /// A sink that writes to the table at `options.url`, which is made if it is missing.
    pub fn at(options: ParquetOptions, context: SinkContext, clock: Clock) -> Result<Self, SinkError> {
        match store::Location::of(&options.url)? {
            store::Location::Store(_) => {
                let store = store::open(&options.url, &options.store, Patience::Sink)?;
                Self::new(options, context, store, clock)
            }
            store::Location::Folder(_) => Self::local(options, context, clock),
        }
    }

    /// A sink that writes to a table in `store`, whatever the url.
    pub fn new(options: ParquetOptions, context: SinkContext, store: Store, clock: Clock) -> Result<Self, SinkError> {
        let upkeep = TableUpkeep::new(&options, &context, store.clone(), Arc::clone(&clock))?;
        let log = log(Location::store(&store), &options, &context)?;
        let files = ParquetSink::new(with_stats(options), context, store, clock)?;
        Ok(Self { files, log, upkeep: Some(upkeep) })
    }

    /// A sink that writes to a table in the local folder `options.url`.
    pub fn local(options: ParquetOptions, context: SinkContext, clock: Clock) -> Result<Self, SinkError> {
        Self::local_with(options, context, clock, |store| store)
    }

    /// As [`Self::local`], through what `wrap` makes of the stores of that folder: ones that fail on demand, say. Its files, its
    /// log and its upkeep have one each; see [`ParquetSink::local_with`] for what goes to the disk directly.
    pub fn local_with(
        options: ParquetOptions,
        context: SinkContext,
        clock: Clock,
        wrap: impl Fn(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>,
    ) -> Result<Self, SinkError> {
        // First what can be said without touching the folder, which the files' sink makes.
        check(&options, &context)?;
        let files = ParquetSink::local_with(with_stats(options.clone()), context.clone(), Arc::clone(&clock), &wrap)?;
        let place = Location::folder(&options)?.through(&wrap);
        let upkeep = TableUpkeep::local(&options, &context, clock, &wrap)?;
        Ok(Self { files, log: log(place, &options, &context)?, upkeep: Some(upkeep) })
    }

    /// Finds out whether everything that a run will ask of the place is allowed, and whether the table can take the rows. Says
    /// what it found; nothing stays there.
    pub async fn probe(&mut self) -> Result<String, SinkError> {
        let files = self.files.probe().await?;
        Ok(format!("{files}; {}", self.log.probe().await?))
    }
}

/// Checks options against the output of a pipeline, without touching the place.
pub fn check(options: &ParquetOptions, context: &SinkContext) -> Result<(), SinkError> {
    options.check(context)?;
    Columns::of(&options.layout(context)?).map(drop)
}

pub(super) fn log(place: Location, options: &ParquetOptions, context: &SinkContext) -> Result<Log, SinkError> {
    let columns = Columns::of(&options.layout(context)?)?;
    // Regions may share a table, and each has epochs of its own; a pipeline and its late rows have the same ones.
    let late = if context.late { "/late" } else { "" };
    Log::new(place, columns, format!("watershed/{}/{}{late}", context.region, context.pipeline))
}

pub(super) fn with_stats(options: ParquetOptions) -> ParquetOptions {
    ParquetOptions { stats: true, ..options }
}

#[async_trait]
impl Sink for DeltaSink {
    async fn open(&mut self) -> Result<u64, SinkError> {
        let seen = self.log.open().await?.unwrap_or(0);
        Ok(self.files.open().await?.max(seen + 1))
    }

    async fn write(&mut self, number: u64, batch: RecordBatch) -> Result<(), SinkError> {
        self.files.write(number, batch).await
    }

    async fn prepare(&mut self, epoch: u64, flush: Flush) -> Result<Prepared, SinkError> {
        let Prepared(files) = self.files.prepare(epoch, flush).await?;
        if files.is_null() {
            return Ok(Prepared::nothing());
        }
        let entry =
            serde_json::to_value(Entry { epoch, files }).map_err(|error| SinkError::fatal("delta sink", error))?;
        Ok(Prepared(entry))
    }

    fn held(&self) -> Option<Held> {
        self.files.held()
    }

    async fn resume(&mut self, held: &Held) -> Result<(), SinkError> {
        self.files.resume(held).await
    }

    async fn resume_encoded(&mut self, number: u64, bytes: Bytes) -> Result<(), SinkError> {
        self.files.resume_encoded(number, bytes).await
    }

    fn upkeep(&mut self) -> Option<Box<dyn Upkeep>> {
        let upkeep = self.upkeep.take_if(|upkeep| upkeep.is_wanted())?;
        Some(Box::new(upkeep))
    }

    async fn commit(&mut self, prepared: &Prepared) -> Result<Committed, SinkError> {
        if prepared.is_nothing() {
            return self.files.commit(prepared).await;
        }
        let unreadable = |error| {
            let what =
                "what was prepared is no delta sink's; run once more with the connector that it had, and stop it";
            SinkError::fatal(what, error)
        };
        let Entry { epoch, files } = Entry::deserialize(&prepared.0).map_err(unreadable)?;
        let names = Vec::<PreparedFile>::deserialize(&files).map_err(unreadable)?;
        // Done before, so that others may have put other files in their place since.
        if self.log.has(epoch).await? {
            let bytes = names.iter().map(|file| file.bytes).sum();
            return Ok(Committed { files: names.len() as u64, bytes });
        }
        let committed = self.files.commit(&Prepared(files)).await?;
        let added: Vec<Add> = names.into_iter().map(|file| self.log.added(file)).collect();
        self.log.add(epoch, &added).await?;
        Ok(committed)
    }
}
