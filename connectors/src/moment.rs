//! Moments in options.

use chrono::{DateTime, Utc};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Reads an optional moment, written as RFC 3339.
pub(crate) fn rfc3339<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match DateTime::parse_from_rfc3339(&text) {
        Ok(start) => Ok(Some(start.to_utc())),
        Err(e) => Err(Error::custom(format!(
            "\"{text}\" is not a moment ({e}): write RFC 3339, for example \"2026-03-01T00:00:00Z\""
        ))),
    }
}
