//! What a request is told if its records are not taken: a status, and a word on what to do.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

/// Why a request was refused. Nothing of it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The token is missing or wrong.
    Unauthorized,
    /// Another method than POST.
    Method,
    /// The body is not what its headers say: what is wrong.
    Broken(String),
    /// The body, or what it decompresses to, is too large: what the bound is.
    TooLarge(String),
    /// A type or an encoding that this source does not take: what it takes.
    Type(String),
    /// The body did not come in time.
    Slow,
    /// The engine is behind.
    Full,
    /// The source is not being read yet, or not any more.
    Closed,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Type(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Full => StatusCode::TOO_MANY_REQUESTS,
            Self::Closed => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn words(&self) -> &str {
        match self {
            Self::Unauthorized => "send the source's token as `authorization: Bearer TOKEN`",
            Self::Method => "send records by POST",
            Self::Broken(what) | Self::TooLarge(what) | Self::Type(what) => what,
            Self::Slow => "the body took too long",
            Self::Full => "too much is waiting already; send it again later",
            Self::Closed => "this source is not being read now; send it again later",
        }
    }

    /// What else the client should know.
    fn header(&self) -> Option<(HeaderName, &'static str)> {
        match self {
            Self::Unauthorized => Some((header::WWW_AUTHENTICATE, "Bearer")),
            Self::Method => Some((header::ALLOW, "POST")),
            Self::Full | Self::Closed => Some((header::RETRY_AFTER, "1")),
            _ => None,
        }
    }

    pub(super) fn answer(&self) -> Response {
        let mut response = answer(self.status(), &serde_json::json!({ "error": self.words() }));
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// An answer in JSON.
pub(super) fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(format!("{body}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
