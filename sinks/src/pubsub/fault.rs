//! What a refusal of Pub/Sub means to the user.

use google_cloud_pubsub::Error;
use google_cloud_pubsub::error::PublishError;
use watershed_clients::google::no_credentials;

use crate::error::SinkError;

/// Sorts why a message was not taken.
pub(super) fn unpublished(name: &str, error: &PublishError) -> SinkError {
    match error {
        PublishError::Rpc(error) => sorted(name, error),
        // Behind one that failed, or at the end of the client's task.
        other => SinkError::retry(name, other.to_string()),
    }
}

/// Sorts an error of the client.
pub(super) fn sorted(name: &str, error: &Error) -> SinkError {
    let mend = match error.status() {
        Some(status) => way_out(name, status.code.name(), &status.message),
        None if error.is_authentication() && !error.is_transient_and_before_rpc() => Some(no_credentials(name, error)),
        None => None,
    };
    mend.map_or_else(|| SinkError::retry(name, error.to_string()), SinkError::config)
}

/// What the user can do about a refusal by its gRPC code; none if it may pass.
pub(super) fn way_out(name: &str, code: &str, said: &str) -> Option<String> {
    Some(match code {
        "NOT_FOUND" => format!("{name} does not exist: create it, or check `project` and `topic` ({said})"),
        "PERMISSION_DENIED" => format!(
            "no permission pubsub.topics.publish on {name}: grant roles/pubsub.publisher to these credentials; if they are \
             another project's, check `project` ({said})"
        ),
        "UNAUTHENTICATED" => no_credentials(name, &said),
        "INVALID_ARGUMENT" => format!(
            "{name} does not take these rows: check that they fit its schema, if it has one, and that `endpoint` is this \
             project's ({said})"
        ),
        "FAILED_PRECONDITION" => format!(
            "{name} can't be published to: look at its message storage policy and its key in Cloud KMS ({said})"
        ),
        "UNIMPLEMENTED" => format!("{name}: this `endpoint` publishes nothing; is it Pub/Sub? ({said})"),
        _ => return None,
    })
}
