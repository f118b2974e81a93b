//! Who sent a request, and when: HMAC-SHA256 over both, as webhooks are signed far and wide.
//!
//! The one idea: the time is part of what is signed, so that a request that someone kept cannot be sent again later.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::secret::Secret;

/// `t=<unix seconds>,v1=<HMAC-SHA256 of "<unix seconds>.<body>" in hexadecimal>`.
pub(super) fn signature(secret: &Secret, unix_seconds: i64, body: &[u8]) -> String {
    let mut mac = keyed(secret);
    mac.update(format!("{unix_seconds}.").as_bytes());
    mac.update(body);
    format!("t={unix_seconds},v1={}", hex(&mac.finalize().into_bytes()))
}

/// A few digits that tell a body from others.
pub(super) fn digest(body: &[u8]) -> String {
    hex(&Sha256::digest(body)[..4])
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn keyed(secret: &Secret) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret.expose().as_bytes()).expect("a key of any length")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
