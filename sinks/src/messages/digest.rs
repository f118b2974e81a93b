//! What tells the contents of a message from others.

use sha2::{Digest, Sha256};

/// A few digits that tell a body from others.
pub(crate) fn digest(body: &[u8]) -> String {
    hex(&Sha256::digest(body)[..4])
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
