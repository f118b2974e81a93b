//! Short hashes by which people and programs tell two texts apart.

use sha2::{Digest, Sha256};

/// The first 64 bits of the SHA-256 of a text as 16 hex digits, the same on every machine.
pub(crate) fn short_hash(text: &str) -> String {
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
