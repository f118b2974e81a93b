//! Google Cloud: where a service is, and as whom it is asked.
//!
//! | file | holds |
//! |---|---|
//! | `reach` | addresses, and whether anybody answers there |
//! | `credentials` | whose name requests are in |

mod credentials;
mod reach;

pub use credentials::{Access, no_credentials};
pub use reach::Address;
