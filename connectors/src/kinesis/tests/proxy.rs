//! A proxy before a stand-in that answers some requests in its own way: throttled, expired, broken off.
//!
//! One request a connection: each is read whole, judged by its operation, and passed on or not.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// Passed on.
    Pass,
    /// Refused by an exception of this name.
    Refuse(&'static str),
    /// Answered with status 500.
    Break,
    /// Passed on, and the connection cut after so many bytes of the answer.
    Cut(usize),
    /// Answered by this.
    Json(Value),
    /// Never answered.
    Stall,
    /// Answered by an event stream of these: the event's name, or the exception's, and its JSON.
    Events(Vec<(&'static str, String)>),
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
        Fate::Json(body) => answer(&mut client, "200 OK", &body).await,
        Fate::Refuse(name) => {
            answer(&mut client, "400 Bad Request", &json!({ "__type": name, "message": "injected" })).await;
        }
        Fate::Break => {
            answer(&mut client, "500 Internal Server Error", &json!({ "__type": "InternalFailure" })).await;
        }
        Fate::Events(events) => {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\nconnection: close\r\n\r\n";
            let initial = message("initial-response", "{}");
            let events = events.iter().flat_map(|(name, json)| message(name, json));
            let body: Vec<u8> = head.bytes().chain(initial).chain(events).collect();
            let _ = client.write_all(&body).await;
        }
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

async fn answer(client: &mut TcpStream, status: &str, body: &Value) {
    let body = body.to_string();
    let kind = "content-type: application/x-amz-json-1.1\r\nconnection: close";
    let head = format!("HTTP/1.1 {status}\r\n{kind}\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = client.write_all((head + &body).as_bytes()).await;
}

/// One message of an event stream: lengths, headers and payload, each part with its CRC-32.
fn message(name: &str, json: &str) -> Vec<u8> {
    let (kind, field) =
        if name.ends_with("Exception") { ("exception", ":exception-type") } else { ("event", ":event-type") };
    let mut headers = Vec::new();
    for (field, value) in [(":message-type", kind), (field, name), (":content-type", "application/json")] {
        headers.push(field.len() as u8);
        headers.extend_from_slice(field.as_bytes());
        // 7: a string.
        headers.push(7);
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let total = 16 + headers.len() + json.len();
    let mut bytes = [(total as u32).to_be_bytes(), (headers.len() as u32).to_be_bytes()].concat();
    bytes.extend(checksum(&bytes));
    bytes.extend(headers);
    bytes.extend_from_slice(json.as_bytes());
    bytes.extend(checksum(&bytes));
    bytes
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_be_bytes()
}
