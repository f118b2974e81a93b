//! The one split of a stream of events: read on for ever, over as many connections as it takes.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::Utc;
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::Response;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::connection::Origin;
use super::parser::{Data, Event, Parser};
use crate::error::SourceError;
use crate::metadata::{MetadataValue, Wanted};
use crate::records::Records;
use crate::source::{Position, ReadLimits, ReadStatus, Reader, Source, SplitId};

/// A longer event is set aside; as for files.
const MAX_EVENT: usize = 16 << 20;

/// Pieces of a connection that may wait for the reader: of some kilobytes each, and of half a megabyte at most.
const AHEAD: usize = 16;

/// The pause before a connection that has ended is made again, where the server does not say.
const PAUSE: Duration = Duration::from_secs(1);

/// A stream of events.
#[derive(Debug)]
pub(super) struct SseSource {
    origin: Arc<Origin>,
    wanted: OnceLock<Wanted>,
}

impl SseSource {
    pub(super) fn new(origin: Origin) -> Self {
        Self { origin: Arc::new(origin), wanted: OnceLock::new() }
    }
}

#[async_trait]
impl Source for SseSource {
    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        Ok(vec![SplitId::new("sse")])
    }

    async fn open(&self, _split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        let (id, events) = match from {
            None => (None, 0),
            Some(position) => {
                let events = position.0["events"].as_u64().ok_or_else(|| {
                    SourceError::config("the checkpoint holds no place in a stream of events; start with --reset-state")
                })?;
                (position.0["id"].as_str().map(str::to_owned), events)
            }
        };
        Ok(Box::new(SseReader {
            origin: self.origin.clone(),
            wanted: self.wanted.get().cloned().unwrap_or_default(),
            line: Line::Closed,
            ready: VecDeque::new(),
            id,
            events,
            pause: PAUSE,
        }))
    }

    fn bounded(&self) -> bool {
        false
    }

    fn describe(&self, wanted: Wanted) {
        // Told once.
        let _ = self.wanted.set(wanted);
    }

    async fn probe(&self) -> Result<String, SourceError> {
        self.origin.connect(None).await?;
        Ok(format!("{} answers with a stream of events", self.origin.shown()))
    }
}

/// The connection.
enum Line {
    Closed,
    /// On its way. Kept, so that a read that is dropped does not begin it anew.
    Connecting(BoxFuture<'static, Result<Response, SourceError>>),
    Open(Box<Open>),
}

struct Open {
    pieces: mpsc::Receiver<Result<Bytes, reqwest::Error>>,
    parser: Parser,
    /// When something came last.
    heard: Instant,
    /// True if anything did.
    alive: bool,
}

struct SseReader {
    origin: Arc<Origin>,
    wanted: Wanted,
    line: Line,
    /// Events that have come and were not handed out.
    ready: VecDeque<Event>,
    /// Of the last event that was handed out.
    id: Option<String>,
    /// How many were, since the state began.
    events: u64,
    /// The pause that the server wants between two connections.
    pause: Duration,
}

#[async_trait]
impl Reader for SseReader {
    async fn read(&mut self, records: &mut Records, limits: ReadLimits) -> Result<ReadStatus, SourceError> {
        let (held, bytes) = (records.count(), records.byte_len());
        let deadline = Instant::now().checked_add(limits.wait);
        loop {
            while let Some(event) = self.ready.pop_front() {
                self.hand_out(event, records);
                if records.byte_len() - bytes >= limits.bytes.max(1) {
                    return Ok(ReadStatus::More);
                }
            }
            let handed = records.count() > held;
            match &mut self.line {
                // What there is goes out first, also what came by the read before: one that may not wait comes behind it.
                Line::Closed | Line::Connecting(_) if handed || limits.wait.is_zero() => return Ok(ReadStatus::More),
                Line::Closed => {
                    let (origin, id) = (self.origin.clone(), self.id.clone());
                    self.line = Line::Connecting(async move { origin.connect(id.as_deref()).await }.boxed());
                }
                Line::Connecting(connecting) => {
                    let connected = connecting.await;
                    self.line = Line::Closed;
                    let parser = Parser::new(MAX_EVENT, self.id.clone());
                    let (sender, pieces) = mpsc::channel(AHEAD);
                    tokio::spawn(pump(connected?, sender));
                    self.line = Line::Open(Box::new(Open { pieces, parser, heard: Instant::now(), alive: false }));
                }
                Line::Open(open) => {
                    let piece = match handed {
                        true => open.pieces.recv().now_or_never(),
                        false => open.wait(deadline, self.origin.silence).await,
                    };
                    match piece {
                        Some(Some(Ok(piece))) => self.take(&piece),
                        Some(Some(Err(error))) => self.over(Some(error))?,
                        Some(None) => self.over(None)?,
                        None => return self.nothing(handed),
                    }
                }
            }
        }
    }

