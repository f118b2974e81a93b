//! Keeps a pipeline's state small: long lists of blocks are merged beside the flow, and what is beyond the memory budget
//! goes to the local disk.

use datafusion::common::{DataFusionError, Result as DataFusionResult};
use tokio::task::JoinHandle;

use super::coordinator::CoordinatorMessage;
use super::error::RunError;
use super::pipeline::{CutStore, PipelineTask, Windows};
use crate::window::Compacted;

/// A merge of blocks that runs elsewhere, for the store of one cut.
pub(super) struct Compacting {
    cut: usize,
    merging: JoinHandle<DataFusionResult<Compacted>>,
}

impl PipelineTask {
    /// Begins a merge of blocks on another thread, where one pays and none runs.
    pub(super) fn start_compaction(&mut self) {
        if self.compacting.is_some() {
            return;
        }
        let stores = self.windows.iter().flat_map(|windows| windows.stores.iter().enumerate());
        let found = stores.filter_map(|(cut, store)| match store {
            CutStore::Grid(store) => Some((cut, store.compaction()?)),
            CutStore::Session(_) => None,
        });
        if let Some((cut, compaction)) = found.into_iter().next() {
            let merging = tokio::task::spawn_blocking(move || compaction.run());
            self.compacting = Some(Compacting { cut, merging });
        }
    }

    pub(super) fn compacted(&mut self, (cut, merged): (usize, DataFusionResult<Compacted>)) -> Result<(), RunError> {
        let merged = merged.map_err(|error| RunError::query(&self.name, &error))?;
        if let Some(Windows { stores, .. }) = &mut self.windows
            && let CutStore::Grid(store) = &mut stores[cut]
        {
            store.compacted(&merged);
        }
        self.start_compaction();
        Ok(())
    }

    /// Runs every merge that pays, here and now.
    #[cfg(test)]
    pub(super) fn compact(&mut self) -> Result<(), RunError> {
        for store in self.windows.iter_mut().flat_map(|windows| &mut windows.stores) {
            if let CutStore::Grid(store) = store {
                store.compact().map_err(|error| RunError::query(&self.name, &error))?;
            }
        }
        Ok(())
    }

    /// Lets go of memory, if there is too little: state goes to the local disk, and what a checkpoint stores of rows on their
    /// way need not be kept.
    pub(super) fn relieve(&mut self) -> Result<(), RunError> {
        let over = self.parts.budget.over();
        if over == 0 {
            return Ok(());
        }
        let failed = |error| RunError::query(&self.name, &error);
        let mut freed = 0;
        for store in self.windows.iter_mut().flat_map(|windows| &mut windows.stores) {
            match store {
                _ if freed >= over => break,
                CutStore::Grid(store) => freed += store.spill(over - freed).map_err(failed)?,
                CutStore::Session(store) => {
                    for block in store.blocks() {
                        if freed < over {
                            freed += block.spill().map_err(failed)?;
                        }
                    }
                }
            }
        }
        if freed < over {
            self.tell(CoordinatorMessage::Pressure)?;
        }
        Ok(())
    }
}

/// Waits for a merge; for ever if none runs.
pub(super) async fn merged(compacting: &mut Option<Compacting>) -> (usize, DataFusionResult<Compacted>) {
    let Some(Compacting { cut, merging }) = compacting else { return std::future::pending().await };
    let (cut, merged) = (*cut, merging.await);
    *compacting = None;
    (cut, merged.unwrap_or_else(|error| Err(DataFusionError::External(Box::new(error)))))
}
