//! Takes what clients send: single events and batches.

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp_types::definitions::{Error, LinkError};
use fe2o3_amqp_types::messaging::message::__private::Deserializable;
use fe2o3_amqp_types::messaging::{Body, Data, Message};
use serde_amqp::Value;
use tokio::task::JoinSet;

use crate::connection::{MAX_MESSAGE_BYTES, Peer, SETTLE_AFTER};
use crate::hub::{Fault, payload};
use crate::link::{busy, error, not_found};

/// The message format of a batch: each data section is an event of its own.
const BATCH: u32 = 0x8001_3700;

pub(crate) async fn serve(peer: Peer, mut receiver: Receiver, partition: Option<String>) {
    let number = partition.as_deref().map(str::parse::<usize>);
    let number = match number {
        None => None,
        Some(Ok(number)) if number < peer.hub.partitions() => Some(number),
        Some(_) => {
            let entity = format!("Partitions/{}", partition.unwrap_or_default());
            let _ = receiver.close_with_error(not_found(&entity)).await;
            return;
        }
    };
    let mut settling = JoinSet::new();
    let mut detached = peer.hub.detached();
    loop {
        let delivery = tokio::select! {
            delivery = receiver.recv::<Body<Value>>() => match delivery {
                Ok(delivery) => delivery,
                Err(_) => return,
            },
            // The hub, which the peer holds, has the other end.
            _ = detached.changed() => break,
        };
        let format = *delivery.message_format();
        let info = DeliveryInfo::from(&delivery);
        let message = delivery.into_message();
        let size = payload(&message.body);
        let fault = peer.hub.fault();
        if size as u64 > MAX_MESSAGE_BYTES {
            settle().await;
            // As below: a link that has gone hears no answer.
            let _ = receiver.reject(info, too_large(size)).await;
            continue;
        }
        match fault {
            Some(Fault::Busy) => {
                settle().await;
                let _ = receiver.reject(info, busy()).await;
                continue;
            }
            Some(Fault::Released) => {
                settle().await;
                let _ = receiver.release(info).await;
                continue;
            }
            Some(Fault::DetachedBefore) => break,
            Some(Fault::DetachedAfter | Fault::Silent) | None => {}
        }
        for message in events(format, message) {
            peer.hub.take(number, message);
        }
        match fault {
            Some(Fault::Silent) => continue,
            Some(_) => break,
            None => {}
        }
        let disposer = receiver.disposer();
        settling.spawn(async move {
            settle().await;
            // A link that has gone hears no answer; its client sends again, and so may write twice, as with the service.
            let _ = disposer.accept(info).await;
        });
        while settling.try_join_next().is_some() {}
    }
    let moved = error(LinkError::DetachForced, "The link is force detached because the partition is moved.");
    let _ = receiver.close_with_error(moved).await;
}

async fn settle() {
    tokio::time::sleep(SETTLE_AFTER).await;
}

/// The service's words for a message above its limit.
fn too_large(size: usize) -> Error {
    let text = format!(
        "The received message (delivery-id:0, size:{size} bytes) exceeds the limit ({MAX_MESSAGE_BYTES} bytes) currently allowed on the link."
    );
    error(LinkError::MessageSizeExceeded, text)
}

/// The events that a message holds. What can't be read in a batch is left out.
fn events(format: Option<u32>, message: Message<Body<Value>>) -> Vec<Message<Body<Value>>> {
    match message.body {
        Body::Data(parts) if format == Some(BATCH) => {
            let event = |Data(bytes)| serde_amqp::from_slice::<Deserializable<Message<Body<Value>>>>(&bytes).ok();
            parts.into_iter().filter_map(event).map(|event| event.0).collect()
        }
        _ => vec![message],
    }
}
