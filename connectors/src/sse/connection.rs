//! One request for the stream: what it says, and what its refusal means.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode};
use tokio::time::{Instant, sleep_until, timeout};
use url::Url;
use watershed_clients::Secret;

use super::SseOptions;
use crate::error::SourceError;

/// How long a connection may take to come about, and a request to be answered.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);

/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Where the events come from.
pub(super) struct Origin {
    url: Url,
    shown: String,
    headers: HeaderMap,
    ca: Option<PathBuf>,
    pub(super) silence: Duration,
    client: OnceLock<Client>,
    /// True once the server has answered with a stream: then options are right, and a refusal is trouble that may pass.
    answered: AtomicBool,
    /// The server asks not to be asked before.
    not_before: Mutex<Option<Instant>>,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("url", &self.shown).finish_non_exhaustive()
    }
}

/// A URL without what may be secret in it: user, query and fragment.
pub(super) fn shown(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return String::new() };
    url.set_query(None);
    url.set_fragment(None);
    // It has a host, or else there is nothing to hide.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

impl Origin {
    pub(super) fn new(options: &SseOptions) -> Result<Self, SourceError> {
        let url = Url::parse(options.url.expose()).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| SourceError::config("url is no http:// or https:// address"))?;
        if options.silence.0.is_zero() {
            return Err(SourceError::config("silence cannot be zero: write a duration such as \"2m\""));
        }
        Ok(Self {
            shown: shown(options.url.expose()),
            url,
            headers: headers(options)?,
            ca: options.tls.as_ref().map(|tls| tls.ca.clone()),
            silence: options.silence.0,
            client: OnceLock::new(),
            answered: AtomicBool::new(false),
            not_before: Mutex::new(None),
        })
    }

    /// Its address, to be shown.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Asks the server to leave us alone for `pause`, at most as long as is sensible.
    pub(super) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause.min(LONGEST_PAUSE);
        *self.not_before.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Asks for the events behind the one called `id`.
    pub(super) async fn connect(&self, id: Option<&str>) -> Result<Response, SourceError> {
        let until = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until {
            sleep_until(until).await;
        }
        let mut request = self.client()?.get(self.url.clone()).headers(self.headers.clone());
        if let Some(id) = id {
            let id = HeaderValue::from_bytes(id.as_bytes())
                .map_err(|error| SourceError::fatal("the id of the last event cannot be sent back", error))?;
            request = request.header(LAST_EVENT_ID, id);
        }
        let answer = timeout(ANSWER, request.send()).await;
        let answer = answer.map_err(|_| self.retry("no answer within 30 s"))?;
        let answer = answer.map_err(|error| self.failed(error))?;
        self.check(&answer)?;
        self.answered.store(true, Ordering::Relaxed);
        Ok(answer)
    }

    /// Trouble on an open connection, or on the way to one.
    pub(super) fn failed(&self, error: reqwest::Error) -> SourceError {
        // With its causes, without the address, which may hold a key.
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        self.retry(text)
    }

    pub(super) fn retry(&self, cause: impl Into<String>) -> SourceError {
        SourceError::retry(&self.shown, cause.into())
    }

    fn check(&self, answer: &Response) -> Result<(), SourceError> {
        let status = answer.status();
        let header = |name| answer.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if let Some(seconds) = header(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()) {
            self.pause(Duration::from_secs(seconds));
        }
        let kind = header(CONTENT_TYPE).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        let wrong = match status {
            StatusCode::OK if essence.eq_ignore_ascii_case("text/event-stream") => return Ok(()),
            StatusCode::OK => "it answers with something else than text/event-stream: check `url`".to_string(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                format!("it answers {status}: check `token` and `headers`")
            }
            status if status.is_redirection() => {
                format!("it answers {status}, to another server: write that address as `url`")
            }
            StatusCode::NO_CONTENT | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                return Err(self.retry(format!("it answers {status}")));
            }
            status if status.is_client_error() => format!("it answers {status}: check `url`"),
            status => return Err(self.retry(format!("it answers {status}"))),
        };
        match self.answered.load(Ordering::Relaxed) {
            true => Err(self.retry(wrong)),
            false => Err(SourceError::config(format!("{}: {wrong}", self.shown))),
        }
    }

    fn client(&self) -> Result<&Client, SourceError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let mut builder = Client::builder()
            .user_agent(concat!("watershed/", env!("CARGO_PKG_VERSION"), " (", env!("CARGO_PKG_REPOSITORY"), ")"))
            .connect_timeout(CONNECT)
            .tcp_keepalive(CONNECT)
            .redirect(Policy::custom(|attempt| {
                let first = attempt.previous().first();
                // Headers, and with them secrets, go to nobody else.
                let same = first.is_some_and(|first| first.origin() == attempt.url().origin());
                if same && attempt.previous().len() < 5 { attempt.follow() } else { attempt.stop() }
            }));
        if let Some(ca) = &self.ca {
            let refused = |why: &dyn fmt::Display| SourceError::config(format!("tls ca {}: {why}", ca.display()));
            let pem = std::fs::read(ca).map_err(|error| refused(&error))?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| refused(&error))?;
            if certificates.is_empty() {
                return Err(refused(&"there is no certificate in it"));
            }
            builder = builder.tls_certs_only(certificates);
        }
        let client = builder.build().map_err(|error| SourceError::config(format!("{}: {error}", self.shown)))?;
        Ok(self.client.get_or_init(|| client))
    }
}

fn headers(options: &SseOptions) -> Result<HeaderMap, SourceError> {
    let secret = |value: &str, key: &str| {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| SourceError::config(format!("{key} holds a character that no header can")))?;
        value.set_sensitive(true);
        Ok::<_, SourceError>(value)
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &options.headers {
        let refused = |why: &str| SourceError::config(format!("headers: {why}"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused("a name is no header's"))?;
        if name == ACCEPT || name == LAST_EVENT_ID {
            return Err(refused("accept and last-event-id are this connector's own"));
        }
        headers.insert(name, secret(value.expose(), "headers")?);
    }
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    if let Some(token) = options.token.as_ref().map(Secret::expose) {
        headers.insert(AUTHORIZATION, secret(&format!("Bearer {}", token.trim()), "token")?);
    }
    Ok(headers)
}
