//! Opens and closes connections, each step within its time.

use std::time::Duration;

use azure_messaging_eventhubs::models::EventHubPartitionProperties;
use azure_messaging_eventhubs::{ConsumerClient, RetryOptions};
use watershed_clients::azure::Identity;

use super::failure::{Doing, failed};
use super::settings::Settings;
use crate::error::SourceError;

impl Settings {
    /// Connects. The client is told never to try again by itself: it would go back to where its receiver began.
    pub(super) async fn connect(&self) -> Result<ConsumerClient, SourceError> {
        let once = RetryOptions { max_retries: 0, ..RetryOptions::default() };
        let mut builder = ConsumerClient::builder()
            .with_application_id("watershed".to_string())
            .with_consumer_group(self.group.clone())
            .with_retry_options(once);
        let hub = &self.hub;
        if let Some(endpoint) = &hub.endpoint {
            builder = builder.with_custom_endpoint(endpoint.to_string());
        }
        let opening = async {
            match &hub.identity {
                Identity::Key(text) => builder.open_with_connection_string(text.expose(), Some(&hub.name)).await,
                Identity::Application(_) | Identity::Machine => {
                    builder.open(&hub.namespace, hub.name.clone(), hub.identity.credential()?).await
                }
            }
        };
        match tokio::time::timeout(self.patience.connect, opening).await {
            Ok(opened) => opened.map_err(|error| failed(self, Doing::Connecting, &error)),
            Err(_) => Err(silent(self.hub.unreached(), "connecting", self.patience.connect)),
        }
    }

    /// The names of the partitions, in the order of their numbers.
    pub(super) async fn partitions(&self, client: &ConsumerClient) -> Result<Vec<String>, SourceError> {
        match tokio::time::timeout(self.patience.ask, client.get_eventhub_properties()).await {
            Ok(Ok(properties)) => Ok(in_order(properties.partition_ids)),
            Ok(Err(error)) => Err(failed(self, Doing::Connecting, &error)),
            Err(_) => Err(silent(self.hub.unreached(), "asking for the partitions", self.patience.ask)),
        }
    }

    /// What a partition holds.
    pub(super) async fn look(
        &self,
        client: &ConsumerClient,
        partition: &str,
    ) -> Result<EventHubPartitionProperties, SourceError> {
        match tokio::time::timeout(self.patience.ask, client.get_partition_properties(partition)).await {
            Ok(Ok(properties)) => Ok(properties),
            Ok(Err(error)) => Err(failed(self, Doing::Looking(partition), &error)),
            Err(_) => Err(silent(self.name_of(partition), "asking how far it goes", self.patience.ask)),
        }
    }

    /// A partition, as errors name it.
    pub(super) fn name_of(&self, partition: &str) -> String {
        format!("{}, partition {partition}", self.hub.place())
    }
}

fn silent(what: String, doing: &str, waited: Duration) -> SourceError {
    SourceError::retry(what, format!("no answer when {doing}, for {} seconds", waited.as_secs()))
}

/// Says farewell; a connection that does not answer in time is dropped.
pub(super) async fn close(client: ConsumerClient, patience: Duration) {
    match tokio::time::timeout(patience, client.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "event hubs connection closed badly"),
        Err(_) => tracing::debug!("event hubs connection did not close in time"),
    }
}

/// Names of partitions are numbers, as text.
fn in_order(mut names: Vec<String>) -> Vec<String> {
    names.sort_by_cached_key(|name| (name.parse::<u64>().unwrap_or(u64::MAX), name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::in_order;

    #[test]
    fn partitions_stand_in_the_order_of_their_numbers() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(in_order(names(&["10", "2", "0"])), names(&["0", "2", "10"]));
    }
}
