//! Rows as rows of a table in PostgreSQL: `connector = "postgres"`.
//!
//! The one idea: a transaction writes an epoch's rows, and its number into a table beside. The number on record says whether
//! that has happened already.
//!
//! | file | holds |
//! |---|---|
//! | `options.rs` | the keys of the sink |
//! | `publisher.rs` | an epoch as one transaction |
//! | `table.rs` | the table that is written to, and the statements for it |
//! | `advice.rs` | what errors mean |
//! | `tls.rs` | connections that are encrypted |

mod advice;
mod options;
mod publisher;
mod table;
#[cfg(test)]
mod tests;
mod tls;

pub use options::PostgresOptions;
