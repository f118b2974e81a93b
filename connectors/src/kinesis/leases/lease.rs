//! One row of a lease table, in the shape that the Kinesis Client Library gave it, so that people's tools can read it.

use super::checkpoint::Checkpoint;

/// A lease on one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    /// `leaseKey`: the shard's id.
    pub(crate) shard: String,
    /// `leaseOwner`: who reads the shard, or is to read it next.
    pub(crate) owner: Option<String>,
    /// `checkpointOwner`: who still reads it while it is being handed over to `owner`.
    pub(crate) leaving: Option<String>,
    /// `leaseCounter`: grows with every sign of life.
    pub(crate) counter: u64,
    /// `checkpoint` and `checkpointSubSequenceNumber`.
    pub(crate) checkpoint: Checkpoint,
    /// `ownerSwitchesSinceCheckpoint`.
    pub(crate) switches: u64,
    /// `watershedState`, which is ours: the holder's state, which may know more than the checkpoint does.
    pub(crate) state: Option<String>,
    /// `watershedBefore`, which is ours: the state of the holder before, as long as the one now has not asked it.
    pub(crate) before: Option<String>,
    /// `parentShardId`.
    pub(crate) parents: Vec<String>,
    /// `childShardIds`.
    pub(crate) children: Vec<String>,
    /// `startingTimestamp`, which is ours: milliseconds since the Unix epoch at which the stream was first read, so that
    /// `LATEST` and `AT_TIMESTAMP` mean the same to whoever takes the lease.
    pub(crate) since: Option<i64>,
    /// `startingHashKey` and `endingHashKey`.
    pub(crate) hash_keys: Option<(String, String)>,
}

/// A lease as it must be found, and as it is to be. Whether it is found so is decided by the owners and the counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) from: Lease,
    pub(crate) to: Lease,
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The row is now as the change has it.
    Done,
    /// It was not found so. This is what it is; none if there is no such row.
    Refused(Option<Box<Lease>>),
    /// Nobody knows: there was no answer.
    Unknown,
}

impl Lease {
    /// Who may write the checkpoint now.
    pub(crate) fn holder(&self) -> Option<&str> {
        self.leaving.as_deref().or(self.owner.as_deref())
    }

    /// True if the shard was read to its end.
    pub(crate) fn finished(&self) -> bool {
        self.checkpoint == Checkpoint::ShardEnd
    }

    /// True if the row can't be told from `other` by a condition.
    pub(crate) fn stands_as(&self, other: &Self) -> bool {
        self.counter == other.counter && self.owner == other.owner && self.leaving == other.leaving
    }

    /// A sign of life, with what is durable by now.
    pub(crate) fn renewed(&self, durable: &Checkpoint) -> Change {
        let mut to = self.at(durable);
        to.counter += 1;
        Change { from: self.clone(), to }
    }

    /// Taken by `me`, who keeps `state`, whoever had it. Who has not asked the one before has read nothing: then it is the
    /// same one that is to be asked.
    pub(crate) fn taken(&self, me: &str, state: Option<&str>) -> Change {
        let mut to = self.clone();
        if self.holder().is_some_and(|holder| holder != me) {
            to.switches += 1;
        }
        let before = to.before.take().or_else(|| to.state.take());
        to.before = before.filter(|before| Some(before.as_str()) != state);
        to.state = state.map(str::to_string);
        to.owner = Some(me.to_string());
        to.leaving = None;
        to.counter += 1;
        Change { from: self.clone(), to }
    }

    /// Marked as wanted by `me`: its owner reads on until it has handed over.
    pub(crate) fn wished(&self, me: &str) -> Change {
        let mut to = self.clone();
        to.leaving = to.owner.replace(me.to_string());
        Change { from: self.clone(), to }
    }

    /// The wish taken back.
    pub(crate) fn unwished(&self) -> Change {
        let mut to = self.clone();
        to.owner = to.leaving.take();
        Change { from: self.clone(), to }
    }

    /// Let go of: to who wishes it, or to nobody. The checkpoint says all that there is to know.
    pub(crate) fn given(&self, durable: &Checkpoint) -> Change {
        let mut to = self.at(durable);
        to.counter += 1;
        to.state = None;
        match to.leaving.take() {
            Some(_) => to.switches += 1,
            None => to.owner = None,
        }
        Change { from: self.clone(), to }
    }

    fn at(&self, durable: &Checkpoint) -> Self {
        let mut to = self.clone();
        if *durable > self.checkpoint {
            to.checkpoint = durable.clone();
            to.switches = 0;
        }
        to
    }
}
