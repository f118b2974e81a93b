//! Where the partitions stand, as the brokers' answers say: their ends, and whether there are answers at all.
//!
//! The one idea: librdkafka's statistics are the one place where it tells, each second, the end of each partition, the place up
//! to which it was read with nothing found, and when each broker was last heard.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::settings::STATISTICS;

/// A partition whose broker has been silent for longer than this is not known to be caught up: three times the time between
/// two statistics, and far more than that between two answers.
pub(super) const SILENCE: Duration = Duration::from_secs(3 * STATISTICS.as_secs());

/// What is known of one partition.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    /// The end of what can be read now: the high watermark, or the last stable offset.
    pub(super) end: Option<i64>,
    /// Everything before it was fetched or left out for good, and this was the end at that time.
    pub(super) drained: Option<i64>,
    /// When all this was so, at the earliest.
    pub(super) told: Option<Instant>,
    /// When the partition's broker was last heard, at the earliest.
    pub(super) heard: Option<Instant>,
    /// All that the partition held then has come: its leader was asked for more since, and has answered.
    pub(super) searched: Option<Instant>,
    /// Which broker is asked for the partition, and since when, at the latest.
    asked: Option<(i32, Instant)>,
    /// A message came that nobody could be given: the reader must begin again where it stands.
    pub(super) strayed: bool,
}

/// One partition as its reader sees it.
#[derive(Debug, Default)]
pub(super) struct Cell(Mutex<Standing>);

/// All partitions that are read by one client.
#[derive(Debug)]
pub(super) struct Progress {
    /// When the client began, at the latest.
    born: Instant,
    cells: Mutex<HashMap<String, HashMap<i32, Arc<Cell>>>>,
    /// By the broker's number.
    fetches: Mutex<HashMap<i32, Fetches>>,
}

/// How often a broker has been asked for messages, as of earlier statistics: one at a time, so whoever is asked twice has
/// answered once. Of the present connection only.
#[derive(Debug, Default)]
struct Fetches {
    disconnects: u64,
    /// When, and how many there were.
    looks: VecDeque<(Instant, u64)>,
}

/// The part of librdkafka's statistics that is looked at.
#[derive(Deserialize)]
struct Statistics<'s> {
    /// Microseconds since the client began.
    age: u64,
    #[serde(borrow)]
    brokers: HashMap<&'s str, Broker<'s>>,
    #[serde(borrow)]
    topics: HashMap<&'s str, Topic<'s>>,
}

#[derive(Deserialize)]
struct Broker<'s> {
    nodeid: i32,
    state: &'s str,
    /// Microseconds since something came from it; -1 if nothing ever did.
    #[serde(default)]
    rxidle: i64,
    #[serde(default)]
    disconnects: u64,
    #[serde(default)]
    req: Requests,
}

/// Requests that were sent to a broker since the client began.
#[derive(Deserialize, Default)]
struct Requests {
    #[serde(default, rename = "Fetch")]
    fetches: u64,
}

#[derive(Deserialize)]
struct Topic<'s> {
    #[serde(borrow)]
    partitions: HashMap<&'s str, Partition<'s>>,
}

#[derive(Deserialize)]
struct Partition<'s> {
    broker: i32,
    fetch_state: &'s str,
    eof_offset: i64,
    ls_offset: i64,
    hi_offset: i64,
}

