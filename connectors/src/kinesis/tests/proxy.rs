//! A proxy before a stand-in that answers some requests in its own way: throttled, expired, broken off.
//!
//! One request a connection: each is read whole, judged by its operation, and passed on or not.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Passed on.
    Pass,
    /// Refused by an exception of this name.
    Refuse(&'static str),
    /// Answered with status 500.
    Break,
    /// Passed on, and the connection cut after so many bytes of the answer.
    Cut(usize),
    /// Never answered.
    Stall,
}

/// Decides by the operation (`GetRecords`) and the request's body.
pub(super) type Judge = dyn Fn(&str, &str) -> Fate + Send + Sync;

/// Runs until it is dropped.
pub(super) struct Proxy {
    pub(super) endpoint: String,
    _serving: JoinSet<()>,
}

impl Proxy {
    pub(super) async fn start(upstream: &str, judge: impl Fn(&str, &str) -> Fate + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let upstream: Arc<str> = upstream.trim_start_matches("http://").into();
        let judge: Arc<Judge> = Arc::new(judge);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(serve(client, upstream.clone(), judge.clone()));
            }
        });
        Self { endpoint, _serving: serving }
    }
}

/// Serves one request; a client or server that goes away ends it.
async fn serve(mut client: TcpStream, upstream: Arc<str>, judge: Arc<Judge>) {
    let Some((head, body)) = request(&mut client).await else { return };
    let target = header(&head, "x-amz-target").unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default();
    match judge(operation, &String::from_utf8_lossy(&body)) {
        Fate::Pass => pass(&mut client, &upstream, &head, &body, usize::MAX).await,
        Fate::Cut(bytes) => pass(&mut client, &upstream, &head, &body, bytes).await,
        Fate::Refuse(name) => answer(&mut client, "400 Bad Request", name).await,
        Fate::Break => answer(&mut client, "500 Internal Server Error", "InternalFailure").await,
        Fate::Stall => {
            // Until the client gives up.
            let _ = client.read(&mut [0]).await;
        }
    }
}

async fn request(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let mut body = bytes.split_off(end + 4);
    bytes.truncate(end);
    let head = String::from_utf8(bytes).ok()?;
    let length: usize = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while body.len() < length {
        if client.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, body))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

async fn pass(client: &mut TcpStream, upstream: &str, head: &str, body: &[u8], limit: usize) {
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    let lines = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head = lines.collect::<Vec<_>>().join("\r\n") + "\r\nconnection: close\r\n\r\n";
    if server.write_all(&[head.as_bytes(), body].concat()).await.is_err() {
        return;
    }
    let (mut passed, mut bytes) = (0, vec![0; 16 << 10]);
    while passed < limit {
        let some = limit.saturating_sub(passed).min(bytes.len());
        match server.read(&mut bytes[..some]).await {
            Ok(read) if read > 0 && client.write_all(&bytes[..read]).await.is_ok() => passed += read,
            _ => return,
        }
    }
}

async fn answer(client: &mut TcpStream, status: &str, name: &str) {
    let body = format!(r#"{{"__type":"{name}","message":"injected"}}"#);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = client.write_all((head + &body).as_bytes()).await;
}
