//! Events as messages of a Pub/Sub topic.

use std::path::Path;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use google_cloud_gax::retry_policy::RetryPolicyExt as _;
use google_cloud_pubsub::client::BasePublisher;
use google_cloud_pubsub::error::PublishError;
use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::retry_policy::RetryableErrors;
use watershed_clients::ClientError;
use watershed_clients::google::Access;

use super::{Batch, Manners, Refused, Target, property};

/// What one request may hold: messages, and bytes.
const REQUEST_MESSAGES: u32 = 1_000;
const REQUEST_BYTES: u32 = 9_500_000;
/// Nothing waits for a clock: a batch is flushed as a whole.
const NO_CLOCK: Duration = Duration::from_secs(24 * 60 * 60);

/// Publishes to one topic, without ordering keys.
pub(super) struct PubSubTarget {
    client: BasePublisher,
    topic: String,
}

impl PubSubTarget {
    /// Makes a client for `topic`, as Google names it.
    ///
    /// # Errors
    /// If there are no credentials.
    pub(super) async fn open(topic: &str, manners: &Manners) -> Result<Self, String> {
        let told = |error: ClientError| error.to_string();
        let endpoint = property(manners, "endpoint")?;
        let access = Access { endpoint, credentials: property(manners, "credentials")?.map(Path::new) };
        access.check().map_err(told)?;
        access.address().map_err(told)?.answers().await.map_err(told)?;
        let mut builder = BasePublisher::builder()
            .with_credentials(access.credentials(topic).await.map_err(told)?)
            .with_retry_policy(RetryableErrors.with_time_limit(manners.patience));
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let client = builder.build().await.map_err(|error| error.to_string())?;
        Ok(Self { client, topic: topic.to_owned() })
    }
}

impl Target for PubSubTarget {
    fn submit(&self, batch: Batch) -> BoxFuture<'static, Result<(), Refused>> {
        // The client never forgets a publisher's keys, and flushes all that one holds: each batch has one of its own.
        let publisher = self.client.publisher(&self.topic);
        let publisher = publisher
            .set_message_count_threshold(REQUEST_MESSAGES)
            .set_byte_threshold(REQUEST_BYTES)
            .set_delay_threshold(NO_CLOCK)
            .build();
        let messages = batch.events().map(|event| publisher.publish(Message::new().set_data(event)));
        let answers: Vec<_> = messages.collect();
        Box::pin(async move {
            publisher.flush().await;
            let mut outcome = Ok(());
            for answer in join_all(answers).await {
                if let Err(error) = answer {
                    outcome = Err(refused(&error));
                }
            }
            outcome
        })
    }
}

fn refused(error: &PublishError) -> Refused {
    let code = match error {
        PublishError::Rpc(error) => error.status().map(|status| status.code.name()),
        _ => None,
    };
    let hopeless = matches!(code, Some("NOT_FOUND" | "PERMISSION_DENIED" | "INVALID_ARGUMENT" | "UNAUTHENTICATED"));
    let why = error.to_string();
    if hopeless { Refused::Fatal(why) } else { Refused::GaveUp(why) }
}
