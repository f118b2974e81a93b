//! Tokens for OAUTHBEARER: given once and for all, or fetched from an endpoint and renewed before they expire.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use reqwest::redirect::Policy;
use serde::Deserialize;
use url::Url;
use watershed_clients::Secret;

use crate::error::SourceError;

/// How long an endpoint may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What a token lives that does not say so: it is asked for again well before.
const UNKNOWN_LIFE: Duration = Duration::from_secs(3600);
/// The most of an answer that is looked at.
const MOST_ANSWER_BYTES: usize = 1 << 20;

/// A token.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) value: Secret,
    pub(crate) expires: SystemTime,
}

/// Gives tokens. Asked when the one before is four fifths through its life.
#[async_trait]
pub(crate) trait TokenSource: Send + Sync {
    /// A token that is good now. What goes wrong is shown to people: no secret is part of it.
    async fn token(&self) -> Result<Token, String>;
}

/// One token for ever.
pub(super) struct GivenToken(Secret);

impl GivenToken {
    pub(super) fn new(token: Secret) -> Self {
        Self(token)
    }
}

#[async_trait]
impl TokenSource for GivenToken {
    async fn token(&self) -> Result<Token, String> {
        Ok(Token { value: self.0.clone(), expires: SystemTime::now() + UNKNOWN_LIFE })
    }
}

/// OAuth 2.0's client credentials grant (RFC 6749, section 4.4).
pub(super) struct ClientCredentials {
    endpoint: Url,
    body: Secret,
}

/// What the endpoint answers.
#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// What it answers instead (RFC 6749, section 5.2): the one word of a refusal that is safe to show.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl ClientCredentials {
    pub(super) fn new(endpoint: &str, id: &str, secret: Secret, scope: Option<&str>) -> Result<Self, SourceError> {
        let endpoint = match Url::parse(endpoint) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => url,
            _ => return Err(SourceError::config("`token_endpoint` is no URL such as \"https://id.acme.com/token\"")),
        };
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("grant_type", "client_credentials");
        body.append_pair("client_id", id).append_pair("client_secret", secret.expose());
        if let Some(scope) = scope {
            body.append_pair("scope", scope);
        }
        Ok(Self { endpoint, body: Secret::new(body.finish()) })
    }

    async fn ask(&self) -> Result<Token, String> {
        let shown = |error: reqwest::Error| chain(&error.without_url());
        // No redirect is followed: one of those that repeat the request would take the secret to another server.
        let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build().map_err(shown)?;
        let request = client
            .post(self.endpoint.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.body.expose().to_owned());
        let mut response = request.send().await.map_err(shown)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(shown)? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_ANSWER_BYTES {
                return Err("the answer is too long".to_string());
            }
        }
        read(response.status().as_u16(), &body, SystemTime::now())
    }
}

#[async_trait]
impl TokenSource for ClientCredentials {
    async fn token(&self) -> Result<Token, String> {
        self.ask().await.map_err(|why| format!("no token from {}: {why}", place(&self.endpoint)))
    }
}

/// The token of an answer.
pub(super) fn read(status: u16, body: &[u8], now: SystemTime) -> Result<Token, String> {
    if status != 200 {
        let refusal: Option<Refusal> = serde_json::from_slice(body).ok();
        let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        return Err(match refusal.filter(|refusal| word(&refusal.error)) {
            Some(Refusal { error }) => format!("it answers {status}, {error}"),
            None => format!("it answers {status}"),
        });
    }
    // Neither the answer nor serde's view of it is shown: it may hold the token.
    let answer: Answer = serde_json::from_slice(body).map_err(|_| "the answer holds no access_token".to_string())?;
    let life = answer.expires_in.map_or(UNKNOWN_LIFE, Duration::from_secs);
    let expires = now.checked_add(life).ok_or("the token never expires")?;
    Ok(Token { value: answer.access_token, expires })
}

/// An endpoint without what may be secret in it.
fn place(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}
