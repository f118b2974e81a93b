//! Removes partitions that are older than a sink is to keep: when a run starts, and every hour.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use watershed_sinks::Retention;

use super::board::Board;
use super::world::World;

/// Partitions are hours or days long, and each look lists a lake.
const EVERY: Duration = Duration::from_secs(3600);

/// What removes old partitions of one pipeline from one sink.
#[derive(Debug)]
pub(super) struct Expiring {
    pub(super) pipeline: Arc<str>,
    pub(super) sink: String,
    /// Of the sink that writes there now.
    pub(super) retention: watch::Receiver<Retention>,
}

/// Sweeps until `finished` turns true; a sweep that is under way is then brought to its end.
pub(super) async fn run(expiring: Expiring, world: World, board: Arc<Board>, mut finished: watch::Receiver<bool>) {
    let Expiring { pipeline, sink, retention } = expiring;
    loop {
        let retention = retention.borrow().clone();
        match retention.sweep(DateTime::<Utc>::from(world.environment.now())).await {
            Ok(expired) => {
                board.expired(&pipeline, &sink, expired.files);
                if expired.files > 0 {
                    let (files, bytes) = (expired.files, expired.bytes);
                    let partitions: Vec<_> = expired.partitions.iter().map(String::as_str).collect();
                    let partitions = partitions.join(", ");
                    tracing::info!(%pipeline, %sink, files, bytes, %partitions, "old partitions are removed");
                }
            }
            // What is too old today is so tomorrow.
            Err(error) => {
                tracing::warn!(%pipeline, %sink, %error, "old partitions not removed, trying again in an hour")
            }
        }
        tokio::select! {
            () = world.environment.sleep(EVERY) => {}
            _ = finished.wait_for(|finished| *finished) => return,
        }
    }
}
