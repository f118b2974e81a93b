//! Amazon Web Services: credentials, trust, and the way to a stream of Kinesis.
//!
//! | file | holds |
//! |---|---|
//! | `access` | what the region file says of who asks, and where |
//! | `connection` | a stream, and the clients that reach it |
//! | `refusal` | what the services' errors mean, and the way out of each |
//! | `stream_name` | names and ARNs |
//! | `tls` | whom the connections trust |

mod access;
mod connection;
mod refusal;
mod stream_name;
mod tls;

pub use access::{Access, SigningKeys};
pub use connection::Connection;
pub use refusal::{Call, Keys, Refusal, refused_credentials};
pub use stream_name::{StreamName, is_name, is_region};
pub use tls::{Tls, advised};
