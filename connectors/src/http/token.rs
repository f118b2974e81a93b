//! Whether a request carries the token.

use std::hint::black_box;

use axum::http::{HeaderMap, header};

use crate::secret::Secret;

/// True if `headers` carry `token` as a bearer token. How long it takes depends on lengths only, so that nobody finds the
/// token out letter by letter.
pub(super) fn carries(headers: &HeaderMap, token: &Secret) -> bool {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return false };
    let Some((scheme, given)) = value.as_bytes().split_at_checked("Bearer ".len()) else { return false };
    scheme.eq_ignore_ascii_case(b"Bearer ") && equal(given.trim_ascii(), token.expose().trim().as_bytes())
}

fn equal(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |differences, (a, b)| black_box(differences | (a ^ b)));
    a.len() == b.len() && differences == 0
}
