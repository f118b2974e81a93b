//! The options, checked against each other.

use std::time::Duration;

use azure_messaging_eventhubs::ConnectionString;
use url::Url;

use super::patience::Patience;
use super::{CheckpointStoreOptions, ClientSecret, EventHubsOptions};
use crate::error::SourceError;
use crate::secret::Secret;
use crate::start::Start;

/// The most that a receiver may ask for ahead: a client's counters are 16 bits wide in places.
const MAX_PREFETCH: u32 = 50_000;

/// Options that make sense together.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Host of the namespace, in lower case.
    pub(super) namespace: String,
    pub(super) hub: String,
    pub(super) group: String,
    pub(super) identity: Identity,
    pub(super) owner_level: Option<i64>,
    pub(super) prefetch: u32,
    pub(super) endpoint: Option<Url>,
    pub(super) start: Start,
    pub(super) refresh: Duration,
    pub(super) store: Option<CheckpointStoreOptions>,
    pub(super) patience: Patience,
}

/// Who reads.
#[derive(Debug, Clone)]
pub(super) enum Identity {
    /// The key of a policy.
    Key(Secret),
    /// An application of Entra.
    Application(ClientSecret),
    /// Whatever the machine has: workload identity, managed identity, or a developer's login.
    Machine,
}

impl Settings {
    /// Checks `options`.
    pub(super) fn new(options: &EventHubsOptions) -> Result<Self, SourceError> {
        let identity = match (&options.connection_string, &options.client_secret) {
            (Some(_), Some(_)) => {
                return Err(SourceError::config("`connection_string` and `client_secret` are both given: keep one"));
            }
            (Some(key), None) => Identity::Key(key.clone()),
            (None, Some(application)) => Identity::Application(application.clone()),
            (None, None) => Identity::Machine,
        };
        let named = match &options.connection_string {
            Some(text) => Some(in_connection_string(text, &options.hub)?),
            None => None,
        };
        let namespace = match (&options.namespace, named) {
            (Some(namespace), Some(named)) if !namespace.eq_ignore_ascii_case(&named) => {
                return Err(SourceError::config(format!(
                    "`namespace` is {namespace}, but `connection_string` is of {named}: leave `namespace` out"
                )));
            }
            (Some(namespace), _) => namespace.to_ascii_lowercase(),
            (None, Some(named)) => named.to_ascii_lowercase(),
            (None, None) => {
                return Err(SourceError::config(
                    "`namespace` is missing: write the host, such as \"acme.servicebus.windows.net\"",
                ));
            }
        };
        if namespace.is_empty() || namespace.contains(['/', ':', ' ']) {
            return Err(SourceError::config(format!(
                "`namespace` \"{namespace}\" is no host: write for example \"acme.servicebus.windows.net\""
            )));
        }
        for (key, value) in [("hub", &options.hub), ("consumer_group", &options.consumer_group)] {
            if value.is_empty() || value.contains(['/', '?', '#', ' ']) {
                return Err(SourceError::config(format!("`{key}` \"{value}\" is no name")));
            }
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
            namespace,
            hub: options.hub.clone(),
            group: options.consumer_group.clone(),
            endpoint: endpoint(options.endpoint.as_deref(), &identity)?,
            identity,
            owner_level: options.owner_level,
            prefetch: options.prefetch,
            start: options.start,
            refresh: options.refresh.0,
            store: options.checkpoint_store.clone(),
            patience: Patience::default(),
        })
    }
}

/// The namespace that a connection string names; it must not name another hub.
fn in_connection_string(text: &Secret, hub: &str) -> Result<String, SourceError> {
    // The parser's own words could hold a piece of the key.
    let parsed: ConnectionString = text.expose().parse().map_err(|_| {
        SourceError::config(
            "`connection_string` is none: copy it whole, Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…",
        )
    })?;
    match parsed.entity_path {
        Some(entity) if entity != hub => Err(SourceError::config(format!(
            "`hub` is {hub}, but `connection_string` is of the hub {entity}: take one of {hub}, or of the whole namespace"
        ))),
        _ => Ok(parsed.fully_qualified_namespace),
    }
}

/// The address to connect to instead of the namespace. A token of Entra opens more than one hub: it never goes out in the clear.
fn endpoint(text: Option<&str>, identity: &Identity) -> Result<Option<Url>, SourceError> {
    let Some(text) = text else { return Ok(None) };
    let bad = || {
        SourceError::config(format!(
            "`endpoint` \"{text}\" is no address: write for example \"amqps://127.0.0.1:5671\""
        ))
    };
    let url = Url::parse(text).map_err(|_| bad())?;
    match (url.scheme(), identity) {
        _ if url.host_str().is_none() || !url.username().is_empty() || url.password().is_some() => Err(bad()),
        ("amqps", _) | ("amqp", Identity::Key(_)) => Ok(Some(url)),
        ("amqp", _) => Err(SourceError::config(
            "`endpoint` is not encrypted, and would show a token of Entra: write amqps://, or read by a `connection_string`",
        )),
        _ => Err(bad()),
    }
}
