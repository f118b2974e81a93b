//! Sixteen daemons over one table, each decided by its seed: who is slow, whose answers are lost, who is stopped for a while,
//! who dies. No two ever believe to hold one shard; nothing is left unread; and where nothing breaks, nothing is read twice.
//!
//! `SEED=n` runs one seed again; `SEEDS=n` runs so many.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::checkpoint::Checkpoint;
use super::super::lease::{Change, Lease, Outcome};
use super::super::worker::{Claim, Renewal, Worker};
use super::{after, apply, lease};

const SEEDS: u64 = 15;
const WORKERS: usize = 16;
const DURATION: u64 = 10_000;
/// Milliseconds after which nothing breaks any more, and after which it must have settled.
const CALM: u64 = 150_000;
const END: u64 = 400_000;

/// One daemon.
struct Node {
    worker: Worker,
    /// Its clock is ahead of the world's by this.
    ahead: u64,
    /// It does nothing before this.
    stopped_until: u64,
    readers: BTreeMap<String, Reading>,
    /// Renewals without an answer, and whether another round is wanted when there is none.
    in_flight: usize,
    again: bool,
}

/// A reader of a shard.
struct Reading {
    grant: u64,
    begun: u64,
    at: u64,
    left: bool,
}

enum Sent {
    Renewal(Renewal),
    Planned(Change),
}

enum Event {
    Renew(usize),
    Look(usize),
    /// A write reaches the table.
    Arrive {
        node: usize,
        sent: Sent,
        at: u64,
        answered: bool,
    },
    /// An answer reaches the daemon; none after a time-out.
    Answer {
        node: usize,
        sent: Sent,
        at: u64,
        outcome: Outcome,
    },
    Rows {
        node: usize,
        rows: Vec<Lease>,
    },
    Read(usize),
    Epoch(usize),
}

struct Simulation {
    random: SmallRng,
    breaks: bool,
    now: u64,
    number: u64,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    what: BTreeMap<u64, Event>,
    table: BTreeMap<String, Lease>,
    nodes: Vec<Option<Node>>,
    /// What was read: per shard, from and to.
    read: Vec<(String, u64, u64)>,
    seed: u64,
}

