//! A value that is never shown.

use std::fmt;
use std::hint::black_box;

use serde::Deserialize;

/// A password, key, token or connection string. Neither `Debug` nor anything else prints it; whoever needs it says so by
/// [`Secret::expose`].
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `value` from being shown.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// True if `authorization`, the value of that header, is this secret as a bearer token. White space around either does
    /// not count. How long it takes depends on lengths only, so that nobody finds the token out letter by letter.
    pub fn is_bearer(&self, authorization: &[u8]) -> bool {
        let Some((scheme, given)) = authorization.split_at_checked("Bearer ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") && equal(given.trim_ascii(), self.0.trim().as_bytes())
    }

    /// The value, for the one client that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn equal(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |differences, (a, b)| black_box(differences | (a ^ b)));
    a.len() == b.len() && differences == 0
}
