//! A double of Azure Event Hubs over plain AMQP 1.0, for tests: one hub, in memory.
//!
//! The one idea: it speaks what clients of the real service speak — `$cbs`, `$management`, partition senders and
//! receivers — with the service's own words and error conditions, and a test holds the [`Hub`] behind it, to write,
//! to look, and to break things.

mod connection;
mod deliver;
mod filter;
mod hub;
mod link;
mod log;
mod owners;
mod publish;
mod requests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::task::{JoinHandle, JoinSet};

pub use connection::MAX_MESSAGE_BYTES;
pub use hub::{Fault, GROUPS, HUB, Hub};
pub use log::Event;
pub use owners::Ending;

/// A double that listens; it ends, and breaks its connections, when it is dropped.
#[derive(Debug)]
pub struct Double {
    address: SocketAddr,
    hub: Arc<Hub>,
    serving: JoinHandle<()>,
}

impl Double {
    /// Listens on `address` and holds a new hub of so many partitions.
    ///
    /// # Errors
    /// If the address can't be listened on.
    pub async fn start(address: impl ToSocketAddrs, partitions: usize) -> io::Result<Self> {
        Self::serve(address, Arc::new(Hub::new(partitions))).await
    }

    /// Listens on `address` for a hub that was there before: a broker that comes back.
    ///
    /// # Errors
    /// If the address can't be listened on.
    pub async fn serve(address: impl ToSocketAddrs, hub: Arc<Hub>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(accept(listener, hub.clone()));
        Ok(Self { address, hub, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The hub behind it.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn accept(listener: TcpListener, hub: Arc<Hub>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection::serve(stream, hub.clone()));
                }
                // Out of file descriptors, most likely: connections that end give some back.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
