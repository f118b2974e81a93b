//! Opens and closes connections, each step within its time.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{AccessToken, Secret as AzureSecret, TokenCredential, TokenRequestOptions};
use azure_identity::{
    ClientSecretCredential, DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential,
};
use azure_messaging_eventhubs::models::EventHubPartitionProperties;
use azure_messaging_eventhubs::{ConsumerClient, RetryOptions};

use super::failure::{Doing, failed, unreached};
use super::settings::{Identity, Settings};
use crate::error::SourceError;

impl Settings {
    /// Connects. The client is told never to try again by itself: it would go back to where its receiver began.
    pub(super) async fn connect(&self) -> Result<ConsumerClient, SourceError> {
        let once = RetryOptions { max_retries: 0, ..RetryOptions::default() };
        let mut builder = ConsumerClient::builder()
            .with_application_id("watershed".to_string())
            .with_consumer_group(self.group.clone())
            .with_retry_options(once);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_custom_endpoint(endpoint.to_string());
        }
        let opening = async {
            match &self.identity {
                Identity::Key(text) => builder.open_with_connection_string(text.expose(), Some(&self.hub)).await,
                Identity::Application(_) | Identity::Machine => {
                    builder.open(&self.namespace, self.hub.clone(), self.credential()?).await
                }
            }
        };
        match tokio::time::timeout(self.patience.connect, opening).await {
            Ok(opened) => opened.map_err(|error| failed(self, Doing::Connecting, &error)),
            Err(_) => Err(silent(unreached(self), "connecting", self.patience.connect)),
        }
    }

    /// The names of the partitions, in the order of their numbers.
    pub(super) async fn partitions(&self, client: &ConsumerClient) -> Result<Vec<String>, SourceError> {
        match tokio::time::timeout(self.patience.ask, client.get_eventhub_properties()).await {
            Ok(Ok(properties)) => Ok(in_order(properties.partition_ids)),
            Ok(Err(error)) => Err(failed(self, Doing::Connecting, &error)),
            Err(_) => Err(silent(unreached(self), "asking for the partitions", self.patience.ask)),
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
        format!("event hub {}/{}, partition {partition}", self.namespace, self.hub)
    }

    fn credential(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        match &self.identity {
            Identity::Application(of) => {
                let secret = AzureSecret::new(of.client_secret.expose().to_string());
                Ok(ClientSecretCredential::new(&of.tenant_id, of.client_id.clone(), secret, None)?)
            }
            Identity::Key(_) | Identity::Machine => Ok(Arc::new(MachineCredential::new()?)),
        }
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

/// What the machine has, in the order of Microsoft's own chain: workload identity, managed identity, a developer's login. Asked in
/// turn for every token, as the client keeps each one until it expires.
#[derive(Debug)]
struct MachineCredential {
    chain: Vec<Arc<dyn TokenCredential>>,
}

impl MachineCredential {
    fn new() -> azure_core::Result<Self> {
        let mut chain: Vec<Arc<dyn TokenCredential>> = Vec::new();
        // Fails where the environment names none.
        if let Ok(workload) = WorkloadIdentityCredential::new(None) {
            chain.push(workload);
        }
        let user_assigned_id = std::env::var("AZURE_CLIENT_ID").ok().map(UserAssignedId::ClientId);
        let options = ManagedIdentityCredentialOptions { user_assigned_id, ..Default::default() };
        chain.push(ManagedIdentityCredential::new(Some(options))?);
        chain.push(DeveloperToolsCredential::new(None)?);
        Ok(Self { chain })
    }
}

#[async_trait::async_trait]
impl TokenCredential for MachineCredential {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let mut reasons = Vec::new();
        for credential in &self.chain {
            match credential.get_token(scopes, options.clone()).await {
                Ok(token) => return Ok(token),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        Err(azure_core::Error::with_message(azure_core::error::ErrorKind::Credential, reasons.join("; ")))
    }
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
