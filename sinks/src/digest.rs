//! What tells bytes from others, in few letters.

use sha2::{Digest, Sha256};

/// A few digits that tell a body from others.
pub(crate) fn digest(body: &[u8]) -> String {
    hex(&Sha256::digest(body)[..4])
}

/// Hexadecimal, two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `key`, or where it is longer than `most` bytes, its SHA-256 in hexadecimal: equal keys stay equal.
#[cfg(any(feature = "kinesis", feature = "pubsub"))]
pub(crate) fn at_most(key: &str, most: usize) -> String {
    match key.len() <= most {
        true => key.to_owned(),
        false => hex(&Sha256::digest(key)),
    }
}