impl Cell {
    pub(super) fn get(&self) -> Standing {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        // Nobody panics while holding the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Before the client is made.
    pub(super) fn new() -> Self {
        Self { born: Instant::now(), cells: Mutex::default(), fetches: Mutex::default() }
    }

    /// Begins to watch a partition, afresh.
    pub(super) fn watch(&self, topic: &str, partition: i32) -> Arc<Cell> {
        let cell = Arc::new(Cell::default());
        self.lock().entry(topic.to_owned()).or_default().insert(partition, cell.clone());
        cell
    }

    /// Ends it.
    pub(super) fn forget(&self, topic: &str, partition: i32, cell: &Arc<Cell>) {
        let mut cells = self.lock();
        let Some(partitions) = cells.get_mut(topic) else { return };
        if partitions.get(&partition).is_some_and(|held| Arc::ptr_eq(held, cell)) {
            partitions.remove(&partition);
        }
        if partitions.is_empty() {
            cells.remove(topic);
        }
    }

    /// A message of this partition came where no reader looks.
    pub(super) fn strayed(&self, topic: &str, partition: i32) {
        if let Some(cell) = self.lock().get(topic).and_then(|partitions| partitions.get(&partition)) {
            cell.lock().strayed = true;
        }
    }

    /// Takes in statistics. True if every partition that is watched has been heard of lately; none if the text is not
    /// statistics, or nothing is watched.
    pub(super) fn update(&self, statistics: &[u8]) -> Option<bool> {
        let statistics: Statistics<'_> = serde_json::from_slice(statistics).ok()?;
        let now = self.born + Duration::from_micros(statistics.age);
        let heard: HashMap<i32, Instant> = statistics
            .brokers
            .values()
            .filter(|broker| broker.state == "UP" && broker.rxidle >= 0)
            .filter_map(|broker| {
                Some((broker.nodeid, now.checked_sub(Duration::from_micros(broker.rxidle.unsigned_abs()))?))
            })
            .collect();
        let searched = self.searched(&statistics, now);
        let cells = self.lock();
        let mut watched = 0;
        let mut answered = 0;
        for (topic, partitions) in cells.iter() {
            let told = statistics.topics.get(topic.as_str());
            for (number, cell) in partitions {
                watched += 1;
                let partition = told.and_then(|topic| topic.partitions.get(number.to_string().as_str()));
                let Some(partition) = partition else { continue };
                let heard = heard.get(&partition.broker).filter(|_| partition.fetch_state == "active");
                answered += usize::from(heard.is_some_and(|heard| now.duration_since(*heard) < SILENCE));
                cell.lock().update(partition, now, heard.copied(), searched.get(&partition.broker).copied());
            }
        }
        (watched > 0).then_some(answered == watched)
    }

    /// Since when each broker has answered a fetch, by its number; at the earliest.
    fn searched(&self, statistics: &Statistics<'_>, now: Instant) -> HashMap<i32, Instant> {
        // Nobody panics while holding the lock.
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        let mut searched = HashMap::new();
        for broker in statistics.brokers.values().filter(|broker| broker.nodeid >= 0) {
            let fetches = fetches.entry(broker.nodeid).or_default();
            if broker.state == "UP" {
                searched.extend(fetches.look(broker, now).map(|at| (broker.nodeid, at)));
            } else {
                fetches.looks.clear();
            }
        }
        searched
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<i32, Arc<Cell>>>> {
        // Nobody panics while holding the lock.
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fetches {
    /// Takes note of the broker's counters; gives the latest look after which it was asked, and has answered.
    fn look(&mut self, broker: &Broker<'_>, now: Instant) -> Option<Instant> {
        if std::mem::replace(&mut self.disconnects, broker.disconnects) != broker.disconnects {
            self.looks.clear();
        }
        self.looks.push_back((now, broker.req.fetches));
        let answered = |look: &(Instant, u64)| look.1 + 2 <= broker.req.fetches;
        while self.looks.get(1).is_some_and(answered) {
            self.looks.pop_front();
        }
        self.looks.front().filter(|look| answered(look)).map(|look| look.0)
    }
}

impl Standing {
    fn update(&mut self, partition: &Partition<'_>, now: Instant, heard: Option<Instant>, searched: Option<Instant>) {
        let known = |offset: i64| (offset >= 0).then_some(offset);
        self.end = known(partition.ls_offset).or(known(partition.hi_offset)).or(self.end);
        self.drained = known(partition.eof_offset);
        self.told = Some(now);
        self.heard = heard.or(self.heard);
        if partition.fetch_state != "active" {
            self.asked = None;
        } else if self.asked.is_none_or(|(broker, _)| broker != partition.broker) {
            self.asked = Some((partition.broker, now));
        }
        let asked = self.asked.map(|(_, since)| since);
        self.searched = searched.filter(|searched| asked.is_some_and(|since| since <= *searched)).or(self.searched);
    }
}
