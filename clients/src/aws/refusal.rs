//! What the service's errors mean, and the way out of each.
//!
//! The one idea: an error is sorted by its name once, here. Some are part of the protocol — throttled, an iterator that
//! has expired — and whoever called deals with them; the rest is trouble that passes, or something to mend.
//!
//! What the service says of a signature quotes the request with its headers, the session token among them: such messages
//! are never repeated.

use std::error::Error;
use std::fmt::Write;

use aws_sdk_kinesis::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};

use super::tls::advised;
use crate::error::{ClientError, error_chain};

#[cfg(test)]
mod tests;

/// An answer other than the one that was asked for.
#[derive(Debug)]
pub enum Refusal {
    /// Too much was asked: ask again later.
    Throttled,
    /// The iterator was not used for five minutes: ask for another.
    Expired,
    /// There is no such stream, shard or consumer.
    Missing,
    /// Somebody else is busy with it.
    InUse,
    /// Well-formed, and wrong all the same; in the service's words.
    Invalid(String),
    /// Everything else.
    Failed(ClientError),
}

/// What was asked for, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The operation, which is also the name of the permission behind `kinesis:`.
    pub action: &'static str,
    /// ARN of the stream or consumer.
    pub resource: &'a str,
    /// Where it was asked.
    pub region: &'a str,
    /// Whose keys they are.
    pub keys: Keys,
}

/// What becomes of keys in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// They stand in the region file.
    Given,
    /// They were found, and nobody renews them.
    Fixed,
    /// Others take their place before they run out, or they never do.
    Renewed,
}

impl Call<'_> {
    /// Sorts an error of the client.
    pub fn refusal<E, R>(self, error: &SdkError<E, R>) -> Refusal
    where
        SdkError<E, R>: Error + ProvideErrorMetadata + 'static,
    {
        match error.code() {
            Some(code) => self.sort(code, error.message().unwrap_or("no reason given")),
            None => Refusal::Failed(refused_credentials(error).unwrap_or_else(|| self.unanswered(&causes(error)))),
        }
    }

    /// There was no answer, or none that could be read.
    fn unanswered(self, why: &str) -> ClientError {
        if is_missing_credentials(why) {
            return no_credentials(why);
        }
        let Self { action, resource, region, .. } = self;
        ClientError::retry(
            format!("{action} on {resource}: no good answer; are `aws_region` ({region}) and `endpoint` right?"),
            advised(why.to_string()),
        )
    }

    fn retry(self, why: &str) -> ClientError {
        ClientError::retry(format!("{} on {} in {}", self.action, self.resource, self.region), why)
    }

    /// Sorts an error by its name.
    pub fn sort(self, code: &str, message: &str) -> Refusal {
        let Self { action, resource, region, keys } = self;
        let mend = |what: String| Refusal::Failed(ClientError::config(what));
        match code {
            "ProvisionedThroughputExceededException"
            | "LimitExceededException"
            | "KMSThrottlingException"
            | "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException"
            | "SlowDown" => Refusal::Throttled,
            "ExpiredIteratorException" => Refusal::Expired,
            "ResourceNotFoundException" => Refusal::Missing,
            "ResourceInUseException" => Refusal::InUse,
            "InvalidArgumentException" | "ValidationException" => Refusal::Invalid(message.to_string()),
            "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" => {
                mend(format!("not allowed: give these credentials the IAM action kinesis:{action} on {resource}"))
            }
            "KMSAccessDeniedException" => {
                let kms = if action == "PutRecords" { "GenerateDataKey" } else { "Decrypt" };
                mend(format!(
                    "not allowed: give these credentials the IAM action kms:{kms} on the key that encrypts {resource}"
                ))
            }
            "KMSDisabledException" | "KMSInvalidStateException" | "KMSNotFoundException" | "KMSOptInRequired" => mend(
                format!("the KMS key that encrypts {resource} cannot be used ({code}): enable it or bring it back"),
            ),
            "ExpiredTokenException" | "ExpiredToken" if keys == Keys::Given => mend(
                "`session_token` has expired: get new credentials, or use `role_arn`, which renews them".to_string(),
            ),
            "ExpiredTokenException" | "ExpiredToken" if keys == Keys::Fixed => mend(
                "the credentials have expired, and nothing renews them: get new ones, or use a profile, role or identity \
                 that does"
                    .to_string(),
            ),
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException" => mend(format!(
                "the credentials were not accepted in {region} ({code}): check them, the clock of this machine, and \
                 that `aws_region` and `endpoint` are the stream's"
            )),
            // With credentials that renew themselves the next call may have new ones.
            _ => Refusal::Failed(self.retry(&format!("{code}: {message}"))),
        }
    }

    /// The error where a refusal is no part of the protocol.
    pub fn error(self, refusal: Refusal) -> ClientError {
        match refusal {
            Refusal::Failed(error) => error,
            Refusal::Throttled => self.retry("throttled"),
            Refusal::Expired => self.retry("the iterator has expired"),
            Refusal::InUse => self.retry("in use"),
            Refusal::Missing => ClientError::config(format!("there is no {} in {}", self.resource, self.region)),
            Refusal::Invalid(why) => {
                ClientError::config(format!("{} on {} is refused: {why}", self.action, self.resource))
            }
        }
    }
}

/// The credentials cannot be had.
pub(crate) fn no_credentials(why: &str) -> ClientError {
    ClientError::config(format!(
        "no AWS credentials ({why}): set `access_key_id` and `secret_access_key`, or `profile`, or what the AWS default \
         chain reads: environment, shared files, web identity, container or instance role"
    ))
}

/// What STS says to whoever asks it for credentials: another service, whose errors are causes of ours. None if it was not
/// asked, or does not refuse.
pub fn refused_credentials(error: &(dyn Error + 'static)) -> Option<ClientError> {
    let told = error_chain(error).find_map(|cause| cause.downcast_ref::<ErrorMetadata>())?;
    Some(match (told.code()?, told.message().unwrap_or("no reason given")) {
        ("AccessDenied" | "AccessDeniedException", message) => ClientError::config(format!(
            "AWS credentials: not allowed: {message}; give these credentials that IAM action, and name whose they are in the \
             trust policy of the role"
        )),
        // As above, what is said of a signature is never repeated.
        (code @ ("InvalidClientTokenId" | "SignatureDoesNotMatch" | "IncompleteSignature" | "ExpiredToken"), _) => {
            ClientError::config(format!(
                "AWS credentials: STS does not take these ({code}): check them, and the clock of this machine"
            ))
        }
        (code, _) => ClientError::retry("AWS credentials", format!("STS answers {code}")),
    })
}

/// True for the words of the client's credentials errors that no waiting will mend.
pub(crate) fn is_missing_credentials(why: &str) -> bool {
    why.contains("credential provider was not enabled")
        || why.contains("credentials provider was not properly configured")
}

/// An error with its causes, in one line.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            // Writing to a string does not fail.
            let _ = write!(text, ": {words}");
        }
        next = cause.source();
    }
    text
}
