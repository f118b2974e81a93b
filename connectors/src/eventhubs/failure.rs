//! Sorts what the client and the service say went wrong by what to do about it.

use azure_messaging_eventhubs::EventHubsError;
use azure_messaging_eventhubs::error::ErrorKind;
use watershed_clients::azure::{self, Claim, Trouble};

use super::settings::Settings;
use crate::error::SourceError;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing<'a> {
    /// Connecting, or asking for the hub's properties.
    Connecting,
    /// Asking for a partition's properties.
    Looking(&'a str),
    /// Receiving from a partition.
    Receiving(&'a str),
}

/// Sorts an error of the client.
pub(super) fn trouble(error: &EventHubsError) -> Trouble {
    if matches!(error.kind, ErrorKind::ConsumerDisconnected(_)) {
        return Trouble::Stolen;
    }
    Trouble::of(error)
}

/// What the error says, without the names of its types.
pub(super) fn words(error: &EventHubsError) -> String {
    if let ErrorKind::ConsumerDisconnected(Some(described)) = &error.kind {
        return described.description.clone().unwrap_or_else(|| "amqp:link:stolen".to_string());
    }
    azure::words(error)
}

/// What the engine is told.
pub(super) fn failed(settings: &Settings, doing: Doing<'_>, error: &EventHubsError) -> SourceError {
    explain(settings, doing, trouble(error), words(error))
}

/// The error for `trouble`, which the service tells in `words`.
pub(super) fn explain(settings: &Settings, doing: Doing<'_>, trouble: Trouble, words: String) -> SourceError {
    let Settings { hub, group, .. } = settings;
    let what = match doing {
        Doing::Connecting => hub.place(),
        Doing::Looking(partition) | Doing::Receiving(partition) => settings.name_of(partition),
    };
    match (trouble, doing) {
        (Trouble::Stolen, _) => SourceError::fatal(
            format!(
                "{what}: another reader of consumer group {group} has the same or a higher owner level; stop it, read in a \
                 consumer group of your own, or raise `owner_level`"
            ),
            words,
        ),
        (Trouble::NotFound, Doing::Receiving(_)) => SourceError::config(format!(
            "{what}: the service does not find consumer group {group} or the partition ({words}); create the group, or \
             correct `consumer_group`"
        )),
        (Trouble::Quota, _) => SourceError::retry(
            format!("{what} has as many readers as consumer group {group} may have; stop some, or set `owner_level`"),
            words,
        ),
        (Trouble::Passing, Doing::Connecting) => SourceError::retry(hub.unreached(), words),
        _ => hub.explain(&what, Claim::Listen, trouble, words).into(),
    }
}
