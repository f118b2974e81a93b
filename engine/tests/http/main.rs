//! The daemon's HTTP server as clients meet it: the binary, a region file, and requests.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod daemon;
mod events;
mod push;
mod watch;
