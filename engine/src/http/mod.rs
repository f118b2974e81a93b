//! The daemon's own HTTP server: records come in, and whoever watches is told how the run stands.
//!
//! | request | answer |
//! |---|---|
//! | `POST /ingest/<source>` | what became of the records, by the source's connector |
//! | `GET /metrics` | counts and gauges in the text format of OpenMetrics |
//! | `GET /healthz` | 200 while epochs end, 503 and why when none has for long |
//! | `POST /query/<region>` | aggregates of what the pipelines wrote, for whoever has the token |
//!
//! It speaks HTTP/1.1 and HTTP/2 in clear text and is meant for this machine; whatever faces a network needs a reverse
//! proxy in front, which brings TLS. Nobody outside can make it hold much: connections, heads, bodies and the time
//! between them are bounded.

mod connection;
mod health;
mod metrics;
mod queries;
mod routes;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::run::Board;
use connection::{Client, Door};
use metrics::Metrics;
pub use queries::{Answers, NoAnswer, Queries};

/// How long requests that are being answered may take once the run is over.
const CLOSING: Duration = Duration::from_secs(5);

/// A server that answers until it is stopped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Listens on `address`, and answers from what `board` shows; where there are `queries`, it answers those, too.
    pub async fn start(address: SocketAddr, board: Arc<Board>, queries: Option<Queries>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let door = Door::new(listener);
        let metrics = Metrics::new(board.clone(), door.connections());
        let routes = routes::routes(board, metrics, queries).into_make_service_with_connect_info::<Client>();
        let (stop, stopped) = oneshot::channel();
        let serving = axum::serve(door, routes).with_graceful_shutdown(async {
            // A server that was dropped is stopped as well.
            let _ = stopped.await;
        });
        let task = tokio::spawn(serving.into_future());
        tracing::info!(%address, "answering HTTP requests");
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "requests come in clear text from beyond this machine; put a proxy with TLS in front");
        }
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, and lets those that are being answered end.
    pub async fn stop(mut self) {
        // An error says that it has ended already.
        let _ = self.stop.send(());
        if tokio::time::timeout(CLOSING, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::debug!("some clients were still connected when the server ended");
        }
    }
}
