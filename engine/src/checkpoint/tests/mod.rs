#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chain;
mod create;
mod document;
mod local;
mod race;
mod segment;
mod sweep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use futures::executor::block_on;
use futures::{FutureExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::faulty::{Fault, FaultyStore, Operation};
use super::*;
use crate::environment::{Environment, Simulated};
use crate::report::Counts;

/// A manifest with `read` as its only mark, and these pieces.
fn manifest(read: u64, pieces: Vec<Piece>) -> Manifest {
    let rows = pieces.into_iter().enumerate().map(|(number, piece)| (number as u64, piece)).collect();
    let pipeline = PipelineState {
        sql_hash: "s".into(),
        fingerprint: "f".into(),
        sketches: 0,
        closed_through: Some(7),
        last_window: None,
        counters: Counts::default(),
        open_windows: 1,
        cuts: Vec::new(),
        out: OutletState { next: 3, rows, ..OutletState::default() },
        late: OutletState::default(),
    };
    Manifest {
        files_before: 0,
        version: 0,
        epoch: 0,
        generation: 0,
        owner: String::new(),
        lost_split: None,
        written_at: String::new(),
        region: "eu".into(),
        engine: "0.1.0".into(),
        datafusion: "55".into(),
        config_hash: "c".into(),
        counters: Counts { read, ..Counts::default() },
        sources: BTreeMap::new(),
        pipelines: [("p".to_string(), pipeline)].into(),
    }
}

fn same(newest: Option<&Manifest>, _epoch: u64) -> Result<Manifest, StateError> {
    Ok(newest.cloned().unwrap_or_else(|| manifest(0, Vec::new())))
}

fn rows(from: i64, count: i64) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + count));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((from..from + count).map(|n| format!("name {n}"))));
    RecordBatch::try_from_iter([("number", numbers), ("name", names)]).unwrap()
}

/// A segment with one batch, and its piece.
fn segment(name: &str, batch: &RecordBatch) -> (Bytes, Piece) {
    let mut writer = SegmentWriter::new(name);
    let piece = writer.push(batch).unwrap();
    (writer.finish(), piece)
}

/// One store with faults and a world to go with it.
struct Rig {
    memory: Arc<InMemory>,
    world: Simulated,
    store: FaultyStore,
}

impl Rig {
    fn new(seed: u64) -> Self {
        Self::over(Arc::new(InMemory::new()), seed)
    }

    fn over(memory: Arc<InMemory>, seed: u64) -> Self {
        // Objects in memory are dated by the clock on the wall.
        let world = Simulated::beginning_at(seed, SystemTime::now());
        let store = FaultyStore::new(memory.clone(), Arc::new(world.clone()), seed);
        Self { memory, world, store }
    }

    fn state(&self) -> StateStore {
        StateStore::new(Arc::new(self.store.clone()), "memory://state", Arc::new(self.world.clone()))
    }

    fn chain(&self) -> Chain {
        Chain::of(self.state(), &Path::from("root"))
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let folder = Path::from(format!("root/{folder}"));
        let listed = self.memory.list(Some(&folder)).try_collect::<Vec<_>>();
        // Memory is ready at once.
        let listed = listed.now_or_never().unwrap().unwrap();
        listed.into_iter().map(|object| object.location.filename().unwrap().to_string()).collect()
    }
}

/// A piece of a segment that was never put.
fn nowhere(name: String) -> Piece {
    Piece { segment: name, offset: 0, length: 1, rows: 1, crc32: 0 }
}

/// A chain that has grown to `epochs`.
async fn grown(chain: &Chain, epochs: u64) -> Writer {
    let mut writer = chain.take_over(same).await.unwrap();
    while writer.newest().epoch < epochs {
        writer.append(manifest(writer.next_epoch(), Vec::new())).await.unwrap();
    }
    writer
}

async fn sweep_often(chain: &Chain, newest: &Manifest) {
    for _ in 0..4 {
        chain.sweep(newest).await;
    }
}
