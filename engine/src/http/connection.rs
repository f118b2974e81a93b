//! Connections, bounded in number and in the time that they may be held without asking for anything.
//!
//! The one idea: a connection is idle while none of its requests is being answered. Whatever it does in that time — stay
//! silent, or send a head byte by byte — it has [`IDLE`] to get a whole request here. Once one is here, its body has
//! bounds of its own, and its answer may take as long as a checkpoint does.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a connection may be idle; also how long the head of a request may take.
const IDLE: Duration = Duration::from_secs(30);

/// How many connections there are at most; others wait outside. Each takes some kilobytes, and half a megabyte at most
/// while a head comes in.
const CONNECTIONS: usize = 1024;

/// Where connections come in.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    room: Arc<Semaphore>,
    idle: Duration,
}

/// How many connections there are.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    room: Arc<Semaphore>,
}

/// Who sent a request, as far as it matters: the state of the connection.
#[derive(Debug, Clone)]
pub(super) struct Client(Arc<Mutex<Activity>>);

/// What a connection is doing.
#[derive(Debug)]
struct Activity {
    /// Requests that are being answered.
    requests: usize,
    /// Since when there are none.
    idle_since: Instant,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Answering(Arc<Mutex<Activity>>);

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    client: Client,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Door {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(CONNECTIONS)), idle: IDLE }
    }

    /// The same, with other bounds.
    #[cfg(test)]
    pub(super) fn bounded(mut self, connections: usize, idle: Duration) -> Self {
        self.room = Arc::new(Semaphore::new(connections));
        self.idle = idle;
        self
    }

    pub(super) fn connections(&self) -> Connections {
        Connections { room: self.room.clone() }
    }
}

impl Connections {
    /// Those that are open.
    pub(super) fn open(&self) -> usize {
        CONNECTIONS.saturating_sub(self.room.available_permits())
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed.
        let place = self.room.clone().acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Answers are small and awaited.
        let _ = stream.set_nodelay(true);
        let client = Client(Arc::new(Mutex::new(Activity { requests: 0, idle_since: Instant::now() })));
        let timer = Box::pin(sleep_until(Instant::now() + self.idle));
        (Connection { stream, client, idle: self.idle, timer, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Door>> for Client {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().client.clone()
    }
}

impl Client {
    /// A request is here, until what is given is dropped.
    pub(super) fn answering(&self) -> Answering {
        lock(&self.0).requests += 1;
        Answering(self.0.clone())
    }

    /// Until when it may stay idle; none while it is not.
    fn deadline(&self, idle: Duration) -> Option<Instant> {
        let activity = lock(&self.0);
        (activity.requests == 0).then(|| activity.idle_since + idle)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut activity = lock(&self.0);
        activity.requests -= 1;
        activity.idle_since = Instant::now();
    }
}

impl Connection {
    /// Fails if the connection has been idle for too long. Wakes the task when it is time to look again.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.timer.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let deadline = self.client.deadline(self.idle).unwrap_or(now + self.idle);
            if deadline <= now {
                return Err(io::Error::new(ErrorKind::TimedOut, "no request came in time"));
            }
            self.timer.as_mut().reset(deadline);
        }
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nobody panics while holding the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
