//! Sorts what the client and the service say went wrong by what to do about it.

use std::error::Error;

use azure_core::error::ErrorKind as CoreKind;
use azure_core_amqp::AmqpError;
use azure_core_amqp::error::{AmqpErrorCondition, AmqpErrorKind};

use super::hub::Hub;
use crate::error::{ClientError, error_chain};

/// How deep causes are looked into.
const MAX_DEPTH: usize = 16;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
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
    /// A message is larger than the hub takes.
    TooLarge,
    /// Nobody whom this machine trusts has signed the certificate.
    Untrusted,
    /// Everything else passes.
    Passing,
}

/// What an identity has to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// To read.
    Listen,
    /// To write.
    Send,
}

impl Trouble {
    /// What `error` comes to.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let found = causes(error).find_map(|cause| {
            if let Some(amqp) = cause.downcast_ref::<AmqpError>() {
                return of_amqp(amqp);
            }
            if let Some(io) = cause.downcast_ref::<std::io::Error>() {
                return is_untrusted(io).then_some(Self::Untrusted);
            }
            let core = cause.downcast_ref::<azure_core::Error>()?;
            matches!(core.kind(), CoreKind::Credential).then(|| of_credential(core))
        });
        found.unwrap_or(Self::Passing)
    }
}

fn of_amqp(error: &AmqpError) -> Option<Trouble> {
    match error.kind() {
        AmqpErrorKind::AmqpDescribedError(described) => Some(match described.condition {
            AmqpErrorCondition::LinkStolen => Trouble::Stolen,
            AmqpErrorCondition::NotFound | AmqpErrorCondition::ArgumentOutOfRangeError => Trouble::NotFound,
            AmqpErrorCondition::UnauthorizedAccess => Trouble::Denied,
            AmqpErrorCondition::ServerBusyError => Trouble::Throttled,
            AmqpErrorCondition::ResourceLimitExceeded => Trouble::Quota,
            AmqpErrorCondition::LinkPayloadSizeExceeded => Trouble::TooLarge,
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
fn of_credential(error: &azure_core::Error) -> Trouble {
    let text = error.to_string();
    if text.contains("AADSTS") { Trouble::Denied } else { Trouble::NoIdentity }
}

/// What the error says, without the names of its types.
pub fn words(error: &(dyn Error + 'static)) -> String {
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

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    error_chain(error).take(MAX_DEPTH)
}

impl Hub {
    /// What to say of a hub that can't be reached, and may never be.
    pub fn unreached(&self) -> String {
        format!(
            "{} can't be reached; is `namespace` right, is port 5671 open from here, and is there an identity?",
            self.place()
        )
    }

    /// The error for `trouble` with `what`, the hub or a part of it, which the service tells in `words`. Who reads and who
    /// writes are told of different roles.
    pub fn explain(&self, what: &str, claim: Claim, trouble: Trouble, words: String) -> ClientError {
        match trouble {
            Trouble::NotFound => ClientError::config(format!(
                "{what} is not there ({words}); create it, or correct `hub` and `namespace`"
            )),
            Trouble::Denied => {
                let (role, claim) = match claim {
                    Claim::Listen => ("Receiver", "Listen"),
                    Claim::Send => ("Sender", "Send"),
                };
                ClientError::config(format!(
                    "{what} lets nobody in with these credentials ({words}); give the identity the role Azure Event Hubs \
                     Data {role} on the hub, or take a connection string whose policy has the claim {claim}"
                ))
            }
            Trouble::NoIdentity => ClientError::retry(
                format!(
                    "{what}: no token to be had; give a `connection_string` or `client_secret`, or the machine an identity"
                ),
                words,
            ),
            Trouble::Throttled => {
                ClientError::retry(format!("{what} is throttled; does it have enough throughput units?"), words)
            }
            Trouble::Untrusted => ClientError::retry(
                format!(
                    "{what}: its certificate is not trusted; start the daemon with SSL_CERT_FILE naming a file with the \
                     one that signed it"
                ),
                words,
            ),
            Trouble::Stolen | Trouble::Quota | Trouble::TooLarge | Trouble::Passing => ClientError::retry(what, words),
        }
    }
}

#[cfg(test)]
mod tests {
    use azure_core_amqp::AmqpDescribedError;

    use super::*;

    #[test]
    fn errors_are_sorted_by_what_to_do() {
        let described = |condition| {
            AmqpError::from(AmqpErrorKind::AmqpDescribedError(AmqpDescribedError::new(
                condition,
                Some("why".to_string()),
                Default::default(),
            )))
        };
        let status =
            |code: u16| AmqpError::from(AmqpErrorKind::ManagementStatusCode(code.into(), Some("why".to_string())));
        let table = [
            (described(AmqpErrorCondition::LinkStolen), Trouble::Stolen),
            (described(AmqpErrorCondition::NotFound), Trouble::NotFound),
            (described(AmqpErrorCondition::ArgumentOutOfRangeError), Trouble::NotFound),
            (described(AmqpErrorCondition::UnauthorizedAccess), Trouble::Denied),
            (described(AmqpErrorCondition::ServerBusyError), Trouble::Throttled),
            (described(AmqpErrorCondition::ResourceLimitExceeded), Trouble::Quota),
            (described(AmqpErrorCondition::LinkPayloadSizeExceeded), Trouble::TooLarge),
            (described(AmqpErrorCondition::LinkDetachForced), Trouble::Passing),
            (status(401), Trouble::Denied),
            (status(404), Trouble::NotFound),
            (status(503), Trouble::Throttled),
            (status(500), Trouble::Passing),
        ];
        for (error, expected) in table {
            let shown = error.to_string();
            let wrapped =
                AmqpError::from(azure_core::Error::with_error(azure_core::error::ErrorKind::Other, error, "wrapped"));
            assert_eq!(Trouble::of(&wrapped), expected, "{shown}");
            assert!(words(&wrapped).contains("why"), "{}", words(&wrapped));
        }
        let credential =
            |text: &'static str| azure_core::Error::with_message(azure_core::error::ErrorKind::Credential, text);
        assert_eq!(Trouble::of(&credential("AADSTS7000215: invalid client secret")), Trouble::Denied);
        assert_eq!(Trouble::of(&credential("no answer from the metadata service")), Trouble::NoIdentity);
    }
}
