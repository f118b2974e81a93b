//! What was handed out and not acknowledged yet.
//!
//! The one idea: deliveries are counted, over all lives of the process, and a position is such a count. What stands before
//! a durable position is acknowledged, in order.

use std::collections::VecDeque;

use serde_json::json;

use crate::error::SourceError;
use crate::source::Position;

/// Where a stream stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Messages handed out so far.
    pub(super) delivered: u64,
    /// Messages published before this, in microseconds since the Unix epoch, are none of ours: `start` decided so once.
    pub(super) after: Option<i64>,
}

impl Place {
    pub(super) fn read(position: &Position) -> Result<Self, SourceError> {
        let delivered = position.0["delivered"].as_u64();
        let delivered =
            delivered.ok_or_else(|| SourceError::config(format!("{} is no position in a subscription", position.0)))?;
        Ok(Self { delivered, after: position.0["after"].as_i64() })
    }

    pub(super) fn position(self) -> Position {
        Position(match self.after {
            None => json!({ "delivered": self.delivered }),
            Some(after) => json!({ "delivered": self.delivered, "after": after }),
        })
    }
}

/// Deliveries in order, each with what acknowledges it and how many bytes it brought.
#[derive(Debug)]
pub(super) struct Outstanding<H> {
    /// Number of the next delivery.
    next: u64,
    handlers: VecDeque<(H, u32)>,
    bytes: u64,
}

impl<H> Outstanding<H> {
    /// Nothing is out; the next delivery has this number.
    pub(super) fn beginning_at(next: u64) -> Self {
        Self { next, handlers: VecDeque::new(), bytes: 0 }
    }

    /// Number of the next delivery.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// How many are out.
    pub(super) fn len(&self) -> usize {
        self.handlers.len()
    }

    /// How many bytes are out.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a delivery; gives its number.
    pub(super) fn add(&mut self, handler: H, bytes: u32) -> u64 {
        self.handlers.push_back((handler, bytes));
        self.bytes += u64::from(bytes);
        self.next += 1;
        self.next - 1
    }

    /// Gives those before `position` away, at most `most` of them, the first first.
    pub(super) fn settle(&mut self, position: u64, most: usize) -> Vec<H> {
        let first = self.next - self.handlers.len() as u64;
        let before = position.saturating_sub(first).min(self.handlers.len() as u64) as usize;
        let settled = self.handlers.drain(..before.min(most));
        settled.inspect(|(_, bytes)| self.bytes -= u64::from(*bytes)).map(|(handler, _)| handler).collect()
    }

    /// Lets go of all that is out; the count goes on.
    pub(super) fn clear(&mut self) {
        self.handlers.clear();
        self.bytes = 0;
    }
}
