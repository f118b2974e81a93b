//! How the clouds' services are reached: addresses, credentials, trust. Sources and sinks have this in common.
//!
//! This crate knows neither records nor rows, and not who asks: what a key is called in the region file, it is told.

#[cfg(feature = "azure")]
pub mod azure;
mod error;
mod secret;

pub use error::ClientError;
pub use secret::Secret;
