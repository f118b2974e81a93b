//! Asking the daemon of a region for its part.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use watershed_connectors::Secret;

use super::super::failure::Failure;
use super::super::query::wrong;
use super::part::Refused;
use super::wire::Answer;
use crate::diagnostic::Diagnostic;
use crate::registry::chain;
use crate::sql::SqlError;

/// A daemon in the next region answers in milliseconds; one that does not is not there.
const CONNECTING: Duration = Duration::from_secs(10);
/// A region's part may read all that was ever written there.
const ANSWERING: Duration = Duration::from_secs(600);
/// The largest answer; `part` bounds what is in it.
const MAX_BYTES: usize = 256 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Error {
    /// There is no daemon that answers.
    Unreachable(String),
    /// It does not want to, or can't.
    Refused(Refused),
}

/// What a daemon says when it gives no answer.
#[derive(Debug, Deserialize)]
struct Trouble {
    error: String,
    help: Option<String>,
    position: Option<(usize, usize)>,
    #[serde(default)]
    moves_rows: bool,
}

/// Asks the daemon at `address`, which has to be that of `region`.
pub(super) async fn ask(address: &str, token: &Secret, region: &str, sql: &str) -> Result<Answer, Error> {
    let unreachable = |error: reqwest::Error| Error::Unreachable(chain(&error.without_url()));
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECTING)
        .timeout(ANSWERING)
        // A token is for the address that it was meant for.
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(unreachable)?;
    let request = client
        .post(format!("{address}/query/{region}"))
        .bearer_auth(token.expose().trim())
        .header(CONTENT_TYPE, "application/sql")
        .body(sql.to_string());
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let bytes = read(response).await?;
    if status == StatusCode::OK {
        let answer = Answer::decode(&bytes);
        return answer.map_err(|why| failed(region, format!("the answer of its daemon at {address}: {why}"), None));
    }
    let trouble = serde_json::from_slice::<Trouble>(&bytes);
    match (status, trouble) {
        (StatusCode::UNPROCESSABLE_ENTITY, Ok(Trouble { error, help, position, moves_rows })) => {
            let error = SqlError { message: error, position, help };
            Err(Error::Refused(if moves_rows { Refused::Rows(error) } else { wrong(sql, error).into() }))
        }
        (StatusCode::UNAUTHORIZED, _) => {
            let help = "the file here and the one that the daemon runs have to hold the same `query_token`";
            Err(failed(region, format!("its daemon at {address} does not know the token"), Some(help)))
        }
        (StatusCode::INTERNAL_SERVER_ERROR, Ok(trouble)) => Err(failed(region, trouble.error, None)),
        // Another program, one that starts, or one that has no time.
        (status, Ok(trouble)) => Err(Error::Unreachable(format!("it says {status}: {}", trouble.error))),
        (status, Err(_)) => Err(Error::Unreachable(format!("it says {status}"))),
    }
}

fn failed(region: &str, why: String, help: Option<&str>) -> Error {
    let mut diagnostic = Diagnostic::new(format!("region `{region}`: {why}"));
    diagnostic.help = help.map(str::to_string);
    Error::Refused(Failure::Running(diagnostic).into())
}

async fn read(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Error::Unreachable(chain(&error.without_url())))? {
        if bytes.len() + chunk.len() > MAX_BYTES {
            return Err(Error::Unreachable(format!("its answer has more than {MAX_BYTES} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
