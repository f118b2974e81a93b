#![allow(clippy::unwrap_used, clippy::expect_used)]

mod array;
mod body;
mod queue;
mod requests;
