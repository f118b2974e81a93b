//! Takes what clients send: single events and batches.

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp_types::messaging::message::__private::Deserializable;
use fe2o3_amqp_types::messaging::{Body, Data, Message};
use serde_amqp::Value;
use tokio::task::JoinSet;

use crate::connection::{Peer, SETTLE_AFTER};
use crate::link::not_found;

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
    while let Ok(delivery) = receiver.recv::<Body<Value>>().await {
        let format = *delivery.message_format();
        let info = DeliveryInfo::from(&delivery);
        for message in events(format, delivery.into_message()) {
            peer.hub.take(number, message);
        }
        let disposer = receiver.disposer();
        settling.spawn(async move {
            tokio::time::sleep(SETTLE_AFTER).await;
            // A link that has gone hears no answer; its client sends again, and so may write twice, as with the service.
            let _ = disposer.accept(info).await;
        });
        while settling.try_join_next().is_some() {}
    }
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
