//! The namespace's Kafka endpoint: the options of a hub, as those of a topic. Everything else is the Kafka connector's.

use serde_json::{Value, json};
use watershed_clients::azure::Identity;

use super::EventHubsOptions;
use super::settings::Settings;
use crate::error::SourceError;
use crate::kafka::KafkaOptions;
use crate::start::Start;

/// The port of the Kafka endpoint.
const PORT: u16 = 9093;

/// What the Kafka connector is given. Its `group` stays out: commits would be made in a group of Kafka's, which is not the hub's
/// consumer group of that name.
pub(super) fn options(options: &EventHubsOptions) -> Result<KafkaOptions, SourceError> {
    if options.owner_level.is_some() {
        return Err(SourceError::config("`owner_level` is of AMQP: leave it out, or `protocol` = \"kafka\""));
    }
    if options.checkpoint_store.is_some() {
        return Err(SourceError::config(
            "`checkpoint_store` holds sequence numbers, which Kafka's protocol does not tell: leave it out, or `protocol` = \"kafka\"",
        ));
    }
    let settings = Settings::new(&EventHubsOptions { endpoint: None, tls: None, ..options.clone() })?;
    let broker = match &options.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => format!("{}:{PORT}", settings.hub.namespace),
    };
    let keys = json!({
        "brokers": broker,
        "topic": settings.hub.name,
        "start": start(settings.start),
        "refresh": options.refresh.to_string(),
        "tls": options.tls.as_ref().map_or(json!(true), |tls| json!({ "ca": tls.ca })),
        "sasl": sasl(&settings)?,
    });
    // The parser's own words could hold a piece of a secret.
    serde_json::from_value(keys).map_err(|_| {
        SourceError::config("`protocol` = \"kafka\": these options make no options of the Kafka connector")
    })
}

fn start(start: Start) -> String {
    match start {
        Start::Earliest => "earliest".to_string(),
        Start::Latest => "latest".to_string(),
        Start::At(moment) => moment.to_rfc3339(),
    }
}

fn sasl(settings: &Settings) -> Result<Value, SourceError> {
    match &settings.hub.identity {
        Identity::Key(text) => {
            Ok(json!({ "mechanism": "PLAIN", "username": "$ConnectionString", "password": text.expose() }))
        }
        Identity::Application(of) => Ok(json!({
            "mechanism": "OAUTHBEARER",
            "token_endpoint": format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", of.tenant_id),
            "client_id": of.client_id,
            "client_secret": of.client_secret.expose(),
            "scope": format!("https://{}/.default", settings.hub.namespace),
        })),
        Identity::Machine => Err(SourceError::config(
            "`protocol` = \"kafka\" needs a `connection_string` or `client_secret`: the machine's own identity is read by AMQP only",
        )),
    }
}
