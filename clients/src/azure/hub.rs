//! The hub, as the keys of a region file name it.

use azure_messaging_eventhubs::ConnectionString;
use url::Url;

use super::identity::{ClientSecret, Identity};
use crate::error::ClientError;
use crate::secret::Secret;

/// The keys that name a hub and who asks, as they are written.
#[derive(Debug, Clone, Copy)]
pub struct HubKeys<'k> {
    /// Host of the namespace; a connection string holds it already.
    pub namespace: Option<&'k str>,
    /// The event hub.
    pub hub: &'k str,
    /// A connection string.
    pub connection_string: Option<&'k Secret>,
    /// An application of Entra; without it and a connection string, the identity that the machine has.
    pub client_secret: Option<&'k ClientSecret>,
    /// Another address to connect to.
    pub endpoint: Option<&'k str>,
}

/// Keys that make sense together.
#[derive(Debug, Clone)]
pub struct Hub {
    /// Host of the namespace, in lower case.
    pub namespace: String,
    /// The event hub.
    pub name: String,
    /// Who asks.
    pub identity: Identity,
    /// The address to connect to instead of the namespace.
    pub endpoint: Option<Url>,
}

impl Hub {
    /// Checks `keys`.
    ///
    /// # Errors
    /// If they contradict each other, or one is none of its kind. The error names the key, and shows no secret.
    pub fn new(keys: HubKeys<'_>) -> Result<Self, ClientError> {
        let identity = match (keys.connection_string, keys.client_secret) {
            (Some(_), Some(_)) => {
                return Err(ClientError::config("`connection_string` and `client_secret` are both given: keep one"));
            }
            (Some(key), None) => Identity::Key(key.clone()),
            (None, Some(application)) => Identity::Application(application.clone()),
            (None, None) => Identity::Machine,
        };
        let named = keys.connection_string.map(|text| in_connection_string(text, keys.hub)).transpose()?;
        let namespace = match (keys.namespace, named) {
            (Some(namespace), Some(named)) if !namespace.eq_ignore_ascii_case(&named) => {
                return Err(ClientError::config(format!(
                    "`namespace` is {namespace}, but `connection_string` is of {named}: leave `namespace` out"
                )));
            }
            (Some(namespace), _) => namespace.to_ascii_lowercase(),
            (None, Some(named)) => named.to_ascii_lowercase(),
            (None, None) => {
                return Err(ClientError::config(
                    "`namespace` is missing: write the host, such as \"acme.servicebus.windows.net\"",
                ));
            }
        };
        if namespace.is_empty() || namespace.contains(['/', ':', ' ']) {
            return Err(ClientError::config(format!(
                "`namespace` \"{namespace}\" is no host: write for example \"acme.servicebus.windows.net\""
            )));
        }
        if keys.hub.is_empty() || keys.hub.contains(['/', '?', '#', ' ']) {
            return Err(ClientError::config(format!("`hub` \"{}\" is no name", keys.hub)));
        }
        let endpoint = keys.endpoint.map(|text| endpoint(text, &identity)).transpose()?;
        Ok(Self { namespace, name: keys.hub.to_string(), identity, endpoint })
    }

    /// The hub, as errors name it.
    pub fn place(&self) -> String {
        format!("event hub {}/{}", self.namespace, self.name)
    }
}

/// The namespace that a connection string names; it must not name another hub.
fn in_connection_string(text: &Secret, hub: &str) -> Result<String, ClientError> {
    // The parser's own words could hold a piece of the key.
    let parsed: ConnectionString = text.expose().parse().map_err(|_| {
        ClientError::config(
            "`connection_string` is none: copy it whole, Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…",
        )
    })?;
    match parsed.entity_path {
        Some(entity) if entity != hub => Err(ClientError::config(format!(
            "`hub` is {hub}, but `connection_string` is of the hub {entity}: take one of {hub}, or of the whole namespace"
        ))),
        _ => Ok(parsed.fully_qualified_namespace),
    }
}

/// The address to connect to instead of the namespace. A token of Entra opens more than one hub: it never goes out in the clear.
fn endpoint(text: &str, identity: &Identity) -> Result<Url, ClientError> {
    let bad = || {
        ClientError::config(format!(
            "`endpoint` \"{text}\" is no address: write for example \"amqps://127.0.0.1:5671\""
        ))
    };
    let url = Url::parse(text).map_err(|_| bad())?;
    match (url.scheme(), identity) {
        _ if url.host_str().is_none() || !url.username().is_empty() || url.password().is_some() => Err(bad()),
        ("amqps", _) | ("amqp", Identity::Key(_)) => Ok(url),
        ("amqp", _) => Err(ClientError::config(
            "`endpoint` is not encrypted, and would show a token of Entra: write amqps://, or give a `connection_string`",
        )),
        _ => Err(bad()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEY: &str = "Endpoint=sb://Double.servicebus.windows.net/;SharedAccessKeyName=all;SharedAccessKey=c2VjcmV0";

    fn keys(connection_string: Option<&Secret>) -> HubKeys<'_> {
        HubKeys {
            namespace: None,
            hub: "hub",
            connection_string,
            client_secret: None,
            endpoint: Some("amqp://127.0.0.1:5672"),
        }
    }

    #[test]
    fn keys_that_make_no_sense_together_are_refused_by_name() {
        let key = Secret::new(KEY);
        let (broken, other) = (Secret::new("c2VjcmV0"), Secret::new(format!("{KEY};EntityPath=other")));
        let json = serde_json::json!({ "tenant_id": "t", "client_id": "c", "client_secret": "c2VjcmV0" });
        let application: ClientSecret = serde_json::from_value(json).unwrap();
        let (with, without) = (keys(Some(&key)), keys(None));
        let named = HubKeys { namespace: Some("a.b"), ..without };
        let table = [
            (keys(Some(&broken)), "`connection_string`"),
            (keys(Some(&other)), "`hub`"),
            (HubKeys { namespace: Some("elsewhere.servicebus.windows.net"), ..with }, "`namespace`"),
            (without, "`namespace`"),
            (HubKeys { namespace: Some("a.b:9093"), ..without }, "`namespace`"),
            (HubKeys { client_secret: Some(&application), ..with }, "`client_secret`"),
            (HubKeys { client_secret: Some(&application), ..named }, "`endpoint`"),
            (named, "`endpoint`"),
            (HubKeys { hub: "a/b", ..with }, "`hub`"),
            (HubKeys { endpoint: Some("127.0.0.1"), ..with }, "`endpoint`"),
            (HubKeys { endpoint: Some("https://127.0.0.1"), ..with }, "`endpoint`"),
        ];
        for (keys, key) in table {
            let error = Hub::new(keys).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains("c2VjcmV0"), "{keys:?}: {error}");
        }
        let hub = Hub::new(with).unwrap();
        assert_eq!(hub.place(), "event hub double.servicebus.windows.net/hub");
        assert!(!format!("{hub:?} {application:?}").contains("c2VjcmV0"));
    }
}
