//! What a refusal of Pub/Sub means to the user.

use google_cloud_pubsub::Error;

use crate::error::SourceError;

/// Sorts what ended a stream, and says the way out.
pub(super) fn classify(name: &str, error: Error) -> SourceError {
    let Some(status) = error.status() else {
        return match error.is_authentication() && !transient(&error) {
            true => credentials(name, &error),
            false => SourceError::retry(name, error),
        };
    };
    let said = status.message.clone();
    match status.code.name() {
        "NOT_FOUND" => SourceError::config(format!(
            "{name} does not exist: create it, or check `project` and `subscription` ({said})"
        )),
        "PERMISSION_DENIED" => SourceError::config(format!(
            "no permission pubsub.subscriptions.consume on {name}: grant roles/pubsub.subscriber to these credentials; if \
             they are another project's, check `project` ({said})"
        )),
        "UNAUTHENTICATED" => credentials(name, &error),
        "INVALID_ARGUMENT" => SourceError::config(format!(
            "{name} was refused: check `project` and `subscription`, and that `endpoint` is this project's ({said})"
        )),
        "FAILED_PRECONDITION" => SourceError::config(format!(
            "{name} can't be pulled: make it a pull subscription that is neither detached nor exported ({said})"
        )),
        "UNIMPLEMENTED" => {
            SourceError::config(format!("{name}: this `endpoint` has no streaming pull; is it Pub/Sub? ({said})"))
        }
        _ => SourceError::retry(name, error),
    }
}

/// No credentials, or none that are taken.
pub(super) fn credentials(name: &str, cause: &dyn std::fmt::Display) -> SourceError {
    SourceError::config(format!(
        "no credentials for {name}: set `credentials` to a key file, or GOOGLE_APPLICATION_CREDENTIALS, or run where a \
         service account is attached ({cause})"
    ))
}

/// True if the same credentials may do later.
fn transient(error: &Error) -> bool {
    use std::error::Error as _;
    let cause = error.source().and_then(|cause| cause.downcast_ref::<google_cloud_auth::errors::CredentialsError>());
    cause.is_some_and(google_cloud_auth::errors::CredentialsError::is_transient)
}
