#![allow(clippy::unwrap_used, clippy::expect_used)]

mod decisions;
mod options;
mod services;
