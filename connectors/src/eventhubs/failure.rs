//! Sorts what the client and the service say went wrong by what to do about it.

use std::error::Error;

use azure_core::error::ErrorKind as CoreKind;
use azure_core_amqp::AmqpError;
use azure_core_amqp::error::{AmqpErrorCondition, AmqpErrorKind};
use azure_messaging_eventhubs::EventHubsError;
use azure_messaging_eventhubs::error::ErrorKind;

use super::settings::Settings;
use crate::error::SourceError;

/// How deep causes are looked into.
const MAX_DEPTH: usize = 16;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Another receiver with the same or a higher owner level has the partition.
    Stolen,
    /// The hub, its consumer group or the partition is not there.
    NotFound,
    /// The identity is not let in.
    Denied,
    /// There is no identity to show.
    NoIdentity,
    /// The service asks for a pause.
    Throttled,
    /// Too many receivers.
    Quota,
    /// Nobody whom this machine trusts has signed the certificate.
    Untrusted,
    /// Everything else passes.
    Passing,
}

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
    let found = causes(error).find_map(|cause| {
        if let Some(amqp) = cause.downcast_ref::<AmqpError>() {
            return amqp_trouble(amqp);
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return is_untrusted(io).then_some(Trouble::Untrusted);
        }
        let core = cause.downcast_ref::<azure_core::Error>()?;
        matches!(core.kind(), CoreKind::Credential).then(|| credential_trouble(core))
    });
    found.unwrap_or(Trouble::Passing)
}

fn amqp_trouble(error: &AmqpError) -> Option<Trouble> {
    match error.kind() {
        AmqpErrorKind::AmqpDescribedError(described) => Some(match described.condition {
            AmqpErrorCondition::LinkStolen => Trouble::Stolen,
            AmqpErrorCondition::NotFound | AmqpErrorCondition::ArgumentOutOfRangeError => Trouble::NotFound,
            AmqpErrorCondition::UnauthorizedAccess => Trouble::Denied,
            AmqpErrorCondition::ServerBusyError => Trouble::Throttled,
            AmqpErrorCondition::ResourceLimitExceeded => Trouble::Quota,
            _ => Trouble::Passing,
        }),
        AmqpErrorKind::ManagementStatusCode(code, _) => Some(match u16::from(*code) {
            401 | 403 => Trouble::Denied,
            404 => Trouble::NotFound,
            429 | 503 => Trouble::Throttled,
            _ => Trouble::Passing,
        }),
        _ => None,
    }
}

/// True if it is the certificate that the handshake failed on. What an I/O error was made of is none of its causes.
fn is_untrusted(error: &std::io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

/// Entra has spoken, or nobody was there to ask. What it says by a number of its own does not pass.
fn credential_trouble(error: &azure_core::Error) -> Trouble {
    let text = error.to_string();
    if text.contains("AADSTS") { Trouble::Denied } else { Trouble::NoIdentity }
}

/// What the error says, without the names of its types.
pub(super) fn words(error: &EventHubsError) -> String {
    if let ErrorKind::ConsumerDisconnected(Some(described)) = &error.kind {
        return described.description.clone().unwrap_or_else(|| "amqp:link:stolen".to_string());
    }
    let mut last = None;
    for cause in causes(error) {
        if let Some(amqp) = cause.downcast_ref::<AmqpError>()
            && let AmqpErrorKind::AmqpDescribedError(described) = amqp.kind()
        {
            let condition: &str = (&described.condition).into();
            return match &described.description {
                Some(description) => format!("{condition}: {description}"),
                None => condition.to_string(),
            };
        }
        last = Some(cause);
    }
    last.map_or_else(|| error.to_string(), ToString::to_string)
}

fn causes(error: &EventHubsError) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
    .take(MAX_DEPTH)
}

/// What the engine is told.
pub(super) fn failed(settings: &Settings, doing: Doing<'_>, error: &EventHubsError) -> SourceError {
    explain(settings, doing, trouble(error), words(error))
}

/// What to say of a hub that can't be reached, and may never be.
pub(super) fn unreached(settings: &Settings) -> String {
    let Settings { namespace, hub, .. } = settings;
    format!(
        "event hub {namespace}/{hub} can't be reached; is `namespace` right, is port 5671 open from here, and is there an identity?"
    )
}

/// The error for `trouble`, which the service tells in `words`.
pub(super) fn explain(settings: &Settings, doing: Doing<'_>, trouble: Trouble, words: String) -> SourceError {
    let Settings { namespace, hub, group, .. } = settings;
    let what = match doing {
        Doing::Connecting => format!("event hub {namespace}/{hub}"),
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
        (Trouble::NotFound, _) => {
            SourceError::config(format!("{what} is not there ({words}); create it, or correct `hub` and `namespace`"))
        }
        (Trouble::Denied, _) => SourceError::config(format!(
            "{what} lets nobody in with these credentials ({words}); give the identity the role Azure Event Hubs Data \
             Receiver on the hub, or take a connection string whose policy has the claim Listen"
        )),
        (Trouble::NoIdentity, _) => SourceError::retry(
            format!(
                "{what}: no token to be had; give a `connection_string` or `client_secret`, or the machine an identity"
            ),
            words,
        ),
        (Trouble::Throttled, _) => {
            SourceError::retry(format!("{what} is throttled; does it have enough throughput units?"), words)
        }
        (Trouble::Quota, _) => SourceError::retry(
            format!("{what} has as many readers as consumer group {group} may have; stop some, or set `owner_level`"),
            words,
        ),
        (Trouble::Untrusted, _) => SourceError::retry(
            format!(
                "{what}: its certificate is not trusted; start the daemon with SSL_CERT_FILE naming a file with the one \
                 that signed it"
            ),
            words,
        ),
        (Trouble::Passing, Doing::Connecting) => SourceError::retry(unreached(settings), words),
        (Trouble::Passing, _) => SourceError::retry(what, words),
    }
}