impl Simulation {
    fn new(seed: u64, breaks: bool) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let shards = random.random_range(1..40);
        let table = (0..shards).map(|n| format!("s{n:02}")).map(|shard| (shard.clone(), lease(&shard))).collect();
        let mut simulation = Self {
            random,
            breaks,
            now: 0,
            number: 0,
            events: BinaryHeap::new(),
            what: BTreeMap::new(),
            table,
            nodes: Vec::new(),
            read: Vec::new(),
            seed,
        };
        for _ in 0..WORKERS {
            simulation.begin();
        }
        simulation
    }

    fn begin(&mut self) {
        let node = self.nodes.len();
        let ahead = self.random.random_range(0..1_000_000);
        let worker = Worker::new(&format!("w{node}"), Duration::from_millis(DURATION));
        self.nodes.push(Some(Node {
            worker,
            ahead,
            stopped_until: 0,
            readers: BTreeMap::new(),
            in_flight: 0,
            again: false,
        }));
        let begins = self.random.random_range(0..20_000);
        for event in [Event::Look(node), Event::Renew(node), Event::Read(node), Event::Epoch(node)] {
            self.after(begins, event);
        }
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.number += 1;
        self.events.push(Reverse((self.now + delay, self.number)));
        self.what.insert(self.number, event);
    }

    fn faulty(&self) -> bool {
        self.breaks && self.now < CALM
    }

    fn run(mut self) {
        while let Some(Reverse((at, number))) = self.events.pop() {
            self.now = at;
            if at >= END {
                break;
            }
            let event = self.what.remove(&number).unwrap();
            let node = match &event {
                Event::Renew(node) | Event::Look(node) | Event::Read(node) | Event::Epoch(node) => Some(*node),
                Event::Answer { node, .. } | Event::Rows { node, .. } => Some(*node),
                Event::Arrive { .. } => None,
            };
            if let Some(node) = node {
                let Some(alive) = &self.nodes[node] else { continue };
                if alive.stopped_until > at {
                    self.after(alive.stopped_until - at, event);
                    continue;
                }
            }
            let telling = matches!(event, Event::Read(_) | Event::Answer { .. });
            self.happen(event);
            if telling {
                self.nobody_believes_what_another_does();
            }
            if self.faulty() && self.random.random_bool(0.0003) {
                self.disturb();
            }
        }
        self.judge();
    }

    fn disturb(&mut self) {
        let chosen = self.random.random_range(0..self.nodes.len());
        let stop = self.random.random_range(100..30_000);
        let kill = self.random.random_bool(0.3);
        match &mut self.nodes[chosen] {
            Some(node) if kill => {
                // What it has read and not made durable is read again by others.
                let open = std::mem::take(&mut node.readers).into_iter();
                self.read.extend(open.map(|(shard, reading)| (shard, reading.begun, reading.at)));
                self.nodes[chosen] = None;
                self.begin();
            }
            Some(node) => node.stopped_until = self.now + stop,
            None => {}
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Renew(node) => {
                if self.node(node).in_flight > 0 {
                    return self.after(10, Event::Renew(node));
                }
                let due = self.random.random_bool(0.8);
                self.renew(node, due);
                self.after(if due { DURATION / 3 } else { 200 }, Event::Renew(node));
            }
            Event::Look(node) => {
                if !self.faulty() || self.random.random_bool(0.9) {
                    let rows = self.table.values().cloned().collect();
                    let delay = self.delay();
                    self.after(delay, Event::Rows { node, rows });
                } else {
                    self.after(DURATION / 3, Event::Look(node));
                }
            }
            Event::Rows { node, rows } => {
                let local = self.local(node);
                self.node(node).worker.observe(rows, local);
                let changes = self.node(node).worker.plan(local);
                changes.into_iter().for_each(|change| self.send(node, Sent::Planned(change)));
                let pause = self.random.random_range(DURATION / 4..DURATION / 3);
                self.after(pause, Event::Look(node));
            }
            Event::Arrive { node, sent, at, answered } => {
                let change = match &sent {
                    Sent::Renewal(renewal) => &renewal.change,
                    Sent::Planned(change) => change,
                };
                let outcome = apply(self.table.get_mut(&change.to.shard).unwrap(), change);
                if answered {
                    let delay = self.delay();
                    self.after(delay, Event::Answer { node, sent, at, outcome });
                }
            }
            Event::Answer { node, sent, at, outcome } => {
                let local = self.local(node);
                let part = self.node(node);
                match sent {
                    Sent::Planned(change) => part.worker.planned(&change, outcome, Duration::from_millis(at), local),
                    Sent::Renewal(renewal) => {
                        part.in_flight -= 1;
                        part.again |= part.worker.renewed(&renewal, outcome, Duration::from_millis(at), local);
                        if part.in_flight == 0 && std::mem::take(&mut part.again) {
                            self.renew(node, false);
                        }
                    }
                }
            }
            Event::Read(node) => {
                self.read(node);
                self.after(500, Event::Read(node));
            }
            Event::Epoch(node) => {
                let Node { worker, readers, .. } = self.node(node);
                for (shard, reading) in readers.iter() {
                    worker.durable(shard, reading.grant, Some(after(reading.at, 0)), reading.left);
                }
                let (left, kept) = std::mem::take(readers).into_iter().partition(|(_, reading)| reading.left);
                *readers = kept;
                let left: BTreeMap<String, Reading> = left;
                self.read.extend(left.into_iter().map(|(shard, reading)| (shard, reading.begun, reading.at)));
                self.after(5_000, Event::Epoch(node));
            }
        }
    }

    fn renew(&mut self, node: usize, due: bool) {
        let local = self.local(node);
        let renewals = self.node(node).worker.renewals(due, local);
        self.node(node).in_flight += renewals.len();
        renewals.into_iter().for_each(|renewal| self.send(node, Sent::Renewal(renewal)));
    }

    /// Sends a write; it may be slow, come late, or never.
    fn send(&mut self, node: usize, sent: Sent) {
        let at = self.local(node).as_millis() as u64;
        let delay = self.delay();
        if !self.faulty() || self.random.random_bool(0.95) {
            return self.after(delay, Event::Arrive { node, sent, at, answered: true });
        }
        let copy = match &sent {
            Sent::Renewal(renewal) => Sent::Renewal(renewal.clone()),
            Sent::Planned(change) => Sent::Planned(change.clone()),
        };
        self.after(DURATION / 3, Event::Answer { node, sent, at, outcome: Outcome::Unknown });
        if self.random.random_bool(0.7) {
            let late = self.random.random_range(0..6_000);
            self.after(late, Event::Arrive { node, sent: copy, at, answered: false });
        }
    }

    fn read(&mut self, number: usize) {
        let local = self.local(number);
        let more = self.random.random_range(0..20);
        let node = self.node(number);
        for shard in node.worker.shards(local) {
            if node.readers.contains_key(&shard) {
                continue;
            }
            if let Claim::Held { grant, checkpoint, .. } = node.worker.claim(&shard, local) {
                let begun = match checkpoint {
                    Checkpoint::After { sequence, .. } => sequence.as_str().parse().unwrap(),
                    _ => 0,
                };
                node.readers.insert(shard, Reading { grant, begun, at: begun, left: false });
            }
        }
        for (shard, reading) in &mut node.readers {
            if node.worker.may_read(shard, reading.grant, local) && !reading.left {
                reading.at += more;
            } else {
                reading.left = true;
            }
        }
    }

    fn nobody_believes_what_another_does(&self) {
        let mut believers: BTreeMap<&str, usize> = BTreeMap::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            let local = Duration::from_millis(self.now + node.ahead);
            for (shard, reading) in &node.readers {
                if !reading.left && node.worker.may_read(shard, reading.grant, local) {
                    let other = believers.insert(shard, number);
                    assert_eq!(other, None, "seed {}: at {} {shard} is read by {number} too", self.seed, self.now);
                }
            }
        }
    }

    fn judge(mut self) {
        let seed = self.seed;
        let end = self.now;
        let mut loads: Vec<usize> = Vec::new();
        for node in self.nodes.iter_mut().flatten() {
            let local = Duration::from_millis(end + node.ahead);
            let reading = node.readers.iter().filter(|(s, r)| node.worker.may_read(s, r.grant, local)).count();
            loads.push(reading);
            let open = std::mem::take(&mut node.readers).into_iter();
            self.read.extend(open.map(|(shard, reading)| (shard, reading.begun, reading.at)));
        }
        assert_eq!(loads.iter().sum::<usize>(), self.table.len(), "seed {seed}: not every shard is read: {loads:?}");
        let (most, least) = (loads.iter().max().unwrap(), loads.iter().min().unwrap());
        assert!(most - least <= 1, "seed {seed}: the load is uneven: {loads:?}");
        for shard in self.table.keys() {
            let mut spans: Vec<(u64, u64)> =
                self.read.iter().filter(|(name, ..)| name == shard).map(|(_, from, to)| (*from, *to)).collect();
            spans.sort_unstable();
            let mut reached = 0;
            for (from, to) in spans {
                assert!(from <= reached, "seed {seed}: {shard} was not read from {reached} to {from}");
                assert!(self.breaks || from == reached, "seed {seed}: {shard} was read twice from {from} to {reached}");
                reached = reached.max(to);
            }
        }
    }

    fn delay(&mut self) -> u64 {
        if self.faulty() && self.random.random_bool(0.02) {
            return self.random.random_range(100..3_000);
        }
        self.random.random_range(1..60)
    }

    fn node(&mut self, number: usize) -> &mut Node {
        self.nodes[number].as_mut().expect("the dead do nothing")
    }

    fn local(&self, number: usize) -> Duration {
        let ahead = self.nodes[number].as_ref().map_or(0, |node| node.ahead);
        Duration::from_millis(self.now + ahead)
    }
}

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

#[test]
fn nothing_is_read_by_two_at_once_or_left_unread() {
    seeds().into_iter().for_each(|seed| Simulation::new(seed, true).run());
}

#[test]
fn where_nothing_breaks_nothing_is_read_twice() {
    seeds().into_iter().for_each(|seed| Simulation::new(seed, false).run());
}
