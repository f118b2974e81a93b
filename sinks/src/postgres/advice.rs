//! What errors of the server mean, and what to do about them.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::error::SinkError;

/// Sorts what stopped us at `place`.
pub(super) fn sorted(place: &str, error: &Error) -> SinkError {
    let Some(said) = error.as_db_error() else {
        // The connection, or what came over it.
        return SinkError::retry(place, chain(error));
    };
    let mut text = said.message().to_owned();
    for more in [said.detail(), said.hint()].into_iter().flatten() {
        text = format!("{text}; {more}");
    }
    let code = said.code();
    match code.code().get(..2).unwrap_or_default() {
        // Who we are, and which database.
        "28" => SinkError::config(format!("{place}: {text}; check the user in `url`, and `password`")),
        "3D" => SinkError::config(format!("{place}: {text}; check the database in `url`")),
        // Connections, rollbacks that clients repeat, resources, an operator who intervenes.
        "08" | "40" | "53" | "57" | "58" | "XX" => SinkError::retry(place, text),
        "55" if *code == SqlState::LOCK_NOT_AVAILABLE => SinkError::retry(place, text),
        "25" if *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => SinkError::retry(place, text),
        "25" if *code == SqlState::READ_ONLY_SQL_TRANSACTION => {
            SinkError::retry(place, format!("{text}: this server only reads for now"))
        }
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => SinkError::config(format!(
            "{place}: {text}; the user needs SELECT, INSERT and UPDATE on the table and on watershed_epochs beside it"
        )),
        _ if *code == SqlState::INVALID_COLUMN_REFERENCE => SinkError::config(format!(
            "{place}: {text}; `key` must be the columns of a primary key or of a unique index"
        )),
        _ => SinkError::fatal(place, format!("the rows are refused: {text} ({})", code.code())),
    }
}

/// An error with its causes.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
