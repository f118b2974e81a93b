//! Copies checkpoints to Blob Storage, where Microsoft's clients keep theirs: for dashboards, and for whoever takes over. Nothing
//! here is ever read back; positions come from our own checkpoint.
//!
//! The layout is `{namespace}/{hub}/{group}/checkpoint/{partition}`, in lower case: an empty blob whose metadata holds the sequence
//! number and the offset of the last event that is done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::azure::MicrosoftAzureBuilder;
use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectStore, ObjectStoreExt, PutOptions, PutPayload};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::CheckpointStoreOptions;
use super::place::Place;
use super::settings::Settings;
use crate::error::SourceError;
use crate::source::SplitId;

/// Between two writes of one partition.
const EVERY: Duration = Duration::from_secs(3);
/// The last write, when the run ends.
const LAST: Duration = Duration::from_secs(10);

/// What is still to be written: the latest of each partition.
type Pending = BTreeMap<SplitId, (i64, Option<String>)>;

/// Writes checkpoints, in its own time.
#[derive(Debug)]
pub(super) struct Mirror {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    pending: Mutex<Pending>,
    noted: Notify,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Mirror {
    /// A mirror that writes from its first note on.
    pub(super) fn new(settings: &Settings, options: &CheckpointStoreOptions) -> Result<Arc<Self>, SourceError> {
        Ok(Arc::new(Self {
            store: store(options)?,
            prefix: prefix(settings),
            pending: Mutex::default(),
            noted: Notify::new(),
            stop: watch::channel(false).0,
            task: Mutex::default(),
        }))
    }

    /// Takes note of what is durable; never waits.
    pub(super) fn note(self: &Arc<Self>, split: &SplitId, place: &Place) {
        let Place::Behind { sequence, offset } = place else { return };
        // Before the first event there is nothing that others could go on from.
        if offset.is_none() {
            return;
        }
        self.pending().insert(split.clone(), (*sequence, offset.clone()));
        self.noted.notify_one();
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.is_none() {
            *task = Some(tokio::spawn(self.clone().run()));
        }
    }

    /// Writes what is left, within its time.
    pub(super) async fn close(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut task) = task
            && tokio::time::timeout(LAST, &mut task).await.is_err()
        {
            task.abort();
            tracing::warn!("the last checkpoints were not mirrored in time");
        }
    }

    /// Tries the store: reads a blob that need not be there.
    pub(super) async fn probe(&self) -> Result<(), SourceError> {
        let path = self.path("0")?;
        match self.store.head(&path).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(SourceError::config(format!(
                "`checkpoint_store` can't be read ({error}); is the container there, and has the identity the role Storage Blob \
                 Data Contributor?"
            ))),
        }
    }

    async fn run(self: Arc<Self>) {
        let mut stop = self.stop.subscribe();
        let mut failing = false;
        loop {
            tokio::select! {
                () = self.noted.notified() => {}
                // Without a sender there is nobody to write for.
                _ = stop.wait_for(|stop| *stop) => {}
            }
            let pending = std::mem::take(&mut *self.pending());
            for (split, (sequence, offset)) in pending {
                match self.write(&split, sequence, offset.as_deref().unwrap_or_default()).await {
                    Ok(()) if std::mem::take(&mut failing) => tracing::info!("mirroring checkpoints again"),
                    Ok(()) => {}
                    Err(error) => {
                        self.pending().entry(split).or_insert((sequence, offset));
                        if !std::mem::replace(&mut failing, true) {
                            tracing::warn!(%error, "checkpoints are not mirrored; nothing else depends on it");
                        }
                    }
                }
            }
            if *stop.borrow() {
                return;
            }
            // Neither the end of the pause nor that of the run is an error.
            let _ = tokio::time::timeout(EVERY, stop.wait_for(|stop| *stop)).await;
            if failing {
                self.noted.notify_one();
            }
        }
    }

    async fn write(&self, split: &SplitId, sequence: i64, offset: &str) -> Result<(), object_store::Error> {
        let path = self
            .path(split.as_str())
            .map_err(|error| object_store::Error::Generic { store: "checkpoint store", source: error.into() })?;
        let attributes = Attributes::from_iter([
            (Attribute::Metadata("sequencenumber".into()), sequence.to_string()),
            (Attribute::Metadata("offset".into()), offset.to_string()),
        ]);
        let options = PutOptions { attributes, ..PutOptions::default() };
        self.store.put_opts(&path, PutPayload::new(), options).await?;
        Ok(())
    }

    fn path(&self, partition: &str) -> Result<Path, SourceError> {
        // Parsed, not built of parts: `$` stays as it is.
        Path::parse(format!("{}/{partition}", self.prefix))
            .map_err(|error| SourceError::config(format!("`checkpoint_store`: no path for these names ({error})")))
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Pending> {
        // Nobody panics while holding the lock.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the checkpoints of a hub and a group lie.
pub(super) fn prefix(settings: &Settings) -> String {
    format!("{}/{}/{}/checkpoint", settings.hub.namespace, settings.hub.name, settings.group).to_lowercase()
}

fn store(options: &CheckpointStoreOptions) -> Result<Arc<dyn ObjectStore>, SourceError> {
    let container = options.url.strip_prefix("az://").map(|rest| rest.trim_end_matches('/'));
    let Some(container) = container.filter(|name| !name.is_empty() && !name.contains('/')) else {
        return Err(SourceError::config(format!(
            "`checkpoint_store` has the url \"{}\": write \"az://CONTAINER\", which Microsoft's clients are given too",
            options.url
        )));
    };
    let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(container);
    if let Some(account) = &options.account {
        builder = builder.with_account(account);
    }
    if let Some(key) = &options.account_key {
        builder = builder.with_access_key(key.expose());
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint.clone());
    }
    // The store's own words may show what it was given.
    let store = builder.build().map_err(|_| {
        SourceError::config(
            "`checkpoint_store` is not complete, or its key is no base64: write `account`, and `account_key` if the machine \
             has no identity",
        )
    })?;
    Ok(Arc::new(store))
}
