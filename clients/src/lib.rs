//! How the clouds' services are reached: addresses, credentials, trust. Sources and sinks have this in common.
//!
//! This crate knows neither records nor rows, and not who asks: what a key is called in the region file, it is told.

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "azure")]
pub mod azure;
mod error;
#[cfg(feature = "google")]
pub mod google;
mod secret;

pub use error::{ClientError, error_chain};
pub use secret::Secret;
