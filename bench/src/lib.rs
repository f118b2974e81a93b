//! Load, and what comes of it: a generator with a schedule that does not wait, runs of the whole program from end to end,
//! the comparison of two of them, and what the benchmarks of single parts share.
//!
//! | module | holds |
//! |---|---|
//! | `schedule` | when each event is to leave; pure |
//! | `target` | where events go |
//! | `generate` | sends events as the schedule says, and measures from the schedule |
//! | `page` | a report as one HTML page |
//! | `suite` | runs of the whole program, from end to end |
//! | `results` | what they measured |
//! | `compare` | what became slower; pure |
//! | `held` | events held in memory, for the benchmarks in `benches/` |

pub mod cli;
mod compare;
mod generate;
mod held;
mod numbers;
mod page;
mod results;
mod schedule;
mod suite;
mod target;

pub use held::{SetupError, batches, chunks, profile_decoder, schema};
