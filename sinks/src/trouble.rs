//! Sorting of I/O errors by what the caller should do.
//!
//! The one idea: what the machine or the permissions cause is named and is the user's to mend; of the rest, only what may
//! be repeated without losing or doubling rows is worth a retry.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind};

use object_store::Error as StoreError;
use watershed_clients::error_chain;

use crate::error::SinkError;

/// Whether the step that failed can simply be taken again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Listing, probing, publishing: nothing is lost by trying again.
    Safe,
    /// An upload that broke off: its rows are gone from this process, only a restart from the checkpoint brings them back.
    LosesRows,
}

/// Sorts `cause`, which stopped `doing`, such as "write lake/orders/x.parquet".
pub(crate) fn trouble<E>(doing: impl Display, cause: E, repeat: Repeat) -> SinkError
where
    E: Error + Send + Sync + 'static,
{
    if let Some(reason) = environment(&cause) {
        return SinkError::config(format!("cannot {doing}: {reason}"));
    }
    match repeat {
        Repeat::Safe => SinkError::retry(format!("cannot {doing}"), cause),
        Repeat::LosesRows => {
            SinkError::fatal(format!("cannot {doing}; restart to take its rows from the checkpoint"), cause)
        }
    }
}

/// What about the machine or the permissions is wrong, and what helps; none if that is not it.
fn environment(error: &(dyn Error + 'static)) -> Option<&'static str> {
    for error in error_chain(error) {
        if let Some(StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }) = error.downcast_ref() {
            return Some(PERMISSION);
        }
        if let Some(StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }) = error.downcast_ref() {
            return Some("this store cannot do it; write elsewhere (url)");
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            if let Some(reason) = io_reason(error) {
                return Some(reason);
            }
            if let Some(reason) = error.get_ref().and_then(|inner| environment(inner)) {
                return Some(reason);
            }
        }
    }
    None
}

const PERMISSION: &str = "permission denied; allow this user to write there, or write elsewhere (url)";

fn io_reason(error: &io::Error) -> Option<&'static str> {
    // EMFILE and ENFILE have no kind of their own.
    if matches!(error.raw_os_error(), Some(23 | 24)) {
        return Some("too many open files; raise the limit (ulimit -n)");
    }
    match error.kind() {
        ErrorKind::StorageFull => Some("disk full; free some space, or write elsewhere (url)"),
        ErrorKind::QuotaExceeded => Some("disk quota exceeded; free some space, or write elsewhere (url)"),
        ErrorKind::PermissionDenied => Some(PERMISSION),
        ErrorKind::ReadOnlyFilesystem => {
            Some("the file system is read-only; mount it writable, or write elsewhere (url)")
        }
        ErrorKind::NotADirectory => {
            Some("a part of the path is a file, not a folder; remove it, or write elsewhere (url)")
        }
        ErrorKind::InvalidFilename => Some("the name is too long or not allowed there"),
        _ => None,
    }
}
