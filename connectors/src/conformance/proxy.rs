//! A network that breaks when a test says so: a TCP proxy on loopback.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What becomes of what comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// It is passed on.
    Passes,
    /// It is held; connections stay open.
    Stalls,
    /// Connections break, new ones too.
    Cuts,
}

/// Stands before a server.
pub(crate) struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    /// Ends with the proxy.
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Before `server`, as `host:port`.
    pub(crate) async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (network, watched) = watch::channel(Network::Passes);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, server.to_string(), watched));
        Self { address, network, _tasks: tasks }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the network.
    pub(crate) fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn serve(listener: TcpListener, server: String, network: watch::Receiver<Network>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        let (server, network) = (server.clone(), network.clone());
        connections.spawn(async move {
            if *network.borrow() == Network::Cuts {
                return;
            }
            let Ok(server) = TcpStream::connect(server).await else { return };
            let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
            // Whichever way ends first takes the other along.
            tokio::select! {
                () = pass(client_in, server_out, network.clone()) => {}
                () = pass(server_in, client_out, network) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut network: watch::Receiver<Network>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let state = *network.borrow_and_update();
        match state {
            Network::Cuts => return,
            Network::Stalls => {
                if network.changed().await.is_err() {
                    return;
                }
            }
            Network::Passes => tokio::select! {
                biased;
                changed = network.changed() => if changed.is_err() {
                    return;
                },
                read = from.read(&mut buffer) => match read {
                    Ok(bytes) if bytes > 0 => if to.write_all(&buffer[..bytes]).await.is_err() {
                        return;
                    },
                    _ => return,
                },
            },
        }
    }
}