    fn position(&self) -> Position {
        Position(json!({ "id": self.id, "events": self.events }))
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), SourceError> {
        Ok(())
    }
}

impl Open {
    /// The next piece; none if there is none until `deadline`, or for longer than `silence`.
    async fn wait(
        &mut self,
        deadline: Option<Instant>,
        silence: Duration,
    ) -> Option<Option<Result<Bytes, reqwest::Error>>> {
        let silent = self.heard.checked_add(silence);
        match deadline.into_iter().chain(silent).min() {
            Some(until) => timeout_at(until, self.pieces.recv()).await.ok(),
            None => Some(self.pieces.recv().await),
        }
    }
}

/// Reads on while nobody asks, so that the connection is not idle while its events are worked on. Ends with the connection, or
/// when nobody will ask any more.
async fn pump(mut response: Response, pieces: mpsc::Sender<Result<Bytes, reqwest::Error>>) {
    loop {
        let piece = tokio::select! {
            piece = response.chunk() => piece.transpose(),
            () = pieces.closed() => return,
        };
        let Some(piece) = piece else { return };
        let broken = piece.is_err();
        if pieces.send(piece).await.is_err() || broken {
            return;
        }
    }
}

impl SseReader {
    fn take(&mut self, piece: &[u8]) {
        let Line::Open(open) = &mut self.line else { return };
        open.heard = Instant::now();
        open.alive = true;
        open.parser.push(piece, &mut self.ready);
        if let Some(pause) = open.parser.take_retry() {
            self.pause = pause;
        }
    }

    /// Nothing came. That is the end for now, unless the connection is dead.
    fn nothing(&mut self, handed: bool) -> Result<ReadStatus, SourceError> {
        if let Line::Open(open) = &self.line
            && !handed
            && open.heard.elapsed() >= self.origin.silence
        {
            self.line = Line::Closed;
            let silence = humantime::format_duration(self.origin.silence);
            return Err(self.origin.retry(format!("not a sign of life for {silence}")));
        }
        Ok(ReadStatus::CaughtUp)
    }

    /// The connection has ended. Servers end each after a while, so one that has brought something is made again without a
    /// word, after the pause that the server wants; one that has not is a failure.
    fn over(&mut self, error: Option<reqwest::Error>) -> Result<(), SourceError> {
        let Line::Open(open) = mem::replace(&mut self.line, Line::Closed) else { return Ok(()) };
        // Jitter, so that many do not come back at the same instant.
        self.origin.pause(self.pause.mul_f64(rand::random_range(1.0..1.5)));
        match error {
            _ if open.alive => {
                tracing::debug!(url = self.origin.shown(), "the connection has ended; connecting again");
                Ok(())
            }
            Some(error) => Err(self.origin.failed(error)),
            None => Err(self.origin.retry("the stream ended before it began")),
        }
    }

    fn hand_out(&mut self, event: Event, records: &mut Records) {
        let Event { id, name, data } = event;
        let number = self.events;
        self.events += 1;
        match data {
            Data::Whole(data) => {
                records.push(&data, number);
                let now = Utc::now().timestamp_micros();
                records.describe(&self.wanted, |place| match place {
                    0 => id.as_deref().map_or(MetadataValue::Null, MetadataValue::Text),
                    1 => MetadataValue::Text(name.as_deref().unwrap_or("message")),
                    _ => MetadataValue::Time(now),
                });
            }
            Data::Nothing => records.skip(1),
            Data::TooLong(head) => {
                records.reject(&head, number, format!("event of more than {MAX_EVENT} bytes"));
            }
        }
        self.id = id;
    }
}
