//! A web server that takes rows, on axum: it checks what it is sent, and drops what it has under the same key.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

/// The ids of each request by path and key.
type Taken = Arc<Mutex<BTreeMap<(String, String), Vec<i64>>>>;

pub(super) struct Receiver {
    pub(super) address: String,
    pub(super) requests: Arc<AtomicUsize>,
    taken: Taken,
    server: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Each request of number `fails_each` is taken and answered by 503, which the sender cannot know; zero: none is.
    pub(super) fn start(fails_each: usize) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (taken, requests) = (Taken::default(), Arc::new(AtomicUsize::new(0)));
        let (into, counted) = (taken.clone(), requests.clone());
        let take = move |Path(path): Path<String>, headers: HeaderMap, body: Bytes| async move {
            let number = counted.fetch_add(1, Ordering::Relaxed) + 1;
            if let Some(status) = path.strip_prefix("status-") {
                let status = StatusCode::from_bytes(status.as_bytes()).unwrap();
                return (status, "no such\nfield <amount>").into_response();
            }
            let key = headers["idempotency-key"].to_str().unwrap().to_owned();
            let ids = rows(&headers, &body).iter().map(|row| row["id"].as_i64().unwrap()).collect();
            if let Some(known) = into.lock().unwrap().insert((path, key.clone()), ids) {
                assert!(!known.is_empty(), "{key}");
            }
            answer(fails_each > 0 && number.is_multiple_of(fails_each))
        };
        let router = Router::new().route("/{path}", post(take));
        let server = tokio::spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
        Self { address, requests, taken, server }
    }

    /// What was sent to a path, each key once.
    pub(super) fn ids(&self, path: &str) -> Vec<i64> {
        let taken = self.taken.lock().unwrap();
        taken.iter().filter(|((to, _), _)| to == path).flat_map(|(_, ids)| ids.iter().copied()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn answer(fails: bool) -> Response {
    match fails {
        true => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")], "not now").into_response(),
        false => StatusCode::NO_CONTENT.into_response(),
    }
}

fn rows(headers: &HeaderMap, body: &[u8]) -> Vec<serde_json::Value> {
    match headers["content-type"].to_str().unwrap() {
        "application/json" => serde_json::from_slice(body).unwrap(),
        "application/x-ndjson" => {
            let text = std::str::from_utf8(body).unwrap();
            text.strip_suffix('\n').unwrap().split('\n').map(|line| serde_json::from_str(line).unwrap()).collect()
        }
        other => panic!("{other}"),
    }
}
