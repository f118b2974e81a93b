//! Looks after what sinks have written, beside the flow: when a run starts, and then as often as a sink asks for it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use watershed_sinks::{Amount, Swept, Upkeep};

use super::board::Board;
use super::world::World;

/// What looks after the files of one pipeline in one sink.
#[derive(Debug)]
pub(super) struct Sweeping {
    pub(super) pipeline: Arc<str>,
    pub(super) sink: String,
    /// That of each sink that is made there; the last one counts.
    pub(super) upkeep: UnboundedReceiver<Box<dyn Upkeep>>,
}

/// Sweeps until `finished` turns true; a sweep that is under way then ends soon.
pub(super) async fn run(sweeping: Sweeping, world: World, board: Arc<Board>, mut finished: watch::Receiver<bool>) {
    let Sweeping { pipeline, sink, upkeep: mut newest } = sweeping;
    let asked = finished.clone();
    let Some(mut upkeep) = newest.recv().await else { return };
    loop {
        while let Ok(newer) = newest.try_recv() {
            upkeep = newer;
        }
        let mut swept = Swept::default();
        let now = DateTime::<Utc>::from(world.environment.now());
        let done = upkeep.sweep(now, &|| *asked.borrow(), &mut swept).await;
        board.swept(&pipeline, &sink, &swept);
        tell(&pipeline, &sink, &swept);
        // What is to be done today is so tomorrow.
        if let Err(error) = done {
            let every = upkeep.every();
            tracing::warn!(%pipeline, %sink, %error, "not all of its files were looked after, trying again in {every:?}");
        }
        tokio::select! {
            () = world.environment.sleep(upkeep.every()) => {}
            _ = finished.wait_for(|finished| *finished) => return,
        }
    }
}

fn tell(pipeline: &str, sink: &str, swept: &Swept) {
    let Swept { expired, compacted, vacuumed } = swept;
    if expired.files > 0 {
        let (files, bytes) = (expired.files, expired.bytes);
        let partitions: Vec<_> = expired.partitions.iter().map(String::as_str).collect();
        let partitions = partitions.join(", ");
        tracing::info!(%pipeline, %sink, files, bytes, %partitions, "old partitions are removed");
    }
    if !compacted.is_empty() {
        let partitions = compacted.len();
        let before: Amount = compacted.values().map(|compacted| compacted.before).sum();
        let after: Amount = compacted.values().map(|compacted| compacted.after).sum();
        let (files, into, bytes) = (before.files, after.files, after.bytes);
        tracing::info!(%pipeline, %sink, partitions, files, into, bytes, "small files are merged");
    }
    if vacuumed.files > 0 {
        let Amount { files, bytes } = vacuumed;
        tracing::info!(%pipeline, %sink, files, bytes, "files that the table no longer has are deleted");
    }
}
