//! What one daemon knows of the leases, and which of them it may act upon.
//!
//! The one idea: a lease is believed in only for a duration after the last write that is known to have succeeded was
//! *sent*; others take it only when they have *seen* its counter stand still for as long, and only if it still does. So
//! no two daemons ever believe to hold one shard, however slow a clock, a network or a process is. There is no I/O here:
//! time and the answers of the table come in as arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::checkpoint::Checkpoint;
use super::lease::{Change, Lease, Outcome};
use super::plan::{Seen, View, plan};

/// One daemon's view.
#[derive(Debug)]
pub(super) struct Worker {
    me: String,
    /// The name of this daemon's state, where there is one to ask.
    state: Option<String>,
    duration: Duration,
    table: BTreeMap<String, Seen>,
    held: BTreeMap<String, Held>,
    /// Shards that somebody has held.
    begun: BTreeSet<String>,
    /// Shards that this run has read to their end, and those that an earlier one has.
    drained: BTreeSet<String>,
    drained_before: BTreeSet<String>,
    grants: u64,
    closing: bool,
}

/// What is left of a shard behind what is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Records that were handed out.
    More,
    /// None so far.
    Nothing,
    /// Nothing that its reader would ever hand out.
    Over,
}

/// A lease that is held.
#[derive(Debug)]
struct Held {
    /// Tells it from the same lease, held once before.
    grant: u64,
    lease: Lease,
    /// Until when it is believed in.
    until: Duration,
    durable: Checkpoint,
    /// True once a reader was given it.
    opened: bool,
    /// True if nobody here needs it any more.
    released: bool,
    /// True if this daemon's state may count what `durable` does not, now or in a while.
    unsettled: bool,
    /// True if the one that held it before was asked, or there is none to ask.
    asked: bool,
    /// When the first write was sent that no answer has come to since the last one.
    unanswered: Option<Duration>,
    /// True if it should be renewed before its time.
    hurry: bool,
}

/// What whoever opens a shard learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claim {
    /// It may be read from here.
    Held { grant: u64, checkpoint: Checkpoint, since: Option<i64> },
    /// It is on its way.
    Coming,
    /// Somebody else reads it.
    Elsewhere,
}

/// Who is to be asked for what the table does not know of a lease that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) shard: String,
    pub(super) grant: u64,
    /// The state of who held it before.
    pub(super) before: String,
}

/// A change to a lease that is held.
#[derive(Debug, Clone)]
pub(super) struct Renewal {
    grant: u64,
    pub(super) change: Change,
}

impl Renewal {
    /// True if the lease is let go of.
    pub(super) fn gives(&self) -> bool {
        self.change.to.holder() != self.change.from.holder()
    }
}

impl Worker {
    pub(super) fn new(me: &str, state: Option<&str>, duration: Duration) -> Self {
        Self {
            me: me.to_string(),
            state: state.map(str::to_string),
            duration,
            table: BTreeMap::new(),
            held: BTreeMap::new(),
            begun: BTreeSet::new(),
            drained: BTreeSet::new(),
            drained_before: BTreeSet::new(),
            grants: 0,
            closing: false,
        }
    }

    /// An earlier run has made durable all of `shard`.
    pub(super) fn remember_drained(&mut self, shard: &str) {
        self.drained_before.insert(shard.to_string());
    }

    /// Takes note of the whole table.
    pub(super) fn observe(&mut self, rows: Vec<Lease>, now: Duration) {
        let mut before = std::mem::take(&mut self.table);
        for lease in rows {
            let seen = before.remove(&lease.shard);
            self.note(seen, lease, now);
        }
    }

    /// Takes note of one row.
    pub(super) fn noted(&mut self, lease: Lease, now: Duration) {
        let seen = self.table.remove(&lease.shard);
        self.note(seen, lease, now);
    }

    fn note(&mut self, before: Option<Seen>, lease: Lease, now: Duration) {
        let same = |equal: fn(&Lease, &Lease) -> bool| before.as_ref().filter(|seen| equal(&seen.lease, &lease));
        let unchanged_since = same(Lease::stands_as).map_or(now, |seen| seen.unchanged_since);
        let owners = |a: &Lease, b: &Lease| a.owner == b.owner && a.leaving == b.leaving;
        let owners_since = same(owners).map_or(now, |seen| seen.owners_since);
        if lease.finished() || lease.owner.is_some() {
            self.begun.insert(lease.shard.clone());
        }
        self.table.insert(lease.shard.clone(), Seen { lease, unchanged_since, owners_since });
    }

