//! Who asks: the key of a policy, an application of Entra, or the machine.

use std::sync::Arc;

use azure_core::credentials::{AccessToken, Secret as AzureSecret, TokenCredential, TokenRequestOptions};
use azure_core::time::OffsetDateTime;
use azure_identity::{
    ClientSecretCredential, DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential,
};
use serde::Deserialize;

use super::hub::Hub;
use super::signature::signed;
use crate::secret::Secret;

/// What Entra's tokens are asked for.
const SCOPE: &str = "https://eventhubs.azure.net/.default";

/// How `$cbs` calls tokens that are signed with a key.
const SIGNED: &str = "servicebus.windows.net:sastoken";

/// Who asks.
#[derive(Debug, Clone)]
pub enum Identity {
    /// The key of a policy, in a connection string.
    Key(Secret),
    /// An application of Entra.
    Application(ClientSecret),
    /// Whatever the machine has: workload identity, managed identity, or a developer's login.
    Machine,
}

/// An application of Entra, and its secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSecret {
    /// Its directory.
    pub tenant_id: String,
    /// Its name.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
}

/// What is shown to be let in.
#[derive(Debug)]
pub struct Token {
    /// What it says.
    pub secret: AzureSecret,
    /// Its type, as `$cbs` calls it; none for one of Entra.
    pub kind: Option<&'static str>,
    /// Until when it is good.
    pub expires: OffsetDateTime,
}

impl Identity {
    /// What asks Entra for tokens. The key of a policy needs none; for it this is the machine's.
    ///
    /// # Errors
    /// If the environment names an identity in a way that makes none.
    pub fn credential(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        match self {
            Self::Application(of) => {
                let secret = AzureSecret::new(of.client_secret.expose().to_string());
                Ok(ClientSecretCredential::new(&of.tenant_id, of.client_id.clone(), secret, None)?)
            }
            Self::Key(_) | Self::Machine => Ok(Arc::new(MachineCredential::new()?)),
        }
    }
}

impl Hub {
    /// A token that opens this hub.
    ///
    /// # Errors
    /// If there is no identity, or Entra does not take it.
    pub async fn token(&self) -> azure_core::Result<Token> {
        if let Identity::Key(text) = &self.identity {
            let (secret, expires) = signed(text, &self.audience(), OffsetDateTime::now_utc())?;
            return Ok(Token { secret, kind: Some(SIGNED), expires });
        }
        let AccessToken { token: secret, expires_on: expires, .. } =
            self.identity.credential()?.get_token(&[SCOPE], None).await?;
        Ok(Token { secret, kind: None, expires })
    }

    /// What a token has to be good for: the hub, under the name that the service knows, wherever it is connected to.
    pub fn audience(&self) -> String {
        format!("amqps://{}/{}", self.namespace, self.name)
    }
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
