//! Which sessions are open, and what has changed of that since the last checkpoint.
//!
//! Rows name their session by number. When two sessions become one, the number of the one that goes stands for the other
//! from then on (`joined`), for as long as rows may name it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::{HashMap, HashSet};

/// A run of events of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) key: Box<[u8]>,
    /// First event.
    pub(super) start: i64,
    /// Last event plus the gap.
    pub(super) end: i64,
    /// Generation of the rows' table in which it last took a row.
    touched: u32,
    /// True if a checkpoint has told of it.
    logged: bool,
    /// True if it stands among the changes.
    changed: bool,
}

/// What a checkpoint has to tell: kept only once there was one.
#[derive(Debug, Default)]
struct Changes {
    /// Sessions that began, grew or became part of another.
    changed: Vec<u64>,
    /// Numbers that mean nothing any more.
    gone: Vec<u64>,
}

/// What has changed since the last checkpoint.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Delta {
    /// Sessions that began or grew, by number.
    pub(super) open: Vec<u64>,
    /// Sessions that became part of another, and which.
    pub(super) joined: Vec<(u64, u64)>,
    /// Numbers that mean nothing any more.
    pub(super) gone: Vec<u64>,
}

impl Delta {
    /// Number of changes.
    pub(super) fn len(&self) -> usize {
        self.open.len() + self.joined.len() + self.gone.len()
    }
}

/// Sessions that have ended, taken out of the open ones.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) sessions: HashMap<u64, Session>,
    /// Every number by which rows name these sessions, ascending.
    pub(super) numbers: Vec<u64>,
    /// Numbers among them that stand for another session.
    pub(super) joined: HashMap<u64, u64>,
}

impl Ended {
    /// True if one of them took a row in `generation`.
    pub(super) fn touched(&self, generation: u32) -> bool {
        self.sessions.values().any(|session| session.touched == generation)
    }
}

/// The open sessions.
#[derive(Debug)]
pub(super) struct OpenSessions {
    gap: i64,
    lateness: i64,
    /// By key, ascending.
    by_key: HashMap<Vec<u8>, Vec<u64>>,
    open: HashMap<u64, Session>,
    /// Sessions that became part of another, each straight under the one that is open.
    joined: HashMap<u64, u64>,
    /// The same the other way round.
    members: HashMap<u64, Vec<u64>>,
    /// When to look at a session again: an end it had once. It may have grown since.
    due: BinaryHeap<Reverse<(i64, u64)>>,
    next: u64,
    generation: u32,
    changes: Option<Changes>,
}

