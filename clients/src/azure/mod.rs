//! Azure Event Hubs: which hub is meant, who asks, and what went wrong.
//!
//! The one idea: sources and sinks name a hub by the same keys, so these are read and checked once.
//!
//! | file | holds |
//! |---|---|
//! | `hub.rs` | the hub, as the keys of a region file name it |
//! | `identity.rs` | who asks: the key of a policy, an application of Entra, the machine |
//! | `signature.rs` | tokens that are signed with the key of a policy |
//! | `trouble.rs` | what went wrong, sorted by what to do about it |

mod hub;
mod identity;
mod signature;
mod trouble;

pub use hub::{Hub, HubKeys};
pub use identity::{ClientSecret, Identity, Token};
pub use trouble::{Claim, Trouble, words};
