//! Who sent a request, and when: HMAC-SHA256 over both, as webhooks are signed far and wide.
//!
//! The one idea: the time is part of what is signed, so that a request that someone kept cannot be sent again later.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use watershed_clients::Secret;

use crate::digest::hex;

/// `t=<unix seconds>,v1=<HMAC-SHA256 of "<unix seconds>.<body>" in hexadecimal>`.
pub(super) fn signature(secret: &Secret, unix_seconds: i64, body: &[u8]) -> String {
    let mut mac = keyed(secret);
    mac.update(format!("{unix_seconds}.").as_bytes());
    mac.update(body);
    format!("t={unix_seconds},v1={}", hex(&mac.finalize().into_bytes()))
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn keyed(secret: &Secret) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret.expose().as_bytes()).expect("a key of any length")
}
