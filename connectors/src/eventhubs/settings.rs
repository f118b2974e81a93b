//! The options, checked against each other.

use std::time::Duration;

use watershed_clients::azure::{Hub, HubKeys};

use super::patience::Patience;
use super::{CheckpointStoreOptions, EventHubsOptions};
use crate::error::SourceError;
use crate::start::Start;

/// The most that a receiver may ask for ahead: a client's counters are 16 bits wide in places.
const MAX_PREFETCH: u32 = 50_000;

/// Options that make sense together.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) hub: Hub,
    pub(super) group: String,
    pub(super) owner_level: Option<i64>,
    pub(super) prefetch: u32,
    pub(super) start: Start,
    pub(super) refresh: Duration,
    pub(super) store: Option<CheckpointStoreOptions>,
    pub(super) patience: Patience,
}

impl Settings {
    /// Checks `options`.
    pub(super) fn new(options: &EventHubsOptions) -> Result<Self, SourceError> {
        let hub = Hub::new(HubKeys {
            namespace: options.namespace.as_deref(),
            hub: &options.hub,
            connection_string: options.connection_string.as_ref(),
            client_secret: options.client_secret.as_ref(),
            endpoint: options.endpoint.as_deref(),
        })?;
        let group = &options.consumer_group;
        if group.is_empty() || group.contains(['/', '?', '#', ' ']) {
            return Err(SourceError::config(format!("`consumer_group` \"{group}\" is no name")));
        }
        if options.prefetch == 0 || options.prefetch > MAX_PREFETCH {
            return Err(SourceError::config(format!("`prefetch` is out of range: write 1 to {MAX_PREFETCH}")));
        }
        if options.owner_level.is_some_and(|level| level < 0) {
            return Err(SourceError::config("`owner_level` is negative: write 0 or more"));
        }
        if options.tls.is_some() {
            return Err(SourceError::config(
                "`tls` is read by `protocol` = \"kafka\" only: over AMQP, give the daemon the file by SSL_CERT_FILE",
            ));
        }
        if options.refresh.0.is_zero() {
            return Err(SourceError::config("`refresh` is zero: write for example \"10s\""));
        }
        Ok(Self {
            hub,
            group: options.consumer_group.clone(),
            owner_level: options.owner_level,
            prefetch: options.prefetch,
            start: options.start,
            refresh: options.refresh.0,
            store: options.checkpoint_store.clone(),
            patience: Patience::default(),
        })
    }
}
