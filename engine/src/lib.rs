//! The engine of Watershed: configuration, SQL, decoding, windows, and the run that ties them together.
//!
//! Follow one event: [`run`] reads it, [`decode`] makes it a row, [`rows`] filters and projects it, [`window`] keeps it
//! in a pane until the [`watermark`] has passed, and the plan of [`plan`] turns closed windows into rows for the sinks.

pub mod aggregate;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod connect;
pub mod ddl;
pub mod decode;
pub mod dedup;
pub mod diagnostic;
pub mod environment;
mod fingerprint;
pub mod http;
pub mod numbers;
pub mod plan;
pub mod registry;
pub mod report;
pub mod rows;
pub mod run;
pub mod schema;
pub mod sql;
pub mod watermark;
pub mod window;
