//! `POST /query/<region>`: a query about what the pipelines wrote, answered by its aggregates.
//!
//! The one idea: this room knows who may ask and how many at a time; what an answer is, and what must not be in it, is up
//! to whoever [`Answers`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use tokio::sync::Semaphore;
use watershed_connectors::Secret;

use super::routes::{error, json, pass_by};

/// The longest query, in bytes.
const MAX_SQL: usize = 256 << 10;
/// How long a query may take to get here.
const SENDING: Duration = Duration::from_secs(30);
/// How many are answered at a time: the daemon has its streams to read.
const AT_A_TIME: usize = 2;
/// How long others wait for their turn.
const WAITING: Duration = Duration::from_secs(60);

/// Answers queries about one region.
#[async_trait]
pub trait Answers: fmt::Debug + Send + Sync {
    /// The region.
    fn region(&self) -> &str;

    /// The answer to a query. It is dropped unfinished if nobody waits for it any more.
    async fn answer(&self, sql: &str) -> Result<Vec<u8>, NoAnswer>;
}

/// Why there is no answer, as JSON with an `error`.
#[derive(Debug)]
pub enum NoAnswer {
    /// The query is wrong, or asks for what is not given away.
    Refused(serde_json::Value),
    /// It was right, and failed.
    Failed(serde_json::Value),
}

/// Where queries are asked.
#[derive(Debug, Clone)]
pub struct Queries {
    token: Secret,
    answers: Arc<dyn Answers>,
    turns: Arc<Semaphore>,
}

impl Queries {
    /// Answers whoever has the token.
    pub fn new(token: Secret, answers: Arc<dyn Answers>) -> Self {
        Self { token, answers, turns: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    pub(super) async fn ask(&self, region: &str, request: Request) -> Response {
        let authorization = request.headers().get(header::AUTHORIZATION).map_or(&[][..], HeaderValue::as_bytes);
        if !self.token.is_bearer(authorization) {
            pass_by(request).await;
            let mut response =
                json(StatusCode::UNAUTHORIZED, &error("send `query_token` of [http] as authorization: Bearer TOKEN"));
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
        if request.method() != Method::POST {
            return json(StatusCode::METHOD_NOT_ALLOWED, &error("use POST, with the SQL as the body"));
        }
        if region != self.answers.region() {
            pass_by(request).await;
            let error = error(&format!("this is the daemon of region `{}`", self.answers.region()));
            return json(StatusCode::NOT_FOUND, &error);
        }
        let body = match tokio::time::timeout(SENDING, to_bytes(request.into_body(), MAX_SQL)).await {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => return json(StatusCode::PAYLOAD_TOO_LARGE, &error("the query is too long, or was cut off")),
            Err(_) => return json(StatusCode::REQUEST_TIMEOUT, &error("the query took too long to get here")),
        };
        let Ok(sql) = std::str::from_utf8(&body) else {
            return json(StatusCode::UNPROCESSABLE_ENTITY, &error("the query is not UTF-8"));
        };
        let Ok(Ok(_turn)) = tokio::time::timeout(WAITING, self.turns.acquire()).await else {
            return json(StatusCode::SERVICE_UNAVAILABLE, &error("other queries take all the time; ask again later"));
        };
        match self.answers.answer(sql).await {
            Ok(bytes) => {
                let mut response = Response::new(Body::from(bytes));
                let kind = HeaderValue::from_static("application/vnd.watershed.aggregates");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
            Err(NoAnswer::Refused(why)) => json(StatusCode::UNPROCESSABLE_ENTITY, &why),
            Err(NoAnswer::Failed(why)) => json(StatusCode::INTERNAL_SERVER_ERROR, &why),
        }
    }
}
