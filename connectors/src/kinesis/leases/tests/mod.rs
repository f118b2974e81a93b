//! Tests of leases: decisions as tables, many daemons under a simulated clock, and real ones over a real table.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod checkpoint;
mod daemon;
mod options;
mod place;
mod plan;
mod rows;
mod services;
mod simulation;
mod worker;

use super::checkpoint::{Checkpoint, Sequence};
use super::lease::{Change, Lease, Outcome};

/// A lease on `shard` that nobody has had yet.
fn lease(shard: &str) -> Lease {
    Lease {
        shard: shard.to_string(),
        owner: None,
        leaving: None,
        counter: 0,
        checkpoint: Checkpoint::TrimHorizon,
        switches: 0,
        since: None,
        state: None,
        before: None,
        parents: Vec::new(),
        children: Vec::new(),
        hash_keys: None,
    }
}

/// The same lease, with `owner`.
fn owned(shard: &str, owner: &str) -> Lease {
    Lease { owner: Some(owner.to_string()), ..lease(shard) }
}

fn after(sequence: u64, sub: u64) -> Checkpoint {
    Checkpoint::After { sequence: Sequence::parse(&sequence.to_string()).unwrap(), sub }
}

/// What a table does with a change.
fn apply(row: &mut Lease, change: &Change) -> Outcome {
    if !row.stands_as(&change.from) {
        return Outcome::Refused(Some(Box::new(row.clone())));
    }
    let checkpoint =
        if change.to.checkpoint == change.from.checkpoint { &row.checkpoint } else { &change.to.checkpoint };
    *row = Lease { checkpoint: checkpoint.clone(), ..change.to.clone() };
    Outcome::Done
}
