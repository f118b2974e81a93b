//! Which request is for whom.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{any, get};

use super::connection::Client;
use super::health::{self, Health};
use super::metrics::Metrics;
use super::queries::Queries;
use crate::run::Board;

/// What is read of a body that nobody takes.
const PASSED: usize = 1 << 20;
const PASSING: Duration = Duration::from_secs(2);

const THERE_IS: &str = "there is /ingest/<source>, /metrics, /healthz and /query/<region>";

/// What the routes share.
#[derive(Debug, Clone)]
struct Desk {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    queries: Option<Queries>,
}

/// Every route.
pub(super) fn routes(board: Arc<Board>, metrics: Arc<Metrics>, queries: Option<Queries>) -> Router {
    Router::new()
        .route("/ingest/{source}", any(ingest))
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(show_health))
        .route("/query/{region}", any(ask))
        .fallback(|| async { json(StatusCode::NOT_FOUND, &error(THERE_IS)) })
        .method_not_allowed_fallback(|| async { json(StatusCode::METHOD_NOT_ALLOWED, &error("use GET")) })
        .layer(middleware::from_fn(mark))
        .with_state(Desk { board, metrics, queries })
}

/// Keeps a connection from being idle while a request of it is answered.
pub(super) async fn mark(ConnectInfo(client): ConnectInfo<Client>, request: Request, next: Next) -> Response {
    let _answering = client.answering();
    next.run(request).await
}

async fn ingest(State(desk): State<Desk>, Path(source): Path<String>, request: Request) -> Response {
    let (known, response) = ingest_into(&desk.board, &source, request).await;
    // A name that somebody made up is no label.
    desk.metrics.count(if known { &source } else { "" }, response.status());
    response
}

/// True if there is such a source, and the answer.
#[cfg(feature = "http")]
async fn ingest_into(board: &Board, source: &str, request: Request) -> (bool, Response) {
    // Asked first: a source that becomes known from here on is not missing.
    let all_known = board.has_sources();
    if let Some(inlet) = board.inlet(source) {
        return (true, inlet.answer(request).await);
    }
    pass_by(request).await;
    if all_known {
        return (
            false,
            json(StatusCode::NOT_FOUND, &error("there is no source of this name that records are sent to")),
        );
    }
    let mut response = json(StatusCode::SERVICE_UNAVAILABLE, &error("the daemon is starting; send it again later"));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    (false, response)
}

/// A build without the connector.
#[cfg(not(feature = "http"))]
async fn ingest_into(_board: &Board, _source: &str, request: Request) -> (bool, Response) {
    pass_by(request).await;
    (false, json(StatusCode::NOT_FOUND, &error("connector \"http\" is not part of this build")))
}

/// Lets the body of a refused request pass by, within bounds: a client that is still sending when the connection closes
/// would not see the answer. One that waits to be asked for its body is not asked.
pub(super) async fn pass_by(request: Request) {
    if request.headers().contains_key(header::EXPECT) {
        return;
    }
    // One that is larger or slower is not waited for.
    let _ = tokio::time::timeout(PASSING, to_bytes(request.into_body(), PASSED)).await;
}

async fn ask(State(desk): State<Desk>, Path(region): Path<String>, request: Request) -> Response {
    match &desk.queries {
        Some(queries) => queries.ask(&region, request).await,
        None => {
            pass_by(request).await;
            json(StatusCode::NOT_FOUND, &error("this daemon answers no queries: its [http] has no `query_token`"))
        }
    }
}

async fn show_metrics(State(desk): State<Desk>) -> Response {
    match desk.metrics.text() {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Err(_) => json(StatusCode::INTERNAL_SERVER_ERROR, &error("the metrics could not be written")),
    }
}

async fn show_health(State(desk): State<Desk>) -> Response {
    let health = health::of(&desk.board.epochs());
    let status = match health {
        Health::Starting | Health::Running => StatusCode::OK,
        Health::Stuck(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(status, &health.json())
}

pub(super) fn error(what: &str) -> serde_json::Value {
    serde_json::json!({ "error": what })
}

pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(format!("{body}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
