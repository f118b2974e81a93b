//! Removes what no recovery can need any more.
//!
//! The one idea: a recovery reads the newest manifest and what it names, and what later manifests name is in that one or
//! in a segment of a later epoch. So a segment of an earlier epoch that it does not name is garbage, whoever asks: also a
//! sweep that has slept finds no more than that.
//!
//! | object | goes when |
//! |---|---|
//! | segment | its epoch is below the newest, and the newest manifest does not name it |
//! | manifest | it is a day old, lies below the last milestone, and is none itself |
//!
//! What this process wrote it remembers; what dead ones left is listed at the beginning and once an hour.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use object_store::ObjectStore;
use object_store::path::Path;

use super::chain::Chain;
use super::error::StateError;
use super::manifest::Manifest;
use super::names;

/// Manifests stay so long, for whoever wants to see what happened.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Time between two listings.
const LIST_EVERY: Duration = Duration::from_secs(3600);
/// Objects removed by one sweep: one request to S3, and no long pause elsewhere.
const AT_MOST: usize = 1000;

/// What is known to lie in the store.
#[derive(Debug, Default)]
pub(super) struct Known {
    segments: BTreeSet<String>,
    manifests: BTreeMap<u64, SystemTime>,
    listed_at: Option<Duration>,
    failing: bool,
}

impl Known {
    pub(super) fn add_segment(&mut self, name: &str) {
        self.segments.insert(name.to_string());
    }

    pub(super) fn add_manifest(&mut self, manifest: &Manifest, written: SystemTime) {
        self.manifests.insert(manifest.epoch, written);
        self.segments.extend(manifest.pieces().map(|piece| piece.segment.clone()));
    }

    /// Takes out what may go.
    fn garbage(&mut self, newest: &Manifest, now: SystemTime) -> (BTreeSet<String>, BTreeSet<u64>) {
        let named: BTreeSet<&str> = newest.pieces().map(|piece| piece.segment.as_str()).collect();
        let garbage = |name: &&String| {
            let over = names::segment_epoch(name).is_some_and(|epoch| epoch < newest.epoch);
            over && !named.contains(name.as_str())
        };
        let segments: BTreeSet<String> = self.segments.iter().filter(garbage).take(AT_MOST).cloned().collect();
        let old = |written: &SystemTime| now.duration_since(*written).is_ok_and(|age| age >= DAY);
        let manifests = self.manifests.iter().filter(|(epoch, at)| names::may_go(**epoch, newest.epoch) && old(at));
        let manifests: BTreeSet<u64> = manifests.map(|(epoch, _)| *epoch).take(AT_MOST).collect();
        self.segments.retain(|name| !segments.contains(name));
        self.manifests.retain(|epoch, _| !manifests.contains(epoch));
        (segments, manifests)
    }
}

impl Chain {
    /// Removes what `newest`, which is in the chain, leaves behind. A failure is a warning: the next listing finds it again.
    pub async fn sweep(&self, newest: &Manifest) {
        let swept = self.try_sweep(newest).await;
        let failing = std::mem::replace(&mut self.known().failing, swept.is_err());
        match swept {
            Err(error) if !failing => {
                tracing::warn!(%error, "old state is not removed; it costs space and nothing else");
            }
            Ok(()) if failing => tracing::info!("old state is removed again"),
            _ => {}
        }
    }

    async fn try_sweep(&self, newest: &Manifest) -> Result<(), StateError> {
        let elapsed = self.store().environment().elapsed();
        let due = self.known().listed_at.is_none_or(|at| elapsed.saturating_sub(at) >= LIST_EVERY);
        if due {
            self.known().listed_at = Some(elapsed);
            self.list_all().await?;
        }
        let (segments, manifests) = self.known().garbage(newest, self.store().environment().now());
        let segments = segments.into_iter().map(|name| self.segments().clone().join(name));
        let manifests = manifests.into_iter().map(|epoch| self.manifest_path(epoch));
        self.remove(segments.chain(manifests).collect()).await
    }

    async fn list_all(&self) -> Result<(), StateError> {
        let segments = self.store().list(self.segments()).await?;
        let manifests = self.store().list(self.checkpoints()).await?;
        let mut known = self.known();
        known.segments.extend(segments.iter().filter_map(|object| Some(object.location.filename()?.to_string())));
        let dated = |object: &object_store::ObjectMeta| {
            Some((names::manifest_epoch(object.location.filename()?)?, object.last_modified.into()))
        };
        known.manifests.extend(manifests.iter().filter_map(dated));
        Ok(())
    }

    async fn remove(&self, paths: Vec<Path>) -> Result<(), StateError> {
        let Some(first) = paths.first() else { return Ok(()) };
        let doing = format!("remove {} old objects, {} first", paths.len(), self.store().shown(first));
        let gone = async {
            let paths = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
            let mut answers = self.store().object_store().delete_stream(paths);
            let mut failure = None;
            while let Some(answer) = answers.next().await {
                match answer {
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => failure = Some(error),
                }
            }
            failure.map_or(Ok(()), Err)
        };
        // Deleting a thousand objects one by one takes a while.
        self.store().once(64 << 20, gone).await.map_err(|error| StateError::store(&doing, error))
    }
}
