//! Room in the buffer: bytes that are held from the first of a body to the last record that is handed out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::refusal::Refusal;

/// The buffer's size, and what of it is taken.
#[derive(Debug)]
pub(super) struct Buffer {
    size: usize,
    taken: AtomicUsize,
}

/// A share of the buffer, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Space {
    buffer: Arc<Buffer>,
    bytes: usize,
}

impl Buffer {
    pub(super) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self { size, taken: AtomicUsize::new(0) })
    }

    /// An empty share.
    pub(super) fn space(self: &Arc<Self>) -> Space {
        Space { buffer: self.clone(), bytes: 0 }
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

impl Space {
    /// Takes `bytes` more, if they are free. More than would ever be free is too large.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let size = self.buffer.size;
        if self.bytes.saturating_add(bytes) > size {
            return Err(Refusal::TooLarge(format!("the records take more than the buffer of {size} bytes")));
        }
        let grown = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= size);
        self.buffer.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown).map_err(|_| Refusal::Full)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives `bytes` back.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.buffer.taken.fetch_sub(bytes, Ordering::AcqRel);
        self.bytes -= bytes;
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}
