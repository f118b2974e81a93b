//! SQL as pipelines understand it: streams as tables, windows as table functions, one statement a pipeline.
//!
//! The one idea: stream until the window closes, batch from there on. DataFusion plans and optimises the whole
//! statement; `cut` then finds the lowest operators that need a whole window and parts the plan there.

mod catalog;
pub(crate) mod cut;
mod error;
pub(crate) mod event_time;
pub(crate) mod leaf;
pub(crate) mod locate;
mod refusal;
pub(crate) mod statement;
mod stream_table;
mod window_node;
mod windows;

pub use catalog::Catalog;
pub use error::SqlError;
pub use stream_table::StreamTable;
pub use window_node::{WINDOW_END, WINDOW_START, WindowNode, WindowSpec, window_column_type};
