//! A server of events that does what it is told, one connection after the other.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a connection gets.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// These bytes, as they are.
    Send(String),
    /// Every event behind the id that was asked for; from the first without one.
    Events(Vec<String>),
    /// Nothing more, but no end.
    Stall,
}

/// Answers with a stream.
pub(super) const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n";

pub(super) struct Server {
    pub(super) url: String,
    /// The heads of all requests so far.
    pub(super) requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Gives each connection the next script; the last one to all that follow.
    pub(super) async fn start(scripts: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/stream?key=s3cret", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let script = scripts[number.min(scripts.len() - 1)].clone();
                tokio::spawn(serve(stream, script, seen.clone()));
            }
        });
        Self { url, requests, task }
    }

    /// What each request said about where to go on.
    pub(super) fn asked(&self) -> Vec<Option<String>> {
        self.requests.lock().unwrap().iter().map(|head| last_event_id(head)).collect()
    }
}

fn last_event_id(head: &str) -> Option<String> {
    head.lines().find_map(|line| Some(line.strip_prefix("last-event-id: ")?.to_owned()))
}

async fn serve(mut stream: TcpStream, script: Vec<Act>, seen: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let from = last_event_id(&head).and_then(|id| Some(id.parse::<usize>().ok()? + 1)).unwrap_or_default();
    seen.lock().unwrap().push(head);
    for act in script {
        let bytes = match act {
            Act::Send(bytes) => bytes,
            Act::Events(events) => {
                let event = |(id, data): (usize, &String)| format!("id: {id}\ndata: {data}\n\n");
                events.iter().enumerate().skip(from).map(event).collect()
            }
            Act::Stall => return std::future::pending().await,
        };
        if stream.write_all(bytes.as_bytes()).await.is_err() {
            return;
        }
    }
}