impl OpenSessions {
    pub(super) fn new(gap: i64, lateness: i64) -> Self {
        Self {
            gap,
            lateness,
            by_key: HashMap::new(),
            open: HashMap::new(),
            joined: HashMap::new(),
            members: HashMap::new(),
            due: BinaryHeap::new(),
            next: 0,
            generation: 0,
            changes: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn get(&self, number: u64) -> Option<&Session> {
        self.open.get(&number)
    }

    /// The table that rows go into from now on.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Says that rows go into a fresh table. Going round does no harm: a table is frozen in vain.
    pub(super) fn next_generation(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// The open session that a number stands for.
    pub(super) fn root(&self, number: u64) -> Option<u64> {
        match self.open.contains_key(&number) {
            true => Some(number),
            false => self.joined.get(&number).copied(),
        }
    }

    /// Sessions that became part of another: how many.
    pub(super) fn joined(&self) -> usize {
        self.joined.len()
    }

    /// The session of a row, or none if that session has closed.
    pub(super) fn assign(&mut self, key: &[u8], time: i64, watermark: i64) -> Option<u64> {
        let reach = time.saturating_add(self.gap);
        let (mut start, mut end) = (time, reach);
        let mut met = None;
        let mut others = Vec::new();
        for number in self.by_key.get(key).into_iter().flatten() {
            let Some(session) = self.open.get(number) else { continue };
            let closed = session.end.saturating_add(self.lateness) <= watermark;
            if closed || session.start >= reach || time >= session.end {
                continue;
            }
            start = start.min(session.start);
            end = end.max(session.end);
            match met {
                None => met = Some(*number),
                Some(_) => others.push(*number),
            }
        }
        if end.saturating_add(self.lateness) <= watermark {
            return None;
        }
        let Some(number) = met else { return Some(self.begin(key, start, end)) };
        if !others.is_empty() {
            self.join(key, number, &others);
        }
        if let Some(session) = self.open.get_mut(&number) {
            session.touched = self.generation;
            if (session.start, session.end) != (start, end) {
                (session.start, session.end) = (start, end);
                if let Some(changes) = &mut self.changes
                    && !std::mem::replace(&mut session.changed, true)
                {
                    changes.changed.push(number);
                }
            }
        }
        Some(number)
    }

    fn begin(&mut self, key: &[u8], start: i64, end: i64) -> u64 {
        let number = self.next;
        self.next += 1;
        let changed = self.changes.is_some();
        if let Some(changes) = &mut self.changes {
            changes.changed.push(number);
        }
        let session = Session { key: key.into(), start, end, touched: self.generation, logged: false, changed };
        self.insert(number, session);
        number
    }

    fn insert(&mut self, number: u64, session: Session) {
        self.by_key.entry_ref(&*session.key).or_default().push(number);
        self.due.push(Reverse((session.end, number)));
        self.open.insert(number, session);
    }

    /// Makes `others` part of `number`; all are of one key.
    fn join(&mut self, key: &[u8], number: u64, others: &[u64]) {
        for &other in others {
            let Some(session) = self.open.remove(&other) else { continue };
            let mut numbers = self.members.remove(&other).unwrap_or_default();
            numbers.push(other);
            self.joined.extend(numbers.iter().map(|&joined| (joined, number)));
            if let Some(changes) = &mut self.changes {
                let told = numbers.iter().filter(|&&joined| joined != other || !session.changed);
                changes.changed.extend(told);
            }
            self.members.entry(number).or_default().extend(numbers);
        }
        if let Some(ids) = self.by_key.get_mut(key) {
            ids.retain(|id| !others.contains(id));
        }
    }

    /// True if a session may have ended by `through`.
    pub(super) fn may_end(&self, through: i64) -> bool {
        self.due.peek().is_some_and(|Reverse((end, _))| end.saturating_add(self.lateness) <= through)
    }

    /// Takes the sessions that have ended by `through` out of the open ones.
    pub(super) fn take_ended(&mut self, through: i64) -> Ended {
        let mut ended = Ended::default();
        let mut grown: HashSet<u64> = HashSet::new();
        while let Some(&Reverse((end, number))) = self.due.peek() {
            if end.saturating_add(self.lateness) > through {
                break;
            }
            self.due.pop();
            let Some(session) = self.open.get(&number) else { continue };
            if session.end.saturating_add(self.lateness) > through {
                if grown.insert(number) {
                    self.due.push(Reverse((session.end, number)));
                }
                continue;
            }
            if let Some(session) = self.open.remove(&number) {
                self.forget(number, &session, &mut ended);
                ended.sessions.insert(number, session);
            }
        }
        ended.numbers.sort_unstable();
        ended
    }

    /// Drops what is known of a session that is not open any more.
    fn forget(&mut self, number: u64, session: &Session, ended: &mut Ended) {
        if let Some(ids) = self.by_key.get_mut(&*session.key) {
            ids.retain(|open| *open != number);
            if ids.is_empty() {
                self.by_key.remove(&*session.key);
            }
        }
        let members = self.members.remove(&number).unwrap_or_default();
        for member in &members {
            self.joined.remove(member);
            ended.joined.insert(*member, number);
        }
        if let Some(changes) = &mut self.changes {
            changes.gone.extend(session.logged.then_some(number));
            changes.gone.extend(&members);
        }
        ended.numbers.push(number);
        ended.numbers.extend(members);
    }

    /// Drops joined numbers that no row names.
    pub(super) fn prune_joined(&mut self, named: impl Fn(u64) -> bool) {
        let changes = &mut self.changes;
        self.joined.retain(|&number, _| {
            let keep = named(number);
            if !keep && let Some(changes) = changes {
                changes.gone.push(number);
            }
            keep
        });
        self.members.retain(|_, members| {
            members.retain(|member| self.joined.contains_key(member));
            !members.is_empty()
        });
    }

    /// What has changed since the last checkpoint; none if there was none, so that all there is must be told.
    pub(super) fn take_delta(&mut self) -> Option<Delta> {
        let Changes { changed, gone } = std::mem::take(self.changes.as_mut()?);
        let mut delta = Delta { gone, ..Delta::default() };
        for number in changed {
            match (self.open.get_mut(&number), self.joined.get(&number)) {
                (Some(session), _) => {
                    session.changed = false;
                    session.logged = true;
                    delta.open.push(number);
                }
                (None, Some(&into)) => delta.joined.push((number, into)),
                // It closed; if it had been told of, it is among those that are gone.
                (None, None) => {}
            }
        }
        delta.joined.sort_unstable();
        delta.joined.dedup();
        Some(delta)
    }

    /// All there is. What changes from now on is kept for the next checkpoint.
    pub(super) fn snapshot(&mut self) -> Delta {
        self.changes = Some(Changes::default());
        for session in self.open.values_mut() {
            session.changed = false;
            session.logged = true;
        }
        let mut delta = Delta {
            open: self.open.keys().copied().collect(),
            joined: self.joined.iter().map(|(&number, &into)| (number, into)).collect(),
            gone: Vec::new(),
        };
        delta.open.sort_unstable();
        delta.joined.sort_unstable();
        delta
    }

    /// Fills an empty set with what a log told.
    pub(super) fn restore(&mut self, next: u64, told: Told) {
        self.next = next;
        self.changes = Some(Changes::default());
        let mut open: Vec<(u64, Session)> = told.open.into_iter().collect();
        // Sessions of one key stand in the order in which they began.
        open.sort_unstable_by_key(|(number, _)| *number);
        open.into_iter().for_each(|(number, session)| self.insert(number, session));
        for (number, into) in told.joined {
            self.joined.insert(number, into);
            self.members.entry(into).or_default().push(number);
        }
    }
}

/// What the blocks of a log have told, one after the other.
#[derive(Debug, Default)]
pub(super) struct Told {
    open: HashMap<u64, Session>,
    joined: HashMap<u64, u64>,
}

impl Told {
    /// A session began or grew.
    pub(super) fn open(&mut self, number: u64, key: &[u8], start: i64, end: i64) {
        // Its rows are in blocks: no table holds any, whatever generation that is.
        let session = Session { key: key.into(), start, end, touched: u32::MAX, logged: true, changed: false };
        self.open.insert(number, session);
    }

    /// A session became part of another.
    pub(super) fn joined(&mut self, number: u64, into: u64) {
        self.open.remove(&number);
        self.joined.insert(number, into);
    }

    /// A number means nothing any more.
    pub(super) fn gone(&mut self, number: u64) {
        self.open.remove(&number);
        self.joined.remove(&number);
    }

    /// The first number that stands for a session that is not open: a log that is whole has none.
    pub(super) fn dangling(&self) -> Option<(u64, u64)> {
        self.joined.iter().find(|&(_, into)| !self.open.contains_key(into)).map(|(&number, &into)| (number, into))
    }
}

/// Open sessions in order: number, key, start, end; the numbers of each key; joined numbers.
#[cfg(test)]
pub(super) type Outline = (Vec<(u64, Box<[u8]>, i64, i64)>, Vec<(Vec<u8>, Vec<u64>)>, Vec<(u64, u64)>);

#[cfg(test)]
impl OpenSessions {
    /// All that decides what becomes of a row.
    pub(super) fn outline(&self) -> Outline {
        let open = self.open.iter().map(|(&number, session)| (number, session.key.clone(), session.start, session.end));
        let (mut open, mut keys): (Vec<_>, Vec<_>) =
            (open.collect(), self.by_key.iter().map(|(key, numbers)| (key.clone(), numbers.clone())).collect());
        let mut joined: Vec<(u64, u64)> = self.joined.iter().map(|(&number, &into)| (number, into)).collect();
        open.sort();
        keys.sort();
        joined.sort_unstable();
        (open, keys, joined)
    }
}
