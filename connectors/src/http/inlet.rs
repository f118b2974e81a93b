//! Where requests come in: each is checked, cut into records, queued, and answered by what became of them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use chrono::Utc;
use tokio::sync::Notify;
use watershed_clients::Secret;

use super::batch::{self, Shape};
use super::body::{self, Encoding, Incoming};
use super::queue::{Batch, Queue};
use super::refusal::{Refusal, answer};
use super::space::{Buffer, Space};
use super::{Ack, HttpOptions};
use crate::framing::Framing;
use crate::records::Records;
use crate::size::ByteSize;

/// Bodies that decompress to more than this are worked on beside the threads that serve connections.
const LARGE: usize = 64 << 10;

/// One source's end of the daemon's HTTP server.
pub struct Inlet {
    token: Option<Secret>,
    pub(super) ack: Ack,
    max_body: usize,
    framing: Option<Framing>,
    pub(super) buffer: Arc<Buffer>,
    queue: Mutex<Queue>,
    /// Told when there is something to read, or will be nothing more.
    pub(super) news: Notify,
}

impl fmt::Debug for Inlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet").field("ack", &self.ack).finish_non_exhaustive()
    }
}

impl Inlet {
    pub(super) fn new(options: &HttpOptions, framing: Option<Framing>) -> Arc<Self> {
        Arc::new(Self {
            token: options.token.clone(),
            ack: options.ack,
            max_body: bytes(options.max_body),
            framing,
            buffer: Buffer::new(bytes(options.buffer)),
            queue: Mutex::default(),
            news: Notify::new(),
        })
    }

    /// True if requests are taken without a token.
    pub fn is_open_to_all(&self) -> bool {
        self.token.is_none()
    }

    /// Answers one request, when that can be answered: with `ack = "durable"` its records are in a checkpoint by then.
    /// Dropped before, the request may have been taken or not, as one whose answer was lost.
    pub async fn answer(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let mut body = Incoming::new(&head.headers, body);
        match self.take(&head, &mut body).await {
            Ok(taken) => {
                let status = if self.ack == Ack::Memory { StatusCode::ACCEPTED } else { StatusCode::OK };
                answer(status, &serde_json::json!({ "records": taken }))
            }
            Err(refusal) => {
                body::pass_by(&mut body, self.max_body.saturating_mul(2)).await;
                refusal.answer()
            }
        }
    }

    async fn take(&self, head: &Parts, body: &mut Incoming) -> Result<usize, Refusal> {
        if head.method != Method::POST {
            return Err(Refusal::Method);
        }
        let authorization = head.headers.get(header::AUTHORIZATION).map_or(&[][..], HeaderValue::as_bytes);
        if self.token.as_ref().is_some_and(|token| !token.is_bearer(authorization)) {
            return Err(Refusal::Unauthorized);
        }
        let shape = Shape::of(self.framing, &head.headers)?;
        let encoding = Encoding::of(&head.headers)?;
        if !self.queue().is_open() {
            return Err(Refusal::Closed);
        }
        let mut space = self.buffer.space();
        let body = body::receive(&head.headers, body, self.max_body, &mut space).await?;
        let (records, space) = self.unpack(body, encoding, shape, space).await?;
        let count = records.len();
        if count == 0 {
            return Ok(0);
        }
        let durable = self.push(records, space)?;
        if self.ack == Ack::Memory {
            return Ok(count);
        }
        // Whoever could tell is gone: the run has ended without.
        durable.await.map_err(|_| Refusal::Closed)?;
        Ok(count)
    }

    async fn unpack(
        &self,
        body: Vec<u8>,
        encoding: Encoding,
        shape: Shape,
        mut space: Space,
    ) -> Result<(Records, Space), Refusal> {
        let (large, max) = (encoding != Encoding::Plain || body.len() > LARGE, self.max_body);
        let work = move || {
            let plain = body::decompress(body, encoding, max, &mut space)?;
            let records = batch::cut(plain, shape, &mut space)?;
            Ok((records, space))
        };
        match large {
            // Only a runtime that ends gives such work up.
            true => tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::Closed)?,
            false => work(),
        }
    }

    /// Queues records for the reader.
    pub(super) fn push(&self, records: Records, space: Space) -> Result<tokio::sync::oneshot::Receiver<()>, Refusal> {
        let mut queue = self.queue();
        if !queue.is_open() {
            return Err(Refusal::Closed);
        }
        let batch = Batch { records, next: 0, arrived: Utc::now().timestamp_micros(), _space: space };
        let durable = queue.push(batch);
        drop(queue);
        self.news.notify_one();
        Ok(durable)
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nobody panics while holding the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}
