//! Sends a partition's events to one receiver, as its credit allows.

use std::sync::Arc;

use fe2o3_amqp::Sender;
use fe2o3_amqp::types::performatives::Attach;
use fe2o3_amqp_types::definitions::{AmqpError, Error, LinkError};
use fe2o3_amqp_types::messaging::{Body, Message, MessageAnnotations, Source};
use serde_amqp::Value;
use serde_amqp::primitives::{Symbol, Timestamp};
use tokio::sync::watch;

use crate::connection::Peer;
use crate::filter::Start;
use crate::hub::Partition;
use crate::link::{busy, custom, error, is_group, not_found, unauthorized};
use crate::log::Event;
use crate::owners::{Ending, Refused, Seat};

/// Events taken from the log at a time.
const CHUNK: usize = 500;

/// What a receiver wants to read.
pub(crate) struct Wanted {
    pub(crate) group: String,
    pub(crate) partition: String,
    pub(crate) level: Option<i64>,
}

/// The owner level that a receiver attaches with.
pub(crate) fn owner_level(attach: &Attach) -> Option<i64> {
    match attach.properties.as_ref()?.get(&Symbol::from("com.microsoft:epoch"))? {
        Value::Long(level) => Some(*level),
        Value::Int(level) => Some(i64::from(*level)),
        _ => None,
    }
}

/// Delivers until the link ends.
pub(crate) async fn serve(peer: Peer, mut sender: Sender, wanted: Wanted, source: Option<&Source>) {
    let (partition, start, seat) = match admit(&peer, &wanted, source) {
        Ok(admitted) => admitted,
        Err(error) => {
            let _ = sender.close_with_error(error).await;
            return;
        }
    };
    let id = seat.id;
    let ending = deliver(&partition, &mut sender, start, seat).await;
    partition.owners().leave(id);
    if let Some(ending) = ending {
        // The other side may have gone already.
        let _ = sender.close_with_error(words(ending)).await;
    }
}

fn admit(peer: &Peer, wanted: &Wanted, source: Option<&Source>) -> Result<(Arc<Partition>, i64, Seat), Error> {
    if !peer.claims().may_listen() {
        return Err(unauthorized("Listen"));
    }
    if !is_group(&wanted.group) {
        return Err(not_found(&format!("hub/consumergroups/{}", wanted.group)));
    }
    let partition = wanted.partition.parse().ok().and_then(|number| peer.hub.partition(number));
    let Some(partition) = partition else {
        let text = format!(
            "The specified partition is invalid for an EventHub partition sender or receiver: {}",
            wanted.partition
        );
        return Err(error(custom("com.microsoft:argument-out-of-range"), text));
    };
    if peer.hub.is_busy() {
        return Err(busy());
    }
    let start = Start::of(source)
        .map_err(|selector| error(AmqpError::InvalidField, format!("The filter is not understood: {selector}")))?;
    let first = partition.log().first(&start);
    let seat = partition.owners().enter(&wanted.group, wanted.level).map_err(|refused| match refused {
        Refused::Higher(level) => error(
            LinkError::Stolen,
            format!("At least one receiver for the endpoint is created with epoch of '{level}', and so other receivers are not allowed."),
        ),
        Refused::TooMany => error(
            AmqpError::ResourceLimitExceeded,
            "Exceeded the maximum number of allowed receivers per partition in a consumer group which is 5.",
        ),
    })?;
    Ok((partition, first, seat))
}

fn words(ending: Ending) -> Error {
    match ending {
        Ending::Stolen => error(
            LinkError::Stolen,
            "New receiver with higher epoch is created hence current receiver is getting disconnected.",
        ),
        Ending::Forced => error(LinkError::DetachForced, "The link is force detached because the partition is moved."),
    }
}

/// Sends until the link is gone, or must end for the reason given.
async fn deliver(partition: &Partition, sender: &mut Sender, from: i64, seat: Seat) -> Option<Ending> {
    let (mut next, mut ending) = (from, seat.ending);
    let mut written = partition.written();
    let mut silent = partition.silent();
    loop {
        written.borrow_and_update();
        let quiet = *silent.borrow_and_update();
        let chunk = if quiet { Vec::new() } else { partition.log().read(next, CHUNK) };
        if chunk.is_empty() {
            tokio::select! {
                _ = written.changed() => continue,
                _ = silent.changed() => continue,
                _ = sender.on_detach() => return None,
                ending = ended(&mut ending) => return ending,
            }
        }
        for event in chunk {
            let message = annotated(&event);
            tokio::select! {
                sent = sender.send_batchable(message) => if sent.is_err() {
                    return None;
                },
                ending = ended(&mut ending) => return ending,
            }
            next = event.sequence + 1;
        }
    }
}

async fn ended(ending: &mut watch::Receiver<Option<Ending>>) -> Option<Ending> {
    match ending.wait_for(Option::is_some).await {
        Ok(ending) => *ending,
        // Nobody can end it any more: it has left.
        Err(_) => None,
    }
}

/// The event as the service hands it out.
fn annotated(event: &Event) -> Message<Body<Value>> {
    let mut annotations = MessageAnnotations::builder()
        .insert("x-opt-sequence-number", Value::Long(event.sequence))
        .insert("x-opt-offset", Value::String(event.offset().to_string()))
        .insert("x-opt-enqueued-time", Value::Timestamp(Timestamp::from(event.enqueued)));
    if let Some(key) = &event.key {
        annotations = annotations.insert("x-opt-partition-key", key.clone());
    }
    let mut message = event.message.clone();
    message.message_annotations = Some(annotations.build());
    message
}
