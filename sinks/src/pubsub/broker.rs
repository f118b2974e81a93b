//! A part as messages, each with an answer of its own.
//!
//! The one idea: the client keeps a task for each ordering key that it has ever seen, and stops a key of which a message
//! failed. So each part has a publisher of its own, over connections that stay.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use google_cloud_gax::retry_policy::{NeverRetry, RetryPolicyExt as _};
use google_cloud_pubsub::Error;
use google_cloud_pubsub::client::{BasePublisher, SchemaService, TopicAdmin};
use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::retry_policy::RetryableErrors;

use super::fault::{sorted, unpublished, way_out};
use super::options::PubSubOptions;
use crate::digest::at_most;
use crate::error::SinkError;
use crate::messages::{Broker, IDEMPOTENCY_KEY, Outgoing, Refused};

/// Bytes of an attribute's value, and of an ordering key.
pub(super) const LONGEST_ATTRIBUTE: usize = 1024;
/// Bytes of a message.
const LARGEST_MESSAGE: usize = 10_000_000;
/// All of a part is one request, unless there are ordering keys: it waits for no clock, and is as large as it may be.
const REQUEST_MESSAGES: u32 = 1_000;
const REQUEST_BYTES: u32 = 9_500_000;
const NO_CLOCK: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the client may try to publish, and a question may take.
const PATIENCE: Duration = Duration::from_secs(15);

const PUBLISH: &str = "pubsub.topics.publish";

/// Publishes to a topic.
pub(super) struct PubSubBroker {
    options: PubSubOptions,
    /// The topic as Google names it.
    name: String,
    client: Option<BasePublisher>,
}

impl fmt::Debug for PubSubBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubBroker").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PubSubBroker {
    pub(super) fn new(options: PubSubOptions) -> Self {
        Self { name: options.name(), options, client: None }
    }

    async fn connected(&mut self) -> Result<&BasePublisher, SinkError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => {
                let credentials = self.options.access().credentials(&self.name).await?;
                let mut builder = BasePublisher::builder()
                    .with_credentials(credentials)
                    .with_retry_policy(RetryableErrors.with_time_limit(PATIENCE));
                if let Some(endpoint) = &self.options.endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                builder.build().await.map_err(|error| self.no_client(&error))?
            }
        };
        Ok(self.client.insert(client))
    }

    fn no_client(&self, error: &dyn fmt::Display) -> SinkError {
        SinkError::config(format!("{}: {error}", self.name))
    }

    /// Looks for the topic.
    async fn find(&self) -> Result<Result<(), Error>, SinkError> {
        let mut builder = TopicAdmin::builder()
            .with_credentials(self.options.access().credentials(&self.name).await?)
            .with_retry_policy(NeverRetry.with_time_limit(PATIENCE));
        if let Some(endpoint) = &self.options.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let admin = builder.build().await.map_err(|error| self.no_client(&error))?;
        Ok(admin.get_topic().set_topic(&self.name).send().await.map(drop))
    }

    /// Whether these credentials may publish; none if nobody says. The client of schemas asks of any resource.
    async fn may_publish(&self) -> Result<Option<bool>, SinkError> {
        let mut builder = SchemaService::builder()
            .with_credentials(self.options.access().credentials(&self.name).await?)
            .with_retry_policy(NeverRetry.with_time_limit(PATIENCE));
        if let Some(endpoint) = &self.options.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let asker = builder.build().await.map_err(|error| self.no_client(&error))?;
        let answer = asker.test_iam_permissions().set_resource(&self.name).set_permissions([PUBLISH]).send().await;
        Ok(answer.ok().map(|answer| answer.permissions.iter().any(|permission| permission == PUBLISH)))
    }

    fn message(&self, sent: &Outgoing<'_>) -> Result<Message, SinkError> {
        let key = sent.key.map(|key| at_most(key, LONGEST_ATTRIBUTE)).unwrap_or_default();
        let bytes = sent.value.len() + key.len() + IDEMPOTENCY_KEY.len() + sent.id.len();
        if bytes > LARGEST_MESSAGE {
            return Err(SinkError::config(format!(
                "{}: a row is larger than is taken: {bytes} bytes, and Pub/Sub takes 10 MB; put out fewer or shorter columns, \
                 and start again",
                self.name
            )));
        }
        let message = Message::new().set_data(sent.value.to_owned()).set_attributes([(IDEMPOTENCY_KEY, &sent.id)]);
        Ok(message.set_ordering_key(key))
    }
}

/// The gRPC code of an answer.
fn code(error: &Error) -> Option<&str> {
    error.status().map(|status| status.code.name())
}

#[async_trait]
impl Broker for PubSubBroker {
    fn place(&self) -> &str {
        &self.name
    }

    async fn open(&mut self) -> Result<(), SinkError> {
        self.options.access().address()?.answers().await?;
        self.connected().await?;
        match self.find().await? {
            Err(error) if code(&error) == Some("NOT_FOUND") => Err(sorted(&self.name, &error)),
            // Publishing does without: `roles/pubsub.publisher` does not allow to look.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn probe(&mut self) -> Result<String, SinkError> {
        let name = &self.name;
        // Nothing is tried again by a check.
        self.options.access().address()?.answers().await.map_err(SinkError::config)?;
        let may = self.may_publish().await?;
        if may == Some(true) {
            return Ok(format!("{name}: {PUBLISH} is granted; nothing was published"));
        }
        let denied = |said: &str| way_out(name, "PERMISSION_DENIED", said).map(SinkError::config);
        match self.find().await? {
            Err(error) if matches!(code(&error), Some("NOT_FOUND" | "UNAUTHENTICATED")) => Err(sorted(name, &error)),
            Err(error) if error.is_authentication() => Err(sorted(name, &error)),
            found if may == Some(false) => {
                let said = found.map_or_else(|error| error.to_string(), |()| "it is there".to_owned());
                Err(denied(&said).unwrap_or_else(|| SinkError::config(said)))
            }
            Ok(()) => Ok(format!("{name} is there; nothing was published")),
            Err(_) => Ok(format!("{name}: the service answers, but tells nothing of the topic; nothing was published")),
        }
    }

    async fn send(&mut self, part: &[&Outgoing<'_>]) -> Result<Vec<Refused>, SinkError> {
        let messages: Result<Vec<Message>, SinkError> = part.iter().map(|sent| self.message(sent)).collect();
        let messages = messages?;
        let name = self.name.clone();
        let publisher = self.connected().await?.publisher(&name);
        let publisher = publisher
            .set_message_count_threshold(REQUEST_MESSAGES)
            .set_byte_threshold(REQUEST_BYTES)
            .set_delay_threshold(NO_CLOCK)
            .build();
        let answers: Vec<_> = messages.into_iter().map(|message| publisher.publish(message)).collect();
        publisher.flush().await;
        let mut refused = Vec::new();
        for (at, answer) in answers.into_iter().enumerate() {
            if let Err(error) = answer.await {
                refused.push(Refused { at, why: unpublished(&name, &error) });
            }
        }
        Ok(refused)
    }
}
