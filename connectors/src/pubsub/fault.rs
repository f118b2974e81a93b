//! What a refusal of Pub/Sub means to the user.

use std::error::Error as _;

use google_cloud_auth::errors::CredentialsError;
use google_cloud_pubsub::Error;
use watershed_clients::google::no_credentials;

use crate::error::SourceError;

/// Sorts what ended a stream.
pub(super) fn classify(name: &str, error: Error) -> SourceError {
    let transient = || {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<CredentialsError>());
        cause.is_some_and(CredentialsError::is_transient)
    };
    let mend = match error.status() {
        Some(status) => way_out(name, status.code.name(), &status.message),
        None if error.is_authentication() && !transient() => Some(no_credentials(name, &error)),
        None => None,
    };
    mend.map_or_else(|| SourceError::retry(name, error), SourceError::config)
}

/// What the user can do about a refusal by its gRPC code; none if it may pass.
pub(super) fn way_out(name: &str, code: &str, said: &str) -> Option<String> {
    Some(match code {
        "NOT_FOUND" => format!("{name} does not exist: create it, or check `project` and `subscription` ({said})"),
        "PERMISSION_DENIED" => format!(
            "no permission pubsub.subscriptions.consume on {name}: grant roles/pubsub.subscriber to these credentials; if \
             they are another project's, check `project` ({said})"
        ),
        "UNAUTHENTICATED" => no_credentials(name, &said),
        "INVALID_ARGUMENT" => format!(
            "{name} was refused: check `project` and `subscription`, and that `endpoint` is this project's ({said})"
        ),
        "FAILED_PRECONDITION" => {
            format!(
                "{name} can't be pulled: make it a pull subscription that is neither detached nor exported ({said})"
            )
        }
        "UNIMPLEMENTED" => format!("{name}: this `endpoint` has no streaming pull; is it Pub/Sub? ({said})"),
        _ => return None,
    })
}
