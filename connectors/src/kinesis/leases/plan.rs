//! Which leases to take, and which to ask for: decided over a snapshot of the table, without touching anything.
//!
//! | lease | what is done |
//! |---|---|
//! | read to its end | nothing |
//! | a parent is not read to its end | nothing |
//! | its owner is this daemon, which does not know of it: handed over to it, or kept from before a restart | taken |
//! | its holder kept this daemon's state: an earlier process of it under another name | taken |
//! | wished by this daemon; its owner is silent, or does not hand it over within three durations | taken |
//! | nobody's, or its owner is silent for a duration | taken up to the share; beyond it after one more duration |
//! | a child of what this daemon has just read to the end | taken, beyond the share too |
//! | another's, who has at least two more than this daemon, which is short of its share | wished, one at a time |
//!
//! The share is the number of leases by that of owners, rounded up. Silence is a counter that does not grow, by this
//! daemon's own monotonic clock: clocks of different machines are never compared.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::lease::{Change, Lease};

/// Durations after which the owner's leave is not waited for any more.
const PATIENCE: u32 = 3;

/// A lease, and how long it has been seen like this.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) lease: Lease,
    /// When its counter was first seen.
    pub(super) unchanged_since: Duration,
    /// When its owners were first seen.
    pub(super) owners_since: Duration,
}

/// What a plan is made from.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// This daemon.
    pub(super) me: &'a str,
    /// Its state.
    pub(super) state: Option<&'a str>,
    /// After how long a silent owner loses its lease.
    pub(super) duration: Duration,
    pub(super) table: &'a BTreeMap<String, Seen>,
    /// The shards that this daemon holds.
    pub(super) held: &'a BTreeSet<String>,
    /// Those that it will hold next.
    pub(super) expected: &'a BTreeSet<String>,
}

/// What to change in the table, `now`.
pub(super) fn plan(view: &View<'_>, now: Duration) -> Vec<Change> {
    let standings: BTreeMap<&str, Standing> =
        view.table.iter().map(|(s, seen)| (s.as_str(), view.of(seen, now))).collect();
    let of = |wanted: Standing| {
        let some = standings.iter().filter(move |(_, standing)| **standing == wanted);
        some.filter_map(|(shard, _)| view.table.get(*shard))
    };
    let mut changes: Vec<Change> = of(Standing::Due).map(|seen| seen.lease.taken(view.me, view.state)).collect();

    let mut loads: HashMap<&str, usize> = HashMap::from([(view.me, changes.len())]);
    for seen in [Standing::Ours, Standing::Wished, Standing::Others].into_iter().flat_map(of) {
        *loads.entry(seen.lease.owner.as_deref().unwrap_or(view.me)).or_default() += 1;
    }
    let free: Vec<&Seen> = view.in_own_order(of(Standing::Free).chain(of(Standing::Abandoned)));
    let share = (loads.values().sum::<usize>() + free.len()).div_ceil(loads.len());
    let mine = loads.get(view.me).copied().unwrap_or_default();
    let mut short = share.saturating_sub(mine);
    for seen in free {
        let abandoned = standings.get(seen.lease.shard.as_str()) == Some(&Standing::Abandoned);
        if short > 0 || abandoned || view.expected.contains(&seen.lease.shard) {
            changes.push(seen.lease.taken(view.me, view.state));
            short = short.saturating_sub(1);
        }
    }
    let wishes = of(Standing::Wished).next().is_some();
    if short > 0 && changes.is_empty() && !wishes {
        let most = loads.values().copied().max().unwrap_or_default();
        let heavy = |seen: &&Seen| seen.lease.owner.as_deref().and_then(|owner| loads.get(owner)) == Some(&most);
        if most >= mine + 2 {
            let one =
                view.in_own_order(of(Standing::Others).filter(heavy)).into_iter().find(|s| s.lease.leaving.is_none());
            changes.extend(one.map(|seen| seen.lease.wished(view.me)));
        }
    }
    changes
}

/// What a lease is to this daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Not to be read, or not yet.
    Closed,
    /// Held.
    Ours,
    /// To be taken whatever the share.
    Due,
    /// Its owner was asked for it.
    Wished,
    /// Nobody's.
    Free,
    /// Nobody's, and those who should have taken it have not.
    Abandoned,
    /// Held by another daemon, or about to be.
    Others,
}

impl View<'_> {
    fn of(&self, seen: &Seen, now: Duration) -> Standing {
        let lease = &seen.lease;
        let parent_open = |parent: &String| self.table.get(parent).is_some_and(|parent| !parent.lease.finished());
        if lease.finished() || lease.parents.iter().any(parent_open) {
            return Standing::Closed;
        }
        if self.held.contains(&lease.shard) {
            return Standing::Ours;
        }
        // Who has that state's right to write is this process: the one that held the lease can make nothing durable.
        if self.state.is_some() && lease.state.as_deref() == self.state {
            return Standing::Due;
        }
        let silent = now.saturating_sub(seen.unchanged_since);
        match (lease.owner.as_deref(), lease.leaving.as_deref()) {
            (Some(owner), None) if owner == self.me => Standing::Due,
            (Some(owner), Some(_)) if owner == self.me => {
                let waited = now.saturating_sub(seen.owners_since);
                let enough = silent >= self.duration || waited >= self.duration * PATIENCE;
                if enough { Standing::Due } else { Standing::Wished }
            }
            (owner, _) => {
                let free_after = if owner.is_some() { self.duration } else { Duration::ZERO };
                match silent.checked_sub(free_after) {
                    None => Standing::Others,
                    Some(free) if free < self.duration => Standing::Free,
                    Some(_) => Standing::Abandoned,
                }
            }
        }
    }

    /// Leases in an order of this daemon's own, so that several daemons seldom reach for the same one.
    fn in_own_order<'s>(&self, some: impl Iterator<Item = &'s Seen>) -> Vec<&'s Seen> {
        let mut some: Vec<&Seen> = some.collect();
        some.sort_by_cached_key(|seen| {
            let mut hasher = DefaultHasher::new();
            (self.me, &seen.lease.shard).hash(&mut hasher);
            (!self.expected.contains(&seen.lease.shard), hasher.finish())
        });
        some
    }
}
