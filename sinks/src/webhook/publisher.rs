//! An epoch as requests, one after the other, each sent until it is answered.
//!
//! The one idea: parts of an epoch never change, so neither do their names. A part that is sent again, by this process or
//! another, has the name that it had.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode};
use tokio::time::{Instant, sleep, sleep_until};
use url::Url;
use watershed_clients::Secret;

use super::answer::{TOLD, pause, refusal};
use super::options::{Format, WebhookOptions};
use super::signature::signature;
use crate::digest::digest;
use crate::error::SinkError;
use crate::messages::{Epoch, IDEMPOTENCY_KEY, Message, Publisher};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// So often a request is sent before the engine hears of it, whose pauses grow with each time: it does not see that most of an
/// epoch was taken. The pause before the second time is doubled with each that follows.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

const SIGNATURE: &str = "x-watershed-signature";

/// Headers that only the sink itself sets.
pub(super) const OWN_HEADERS: [&str; 5] =
    [IDEMPOTENCY_KEY, SIGNATURE, "content-length", "content-type", "transfer-encoding"];

/// Publishes to a web server, at least once.
pub(super) struct WebhookPublisher {
    client: Client,
    url: Url,
    place: String,
    /// Region, pipeline and sink.
    name: String,
    format: Format,
    secret: Option<Secret>,
    headers: HeaderMap,
    /// The epoch that is on its way, and how many of its parts were taken.
    taken: (u64, usize),
    /// The server asks to be left alone until then.
    not_before: Option<Instant>,
}

impl fmt::Debug for WebhookPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookPublisher").field("place", &self.place).finish_non_exhaustive()
    }
}

impl WebhookPublisher {
    /// A publisher that calls itself `name`.
    pub(super) fn new(options: &WebhookOptions, name: String) -> Result<Self, SinkError> {
        let url = options.address()?;
        Ok(Self {
            // All else of it may be a secret; the path often is.
            place: url.origin().ascii_serialization(),
            client: client(options)?,
            url,
            name,
            format: options.format,
            secret: options.secret.clone(),
            headers: options.headers()?,
            taken: (0, 0),
            not_before: None,
        })
    }

    /// Sends part `n` of `epoch`, again after trouble that may pass.
    async fn send_patiently(&mut self, epoch: u64, n: usize, part: &[Message]) -> Result<(), SinkError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES {
            match self.send(epoch, n, part).await {
                Err(error @ SinkError::Retry { .. }) => {
                    tracing::debug!(%error, epoch, n, "to be sent again");
                    sleep(pause).await;
                    pause *= 2;
                }
                ended => return ended,
            }
        }
        self.send(epoch, n, part).await
    }

    /// Sends part `n` of `epoch`.
    async fn send(&mut self, epoch: u64, n: usize, part: &[Message]) -> Result<(), SinkError> {
        if let Some(until) = self.not_before {
            sleep_until(until).await;
            self.not_before = None;
        }
        let body = self.format.body(part);
        let key = format!("{}/{epoch}/{n}/{}", self.name, digest(&body));
        let mut request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, self.format.content_type())
            .header(IDEMPOTENCY_KEY, key);
        if let Some(secret) = &self.secret {
            request = request.header(SIGNATURE, signature(secret, Utc::now().timestamp(), &body));
        }
        let mut answer = request.body(body).send().await.map_err(|error| self.failed(error))?;
        let status = answer.status();
        if status.is_success() {
            // The rows are taken, whatever becomes of the rest; a connection that was read to its end is used again.
            while let Ok(Some(_)) = answer.chunk().await {}
            return Ok(());
        }
        let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        if let Some(pause) = asked.and_then(|asked| pause(asked, Utc::now())) {
            self.not_before = Some(Instant::now() + pause);
        }
        Err(refusal(&self.place, status, &start_of(&mut answer).await))
    }

    /// No answer: with its causes, without the address, which may hold a key.
    fn failed(&self, error: reqwest::Error) -> SinkError {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        SinkError::retry(&self.place, text)
    }
}

#[async_trait]
impl Publisher for WebhookPublisher {
    fn place(&self) -> &str {
        &self.place
    }

    /// A server is asked nothing before there are rows for it.
    async fn open(&mut self) -> Result<u64, SinkError> {
        Ok(0)
    }

    async fn probe(&mut self) -> Result<String, SinkError> {
        let request = self.client.head(self.url.clone()).headers(self.headers.clone());
        let answer = request.send().await.map_err(|error| self.failed(error))?;
        match answer.status() {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(refusal(&self.place, status, &[])),
            status => Ok(format!("{} is there: it answers {status} to HEAD; no rows were sent", self.place)),
        }
    }

    async fn publish(&mut self, epoch: Epoch) -> Result<u64, SinkError> {
        let taken = if self.taken.0 == epoch.epoch { self.taken.1 } else { 0 };
        for (n, part) in epoch.parts.iter().enumerate().skip(taken) {
            self.send_patiently(epoch.epoch, n, part).await?;
            self.taken = (epoch.epoch, n + 1);
        }
        Ok(0)
    }
}

impl Format {
    fn body(self, part: &[Message]) -> Vec<u8> {
        let rows: Vec<&str> = part.iter().map(|Message(_, value)| value.as_str()).collect();
        let text = match self {
            Self::Ndjson => rows.join("\n") + "\n",
            Self::Json => format!("[{}]", rows.join(",")),
        };
        text.into_bytes()
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Json => "application/json",
        })
    }
}

fn client(options: &WebhookOptions) -> Result<Client, SinkError> {
    let mut builder = Client::builder()
        .user_agent(concat!("watershed/", env!("CARGO_PKG_VERSION"), " (", env!("CARGO_PKG_REPOSITORY"), ")"))
        .connect_timeout(CONNECT)
        .timeout(options.timeout.0)
        .tcp_keepalive(CONNECT)
        .redirect(Policy::none());
    if let Some(tls) = &options.tls {
        let ca = &tls.ca;
        let refused = |why: &dyn fmt::Display| SinkError::config(format!("tls ca {}: {why}", ca.display()));
        let pem = std::fs::read(ca).map_err(|error| refused(&error))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| refused(&error))?;
        if certificates.is_empty() {
            return Err(refused(&"there is no certificate in it"));
        }
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(|error| SinkError::config(format!("no client of HTTP can be made: {error}")))
}

/// How the body of an answer starts; nothing if it cannot be read.
async fn start_of(answer: &mut Response) -> Vec<u8> {
    let mut start = Vec::new();
    while start.len() < TOLD
        && let Ok(Some(piece)) = answer.chunk().await
    {
        start.extend_from_slice(&piece);
    }
    start
}
