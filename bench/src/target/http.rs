//! Batches as bodies of `POST`, to an `http` source or whatever takes `application/x-ndjson`.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use tokio::time::sleep;
use url::Url;
use watershed_clients::error_chain;

use super::{Batch, Manners, Refused, Retries, Target};

/// The first pause before a batch is sent again; it doubles up to [`LONGEST_PAUSE`]. A server that is full says by
/// `retry-after` in whole seconds, which is longer than it takes to write a batch: a pause like ours finds room sooner.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Sends to one address.
#[derive(Debug)]
pub(super) struct HttpTarget {
    client: Client,
    url: Url,
    patience: Duration,
    retries: Retries,
}

impl HttpTarget {
    pub(super) fn open(url: Url, manners: &Manners) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        if let Some(token) = &manners.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| "the token holds characters that no header can hold".to_owned())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        for (name, value) in &manners.properties {
            let refused = || format!("\"{name}\" is no header, or its value holds characters that no header can hold");
            let name: HeaderName = name.parse().map_err(|_| refused())?;
            headers.insert(name, HeaderValue::from_str(value).map_err(|_| refused())?);
        }
        // Loopback is what is measured most often; no proxy stands before it, and none is wanted.
        let client = Client::builder().default_headers(headers).no_proxy().build();
        let client = client.map_err(|error| format!("no HTTP client: {error}"))?;
        Ok(Self { client, url, patience: manners.patience, retries: Retries::default() })
    }
}

impl Target for HttpTarget {
    fn submit(&self, batch: Batch) -> BoxFuture<'static, Result<(), Refused>> {
        let (client, url, retries, patience) =
            (self.client.clone(), self.url.clone(), self.retries.clone(), self.patience);
        Box::pin(async move {
            let begun = Instant::now();
            let mut pause = FIRST_PAUSE;
            loop {
                let left = patience.saturating_sub(begun.elapsed());
                let request = client.post(url.clone()).timeout(left).body(batch.bytes.clone());
                let trouble = match request.send().await {
                    Ok(response) => match answer(response).await {
                        Answer::Taken => return Ok(()),
                        Answer::Refused(why) => return Err(Refused::Fatal(why)),
                        Answer::Later(why) => why,
                    },
                    Err(error) => reason(error),
                };
                if begun.elapsed() + pause >= patience {
                    return Err(Refused::GaveUp(trouble));
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                retries.add(1);
            }
        })
    }

    fn retries(&self) -> u64 {
        self.retries.count()
    }
}

enum Answer {
    Taken,
    Later(String),
    Refused(String),
}

async fn answer(response: Response) -> Answer {
    let status = response.status();
    let later = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
        || status.is_server_error()
        || response.headers().contains_key(RETRY_AFTER);
    // Read to its end, so that the connection can be used again.
    let body = response.text().await;
    if status.is_success() {
        return match body {
            Ok(_) => Answer::Taken,
            Err(error) => Answer::Later(reason(error)),
        };
    }
    let said: String = body.unwrap_or_default().trim().chars().take(200).collect();
    let why = format!("it answers {status}{}{said}", if said.is_empty() { "" } else { ": " });
    if later { Answer::Later(why) } else { Answer::Refused(why) }
}

/// What went wrong, down to its cause; the address, which may hold a secret, is left out.
fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    let error = error.without_url();
    error_chain(&error).last().map(ToString::to_string).unwrap_or_default()
}
