//! `$cbs` takes tokens; `$management` tells of the hub and its partitions. Both answer to the address that a request names.
//!
//! Of a token only whose it is is looked at: the policy of a shared access signature, and what stands before the first dot of
//! any other. One called `refused` is wrong, one called `sender` may not read, and one called `receiver` may not send.

use fe2o3_amqp::{Receiver, Sender};
use fe2o3_amqp_types::messaging::{AmqpValue, ApplicationProperties, Body, Message, Properties};
use fe2o3_amqp_types::primitives::SimpleValue;
use serde_amqp::Value;
use serde_amqp::primitives::{Array, OrderedMap, Timestamp};
use tokio::sync::mpsc;

use crate::connection::{Claims, Peer, SETTLE_AFTER};
use crate::hub::{HUB, Hub};

/// The nodes that are asked.
pub(crate) const TOKENS: &str = "$cbs";
pub(crate) const MANAGEMENT: &str = "$management";

type Request = Message<Body<Value>>;

/// What a request comes to.
struct Answer {
    status: i32,
    description: String,
    body: Value,
}

impl Answer {
    fn error(status: i32, description: impl Into<String>) -> Self {
        Self { status, description: description.into(), body: Value::Null }
    }

    /// As the reply to `request`.
    fn reply(self, request: &Request) -> Request {
        let mut status = ApplicationProperties::default();
        // The two spellings of the two protocols.
        for name in ["status-code", "statusCode"] {
            status.0.insert(name.into(), self.status.into());
        }
        for name in ["status-description", "statusDescription"] {
            status.0.insert(name.into(), self.description.as_str().into());
        }
        let id = request.properties.as_ref().and_then(|properties| properties.message_id.clone());
        Message {
            header: None,
            delivery_annotations: None,
            message_annotations: None,
            properties: Some(Properties { correlation_id: id, ..Properties::default() }),
            application_properties: Some(status),
            body: Body::Value(AmqpValue(self.body)),
            footer: None,
        }
    }
}

/// Sends replies while the link lasts.
pub(crate) async fn send_replies(mut sender: Sender, mut replies: mpsc::Receiver<Request>) {
    loop {
        tokio::select! {
            _ = sender.on_detach() => return,
            reply = replies.recv() => {
                let Some(reply) = reply else { return };
                // Batchable is the last field of a transfer: with it no field is left out, which some clients count on.
                if sender.send_batchable(reply).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Takes tokens.
pub(crate) async fn serve_tokens(peer: Peer, mut receiver: Receiver) {
    while let Some(request) = next(&mut receiver).await {
        let answer = match &request.body {
            Body::Value(AmqpValue(Value::String(token))) if !token.is_empty() => take(&peer, &request, token),
            _ => Answer::error(400, "MalformedToken: The request carries no token."),
        };
        respond(&peer, TOKENS, &request, answer).await;
    }
}

fn take(peer: &Peer, request: &Request, token: &str) -> Answer {
    if let Err(error) = peer.hub.register(text(request, "type").unwrap_or_default(), token) {
        return Answer::error(500, format!("The token can't be written down: {error}"));
    }
    match claims(token) {
        Claims::None => Answer::error(401, "InvalidSignature: The token has an invalid signature."),
        claims => {
            peer.grant(claims);
            Answer { status: 202, description: "Accepted".to_string(), body: Value::Null }
        }
    }
}

/// What the bearer of a token may do.
fn claims(token: &str) -> Claims {
    let policy = token.split('&').find_map(|part| part.strip_prefix("skn="));
    match policy.or(token.split('.').next()) {
        Some("refused") => Claims::None,
        Some("sender") => Claims::Send,
        Some("receiver") => Claims::Listen,
        _ => Claims::All,
    }
}

/// Tells of the hub and its partitions.
pub(crate) async fn serve_management(peer: Peer, mut receiver: Receiver) {
    while let Some(request) = next(&mut receiver).await {
        let answer = if peer.claims().may_listen() {
            read(&peer.hub, &request)
        } else {
            Answer::error(401, "Unauthorized access. 'Listen' claim(s) are required to perform this operation.")
        };
        respond(&peer, MANAGEMENT, &request, answer).await;
    }
}

fn read(hub: &Hub, request: &Request) -> Answer {
    if text(request, "operation") != Some("READ") {
        return Answer::error(400, "The operation is not supported.");
    }
    let name = text(request, "name").unwrap_or_default();
    if !name.eq_ignore_ascii_case(HUB) {
        return Answer::error(404, format!("The messaging entity 'sb://double/{name}' could not be found."));
    }
    let properties = match text(request, "type") {
        Some("com.microsoft:eventhub") => Some(hub_properties(hub)),
        Some("com.microsoft:partition") => {
            text(request, "partition").and_then(|partition| partition_properties(hub, partition))
        }
        _ => return Answer::error(400, "The entity type is not supported."),
    };
    match properties {
        Some(properties) => {
            let body = properties.into_iter().map(|(name, value)| (Value::String(name.to_string()), value));
            let body = Value::Map(body.collect::<OrderedMap<_, _>>());
            Answer { status: 200, description: "OK".to_string(), body }
        }
        None => Answer::error(404, "The partition could not be found."),
    }
}

type Fields = Vec<(&'static str, Value)>;

fn hub_properties(hub: &Hub) -> Fields {
    let ids: Vec<Value> = (0..hub.partitions()).map(|id| Value::String(id.to_string())).collect();
    vec![
        ("type", string("com.microsoft:eventhub")),
        ("name", string(HUB)),
        ("created_at", Value::Timestamp(Timestamp::from(0))),
        ("partition_count", Value::Int(i32::try_from(ids.len()).unwrap_or(i32::MAX))),
        ("partition_ids", Value::Array(Array(ids))),
    ]
}

fn partition_properties(hub: &Hub, id: &str) -> Option<Fields> {
    let partition = hub.partition(id.parse().ok()?)?;
    let log = partition.log();
    let last = log.last();
    Some(vec![
        ("type", string("com.microsoft:partition")),
        ("name", string(HUB)),
        ("partition", string(id)),
        ("begin_sequence_number", Value::Long(log.begin())),
        ("last_enqueued_sequence_number", Value::Long(log.next() - 1)),
        ("last_enqueued_sequence_number_epoch", Value::Long(0)),
        ("last_enqueued_offset", string(&last.map_or(-1, |event| event.offset()).to_string())),
        ("last_enqueued_time_utc", Value::Timestamp(Timestamp::from(last.map_or(0, |event| event.enqueued)))),
        ("is_partition_empty", Value::Bool(last.is_none())),
    ])
}

fn string(text: &str) -> Value {
    Value::String(text.to_string())
}

/// A property; some clients give text as bytes.
fn text<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    match request.application_properties.as_ref()?.0.get(name)? {
        SimpleValue::String(text) => Some(text),
        SimpleValue::Binary(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// The next request, accepted.
async fn next(receiver: &mut Receiver) -> Option<Request> {
    let delivery = receiver.recv::<Body<Value>>().await.ok()?;
    tokio::time::sleep(SETTLE_AFTER).await;
    receiver.accept(&delivery).await.ok()?;
    Some(delivery.into_message())
}

/// Answers to where the request says; a client that does not say it takes replies from the node it asked.
async fn respond(peer: &Peer, node: &str, request: &Request, answer: Answer) {
    let to = request.properties.as_ref().and_then(|properties| properties.reply_to.as_deref());
    peer.reply(to.unwrap_or(node), answer.reply(request)).await;
}
