//! Which shards get a row, and where they begin.
//!
//! | shard without a row | `earliest` | `latest` | a moment |
//! |---|---|---|---|
//! | a descendant has a row | none: it was finished, and its row removed | none | none |
//! | a parent has a row | its oldest record | its oldest record | the moment |
//! | open, without such a parent | its oldest record | its newest | the moment |
//! | closed, without such a parent | its oldest record | none: it is past | the moment |
//!
//! Parents come before their children, so that a daemon that dies in between leaves no child without its parent.

use std::collections::{BTreeMap, BTreeSet};

use super::checkpoint::Checkpoint;
use super::lease::Lease;
use crate::kinesis::lineage::Shard;
use crate::start::Start;

/// The rows to add for `shards`, in order; `now` in milliseconds since the Unix epoch.
pub(super) fn missing(shards: &[Shard], rows: &BTreeSet<&str>, start: Start, now: i64) -> Vec<Lease> {
    let mut past: BTreeSet<&str> = BTreeSet::new();
    let mut below: Vec<&Shard> = shards.iter().filter(|shard| rows.contains(shard.id.as_str())).collect();
    while let Some(shard) = below.pop() {
        let parents = shards.iter().filter(|parent| shard.parents.contains(&parent.id));
        below.extend(parents.filter(|parent| past.insert(parent.id.as_str())));
    }
    let mut known = rows.clone();
    let mut added: BTreeMap<&str, Checkpoint> = BTreeMap::new();
    let mut order = Vec::new();
    let mut waiting: Vec<&Shard> = oldest_first(shards);
    waiting.retain(|shard| !rows.contains(shard.id.as_str()) && !past.contains(shard.id.as_str()));
    for shard in waiting {
        let continues = shard.parents.iter().any(|parent| known.contains(parent.as_str()));
        let begins = match start {
            Start::Earliest => Checkpoint::TrimHorizon,
            Start::At(_) => Checkpoint::AtTimestamp,
            Start::Latest if continues => Checkpoint::TrimHorizon,
            Start::Latest if !shard.closed => Checkpoint::Latest,
            Start::Latest => continue,
        };
        known.insert(shard.id.as_str());
        added.insert(shard.id.as_str(), begins);
        order.push(shard);
    }
    let lease = |shard: &&Shard| {
        let checkpoint = added.get(shard.id.as_str())?.clone();
        let since = match (&checkpoint, start) {
            (Checkpoint::Latest, _) => Some(now),
            (Checkpoint::AtTimestamp, Start::At(moment)) => Some(moment.timestamp_millis()),
            _ => None,
        };
        Some(Lease {
            shard: shard.id.to_string(),
            owner: None,
            leaving: None,
            counter: 0,
            checkpoint,
            since,
            switches: 0,
            state: None,
            before: None,
            parents: shard.parents.iter().map(ToString::to_string).collect(),
            children: shards
                .iter()
                .filter(|s| s.parents.contains(&shard.id))
                .map(|child| child.id.to_string())
                .collect(),
            hash_keys: shard.hash_keys.as_ref().map(|(first, last)| (first.to_string(), last.to_string())),
        })
    };
    order.iter().filter_map(lease).collect()
}

/// Parents before their children.
fn oldest_first(shards: &[Shard]) -> Vec<&Shard> {
    let mut rest: Vec<&Shard> = shards.iter().collect();
    let mut sorted: Vec<&Shard> = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let waits = |shard: &&Shard| shard.parents.iter().any(|parent| rest.iter().any(|other| other.id == *parent));
        let (later, now): (Vec<&Shard>, Vec<&Shard>) = rest.iter().partition(|shard| waits(shard));
        if now.is_empty() {
            // A ring of parents cannot be; were there one, nothing would be lost by any order.
            sorted.extend(later);
            break;
        }
        sorted.extend(now);
        rest = later;
    }
    sorted
}
