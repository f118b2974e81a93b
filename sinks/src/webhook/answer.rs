//! What an answer of the server means.
//!
//! | status | then |
//! |---|---|
//! | 2xx | taken |
//! | 408, 425, 429, 5xx | sent again, after what `Retry-After` asks for |
//! | 3xx | the address is another: a request is not sent on, for its rows may not be |
//! | 401, 403 | the user mends it |
//! | 413 | the server's limit has to be raised: the request is made already |
//! | any other | the server will never take these rows: the run ends, and says what it answered |

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;

use crate::error::SinkError;

/// The longest pause that a server may ask for: it is asked again after that.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// So much of a refusal is told.
pub(super) const TOLD: usize = 300;

/// What is to be done about an answer that is no success. `start` is how its body starts.
pub(super) fn refusal(place: &str, status: StatusCode, start: &[u8]) -> SinkError {
    let start = readable(start);
    let said = if start.is_empty() { String::new() } else { format!(": {start}") };
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            SinkError::retry(place, format!("it answers {status}{said}"))
        }
        status if status.is_server_error() => SinkError::retry(place, format!("it answers {status}{said}")),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            SinkError::config(format!("{place}: it answers {status}; check `token`, `headers` and `secret`{said}"))
        }
        StatusCode::PAYLOAD_TOO_LARGE => SinkError::fatal(
            place,
            format!(
                "it answers {status}: raise the server's limit of a request's body, and start again; `batch_bytes` counts for \
                 later epochs only{said}"
            ),
        ),
        status if status.is_redirection() => {
            SinkError::config(format!("{place}: it answers {status}, to another address: write that one as `url`"))
        }
        status => SinkError::fatal(place, format!("it answers {status}, so that it will never take these rows{said}")),
    }
}

/// How long `Retry-After` asks to wait: seconds, or a date.
pub(super) fn pause(retry_after: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = retry_after.trim();
    let asked = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - now).to_std().unwrap_or_default(),
    };
    Some(asked.min(LONGEST_PAUSE))
}

/// The start of a body on one line, without what could move a cursor.
fn readable(start: &[u8]) -> String {
    let text = String::from_utf8_lossy(start);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(TOLD).collect()
}