    /// The rows as last seen.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Lease> {
        self.table.values().map(|seen| &seen.lease)
    }

    /// What to take and to wish for.
    pub(super) fn plan(&self, now: Duration) -> Vec<Change> {
        if self.closing {
            let wished = |lease: &&Lease| lease.owner.as_ref() == Some(&self.me) && lease.leaving.is_some();
            return self.rows().filter(wished).map(Lease::unwished).collect();
        }
        let (held, expected) = (self.held.keys().cloned().collect(), self.expected());
        let (me, state, duration) = (self.me.as_str(), self.state.as_deref(), self.duration);
        plan(&View { me, state, duration, table: &self.table, held: &held, expected: &expected }, now)
    }

    /// What came of a change that was planned and sent at `sent`.
    pub(super) fn planned(&mut self, change: &Change, outcome: Outcome, sent: Duration, now: Duration) {
        let row = match outcome {
            Outcome::Unknown => return,
            Outcome::Refused(None) => {
                self.table.remove(&change.to.shard);
                return;
            }
            Outcome::Refused(Some(row)) => return self.noted(*row, now),
            Outcome::Done => change.to.clone(),
        };
        self.noted(row.clone(), now);
        if row.holder() == Some(self.me.as_str()) {
            let own = |state: &Option<String>| state.is_some() && *state == self.state;
            self.hold(row, own(&change.from.state) || own(&change.from.before), sent);
        }
    }

    /// `unsettled`: it was this daemon's before, whose state may know more than the checkpoint.
    fn hold(&mut self, lease: Lease, unsettled: bool, sent: Duration) {
        self.grants += 1;
        let drained = self.drained_before.contains(&lease.shard);
        let held = Held {
            grant: self.grants,
            until: sent + self.duration,
            durable: if drained { Checkpoint::ShardEnd } else { lease.checkpoint.clone() },
            opened: false,
            released: drained,
            unsettled,
            asked: lease.before.is_none(),
            unanswered: None,
            hurry: false,
            lease,
        };
        tracing::info!(shard = held.lease.shard, checkpoint = %held.durable, "lease taken");
        self.held.insert(held.lease.shard.clone(), held);
    }

    /// The next sign of life of every lease that is held, or its return; where that is not `due`, only of those with
    /// something to tell. What is not believed in any more is dropped.
    pub(super) fn renewals(&mut self, due: bool, now: Duration) -> Vec<Renewal> {
        let (held, lost) = std::mem::take(&mut self.held).into_iter().partition(|(_, held)| held.until > now);
        self.held = held;
        for shard in BTreeMap::<String, Held>::into_keys(lost) {
            tracing::warn!(shard, "lease lost: it could not be renewed in time");
            self.lose(&shard);
        }
        let (me, closing) = (&self.me, self.closing);
        let renewal = |held: &mut Held| {
            let durable = &held.durable;
            let unread = held.lease.owner.as_ref() != Some(me) && !held.opened;
            let give = held.released || closing || unread;
            let hurry = std::mem::take(&mut held.hurry);
            let learned = held.asked && held.lease.before.is_some();
            if !due && !hurry && !give && !learned && *durable <= held.lease.checkpoint {
                return None;
            }
            let mut change = if give { held.lease.given(durable) } else { held.lease.renewed(durable) };
            if held.asked {
                change.to.before = None;
            }
            if held.unsettled && *durable != Checkpoint::ShardEnd {
                // Whoever comes next has to ask for the rest.
                change.to.state.clone_from(&held.lease.state);
            }
            Some(Renewal { grant: held.grant, change })
        };
        self.held.values_mut().filter_map(renewal).collect()
    }

    /// What came of a renewal that was sent at `sent`. True if it should be tried again at once.
    pub(super) fn renewed(&mut self, renewal: &Renewal, outcome: Outcome, sent: Duration, now: Duration) -> bool {
        let Renewal { grant, change } = renewal;
        let shard = &change.to.shard;
        let Some(held) = self.held.get_mut(shard).filter(|held| held.grant == *grant) else { return false };
        match outcome {
            Outcome::Unknown => {
                held.unanswered.get_or_insert(sent);
                return false;
            }
            Outcome::Refused(row) => return self.refused(shard, row.map(|row| *row), now),
            Outcome::Done => held.unanswered = None,
        }
        let row = change.to.clone();
        if row.holder() == Some(self.me.as_str()) {
            held.until = held.until.max(sent + self.duration);
            held.lease = row.clone();
        } else {
            tracing::info!(shard, checkpoint = %row.checkpoint, next = row.owner, "lease given up");
            self.held.remove(shard);
        }
        self.noted(row, now);
        false
    }

    /// The row of a lease that is held was not found as expected. True if the lease is held all the same: another daemon
    /// wishes it, or an earlier write was done, and only its answer was lost.
    fn refused(&mut self, shard: &str, row: Option<Lease>, now: Duration) -> bool {
        let Some(held) = self.held.get_mut(shard) else { return false };
        let Some(row) = row else {
            tracing::warn!(shard, "lease lost: its row is gone");
            self.table.remove(shard);
            self.lose(shard);
            return false;
        };
        let next = held.unanswered.filter(|_| row.counter == held.lease.counter + 1);
        let ours = row.holder() == Some(self.me.as_str()) && (row.counter == held.lease.counter || next.is_some());
        if ours {
            if let Some(sent) = next {
                held.until = held.until.max(sent + self.duration);
                held.unanswered = None;
            }
            held.hurry = true;
            held.lease = row.clone();
        } else {
            tracing::warn!(shard, owner = row.owner, "lease lost: another daemon has it");
            self.lose(shard);
        }
        self.noted(row, now);
        ours
    }

    fn lose(&mut self, shard: &str) {
        self.held.remove(shard);
        self.drained.remove(shard);
    }

    /// Those who are to be asked, of leases that are still believed in.
    pub(super) fn questions(&self, now: Duration) -> Vec<Question> {
        let question = |held: &Held| {
            let before = held.lease.before.clone().filter(|_| !held.asked && held.until > now)?;
            Some(Question { shard: held.lease.shard.clone(), grant: held.grant, before })
        };
        self.held.values().filter_map(question).collect()
    }

    /// What came of a question: up to where the one before has made durable what the table does not know of, if that could be
    /// learned. The lease is for a reader once the table knows it, too.
    pub(super) fn answered(&mut self, question: &Question, learned: Option<Checkpoint>) {
        let Some(held) = self.held.get_mut(&question.shard).filter(|held| held.grant == question.grant) else { return };
        held.asked = true;
        if let Some(further) = learned.filter(|learned| *learned > held.durable) {
            tracing::info!(shard = question.shard, checkpoint = %further, "learned from the state of who held it before");
            held.durable = further;
        }
        held.released |= held.durable == Checkpoint::ShardEnd;
    }

    /// Claims `shard` for a reader.
    pub(super) fn claim(&mut self, shard: &str, now: Duration) -> Claim {
        if let Some(held) = self.held.get_mut(shard) {
            if held.lease.leaving.is_some() || held.released || self.closing {
                return Claim::Elsewhere;
            }
            if held.until <= now || held.lease.before.is_some() {
                return Claim::Coming;
            }
            held.opened = true;
            let (checkpoint, since) = (held.durable.clone(), held.lease.since);
            return Claim::Held { grant: held.grant, checkpoint, since };
        }
        let coming = !self.closing && (self.wishes(shard) || self.expected().contains(shard));
        if coming { Claim::Coming } else { Claim::Elsewhere }
    }

    fn wishes(&self, shard: &str) -> bool {
        self.table.get(shard).is_some_and(|seen| seen.lease.owner.as_ref() == Some(&self.me) && !seen.lease.finished())
    }

    /// True if who was granted `shard` may read on.
    pub(super) fn may_read(&self, shard: &str, grant: u64, now: Duration) -> bool {
        let held = self.held.get(shard).filter(|held| held.grant == grant);
        held.is_some_and(|held| now < held.until && held.lease.leaving.is_none()) && !self.closing
    }

    /// A reader has handed out more than is durable.
    pub(super) fn handed_out(&mut self, shard: &str, grant: u64) {
        if let Some(held) = self.held.get_mut(shard).filter(|held| held.grant == grant) {
            held.unsettled = true;
        }
    }

    /// Everything up to `checkpoint` is durable; how much `then` is left. Too late, where the lease was lost.
    pub(super) fn durable(&mut self, shard: &str, grant: u64, checkpoint: Option<Checkpoint>, then: Then) {
        let Some(held) = self.held.get_mut(shard).filter(|held| held.grant == grant) else { return };
        held.unsettled = then == Then::More;
        if let Some(further) = checkpoint.filter(|checkpoint| *checkpoint > held.durable) {
            held.durable = further;
        }
        held.released |= then == Then::Over;
    }

    /// The reader of `shard` has seen its end: the children are this daemon's next.
    pub(super) fn drained(&mut self, shard: &str, grant: u64) {
        if self.held.get(shard).is_some_and(|held| held.grant == grant) {
            self.drained.insert(shard.to_string());
        }
    }

    /// Children of what was read to its end here, which nobody has held yet: they are on the clock already, and taken as
    /// soon as they may be.
    fn expected(&self) -> BTreeSet<String> {
        let over = |parent: &String| {
            self.drained.contains(parent) || self.table.get(parent).is_none_or(|seen| seen.lease.finished())
        };
        let expected = |lease: &&Lease| {
            let ours = lease.parents.iter().any(|parent| self.drained.contains(parent));
            ours && lease.parents.iter().all(over) && !self.begun.contains(&lease.shard)
        };
        self.rows().filter(expected).map(|lease| lease.shard.clone()).collect()
    }

    /// The shards that are to be read here, those included that are on their way.
    pub(super) fn shards(&self, now: Duration) -> BTreeSet<String> {
        if self.closing {
            return BTreeSet::new();
        }
        let readable = |held: &&Held| !held.released && held.lease.leaving.is_none() && held.until > now;
        let held = self.held.values().filter(readable).map(|held| held.lease.shard.clone());
        let wished = |lease: &&Lease| !self.held.contains_key(&lease.shard) && self.wishes(&lease.shard);
        let coming = self.rows().filter(wished).map(|lease| lease.shard.clone());
        held.chain(coming).chain(self.expected()).collect()
    }

    /// From now on leases are only given back.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// True while something is left to give back.
    pub(super) fn holds_any(&self) -> bool {
        !self.held.is_empty() || !self.plan(Duration::ZERO).is_empty()
    }
}
