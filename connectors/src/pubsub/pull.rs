//! One streaming pull, in a task of its own.
//!
//! The one idea: the client opens its stream while it is waited for, and a wait that is given up opens it anew. So the
//! task waits for as long as it takes, and the reader waits for the task.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::subscriber::handler::Handler;
use google_cloud_pubsub::subscriber::{MessageStream, ShutdownBehavior};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use watershed_clients::google::Address;

use super::flow::Flow;
use super::outstanding::Outstanding;
use super::{PubSubOptions, fault};
use crate::error::SourceError;

/// Bytes of messages that wait for the reader; a larger message waits alone.
const BUFFER: u32 = 16 << 20;
/// Silence after which the service is asked whether it is there, and how often it is asked again.
const SILENCE: Duration = Duration::from_secs(1);
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// So often asked in silence, a stream is opened anew on a connection of its own: the old one may be dead, and nobody
/// would say so.
const ASKED: usize = 12;

/// What the task and the reader of a stream share, and what outlives both when they are opened anew.
#[derive(Debug)]
pub(super) struct Ledger {
    outstanding: Mutex<Outstanding<Handler>>,
    /// Told when something was acknowledged.
    settled: Notify,
    /// Nothing has come for a while, and the service is there.
    quiet: AtomicBool,
}

/// A message on its way to the reader.
pub(super) struct Delivery {
    pub(super) message: Message,
    pub(super) handler: Handler,
    _room: OwnedSemaphorePermit,
}

/// What the task tells the reader.
pub(super) enum Told {
    Delivery(Box<Delivery>),
    /// Nothing comes any more.
    Ended(SourceError),
}

/// Why a stream is not listened to any more.
enum End {
    /// The reader has gone.
    Left,
    /// It may be dead.
    Stale,
}

impl Ledger {
    pub(super) fn beginning_at(next: u64) -> Self {
        let outstanding = Mutex::new(Outstanding::beginning_at(next));
        Self { outstanding, settled: Notify::new(), quiet: AtomicBool::new(false) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Outstanding<Handler>> {
        // Nobody panics while holding the lock.
        self.outstanding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives some of what is before `position` away.
    pub(super) fn settle(&self, position: u64, most: usize) -> Vec<Handler> {
        let settled = self.lock().settle(position, most);
        self.settled.notify_one();
        settled
    }

    /// True if nothing has come for a while although it could have.
    pub(super) fn is_quiet(&self, flow: &Flow) -> bool {
        // Near a limit silence is flow control.
        let out = self.lock();
        let room = (out.len() as u64) < flow.messages.div_ceil(2) && out.bytes() < flow.bytes.div_ceil(2);
        room && self.quiet.load(Ordering::Acquire)
    }

    async fn wait_for_room(&self, most: u64) {
        while self.lock().len() as u64 >= most {
            self.settled.notified().await;
        }
    }
}

/// A task that pulls.
pub(super) struct Pull {
    options: Arc<PubSubOptions>,
    address: Address,
    flow: Flow,
    ledger: Arc<Ledger>,
    reader: UnboundedSender<Told>,
    room: Arc<Semaphore>,
}

impl Pull {
    /// A task, not begun, and where it tells what comes. It ends when that is dropped.
    pub(super) fn new(
        options: Arc<PubSubOptions>,
        address: Address,
        flow: Flow,
        ledger: Arc<Ledger>,
    ) -> (Self, UnboundedReceiver<Told>) {
        let (reader, inbox) = unbounded_channel();
        let room = Arc::new(Semaphore::new(BUFFER as usize));
        (Self { options, address, flow, ledger, reader, room }, inbox)
    }

    /// Pulls until the reader goes or the service refuses; then waits until what was handed out has been acknowledged or
    /// dropped, whose leases end with this task.
    pub(super) async fn run(self) {
        let mut old = tokio::task::JoinSet::new();
        loop {
            self.ledger.quiet.store(false, Ordering::Release);
            let mut stream = match self.open().await {
                Ok(stream) => stream,
                Err(error) => {
                    let _ = self.reader.send(Told::Ended(error));
                    break;
                }
            };
            let leases = stream.shutdown_token();
            let end = self.listen(&mut stream).await;
            self.ledger.quiet.store(false, Ordering::Release);
            drop(stream);
            old.spawn(async move { leases.shutdown().await });
            match end {
                Ok(End::Stale) => {}
                Ok(End::Left) => break,
                Err(error) => {
                    // A reader that has gone needs no word.
                    let _ = self.reader.send(Told::Ended(error));
                    break;
                }
            }
            while old.try_join_next().is_some() {}
        }
        drop(self);
        while old.join_next().await.is_some() {}
    }

    async fn open(&self) -> Result<MessageStream, SourceError> {
        self.address.answers().await?;
        let client = self.options.connect().await?;
        let limit = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
        let subscribe = client
            .subscribe(self.options.name())
            .set_max_lease(self.flow.lease)
            .set_max_lease_extension(self.flow.extension)
            .set_max_outstanding_messages(limit(self.flow.messages))
            .set_max_outstanding_bytes(limit(self.flow.bytes))
            // What was handed out keeps its lease when the stream breaks, and can be acknowledged.
            .set_shutdown_behavior(ShutdownBehavior::WaitForProcessing);
        Ok(subscribe.build())
    }

    async fn listen(&self, stream: &mut MessageStream) -> Result<End, SourceError> {
        loop {
            tokio::select! {
                () = self.reader.closed() => return Ok(End::Left),
                () = self.ledger.wait_for_room(self.flow.messages) => {}
            }
            let Some(next) = self.next(stream).await? else { return Ok(End::Stale) };
            let Some((message, handler)) = next else { return Ok(End::Left) };
            let bytes = u32::try_from(message.data.len()).unwrap_or(BUFFER).clamp(1, BUFFER);
            let room = tokio::select! {
                () = self.reader.closed() => return Ok(End::Left),
                room = self.room.clone().acquire_many_owned(bytes) => room,
            };
            // The semaphore is never closed.
            let Ok(room) = room else { return Ok(End::Left) };
            if self.reader.send(Told::Delivery(Box::new(Delivery { message, handler, _room: room }))).is_err() {
                return Ok(End::Left);
            }
        }
    }

    /// The next message; none if the reader has gone. Nothing at all if the stream has been silent for too long.
    async fn next(&self, stream: &mut MessageStream) -> Result<Option<Option<(Message, Handler)>>, SourceError> {
        let name = self.options.name();
        let mut next = pin!(stream.next());
        let mut wait = SILENCE;
        for _ in 0..ASKED {
            let asked = async {
                tokio::time::sleep(wait).await;
                // An answer of long ago is none.
                self.ledger.quiet.store(false, Ordering::Release);
                self.address.answers().await
            };
            tokio::select! {
                biased;
                () = self.reader.closed() => return Ok(Some(None)),
                next = &mut next => {
                    self.ledger.quiet.store(false, Ordering::Release);
                    return match next {
                        Some(Ok(delivery)) => Ok(Some(Some(delivery))),
                        Some(Err(error)) => Err(fault::classify(&name, error)),
                        None => Err(SourceError::retry(name, "the stream has ended")),
                    };
                }
                answer = asked => answer?,
            }
            self.ledger.quiet.store(true, Ordering::Release);
            wait = ASK_AGAIN;
        }
        Ok(None)
    }
}
