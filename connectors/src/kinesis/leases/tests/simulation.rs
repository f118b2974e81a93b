//! Sixteen daemons over one table, each decided by its seed: who is slow, whose answers are lost, who is stopped for a while,
//! who dies, and who is replaced by another process over the same state while it only sleeps. No two that could make it
//! count ever believe to hold one shard; and of every shard each record becomes durable once, in one of the states.
//!
//! `SEED=n` runs one seed again; `SEEDS=n` runs so many.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::checkpoint::Checkpoint;
use super::super::lease::{Change, Lease, Outcome};
use super::super::worker::{Claim, Question, Renewal, Then, Worker};
use super::{after, apply, lease};

const SEEDS: u64 = 15;
const WORKERS: usize = 16;
const DURATION: u64 = 10_000;
/// Milliseconds after which nothing breaks any more, and after which it must have settled.
const CALM: u64 = 150_000;
const END: u64 = 400_000;

/// What one daemon keeps over its lives: a chain of manifests in small.
#[derive(Default)]
struct State {
    /// The process that may write; another's last word is by nobody.
    writer: Option<usize>,
    positions: BTreeMap<String, u64>,
    /// What became durable: shard, from and to.
    counted: Vec<(String, u64, u64)>,
}

/// One process.
struct Node {
    worker: Worker,
    /// Its state, which earlier processes had, and later ones will.
    state: usize,
    name: String,
    /// Its clock is ahead of the world's by this.
    ahead: u64,
    /// It does nothing before this.
    stopped_until: u64,
    readers: BTreeMap<String, Reading>,
    /// Renewals without an answer, and whether another round is wanted when there is none.
    in_flight: usize,
    again: bool,
    /// Who was asked already.
    asked: Vec<Question>,
}

/// A reader of a shard.
struct Reading {
    grant: u64,
    /// Durable up to here, read up to there.
    durable: u64,
    at: u64,
    left: bool,
}

/// What an epoch says of a shard.
struct Ack {
    shard: String,
    grant: u64,
    at: u64,
    over: bool,
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
    /// Sources hear what is durable.
    Told {
        node: usize,
        acks: Vec<Ack>,
    },
    /// The state of who had a shard is asked, which ends its right to write.
    Ask {
        node: usize,
        question: Question,
    },
    Learned {
        node: usize,
        question: Question,
        at: Option<u64>,
    },
    /// A process begins over this state.
    Begin {
        state: usize,
        name: Option<String>,
    },
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
    states: Vec<State>,
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
            states: (0..WORKERS).map(|_| State::default()).collect(),
            seed,
        };
        for state in 0..WORKERS {
            let begins = simulation.random.random_range(0..20_000);
            simulation.after(begins, Event::Begin { state, name: None });
        }
        simulation
    }

    /// A process takes a state over; without a name it has one of its own.
    fn begin(&mut self, state: usize, name: Option<String>) {
        let node = self.nodes.len();
        let ahead = self.random.random_range(0..1_000_000);
        let name = name.unwrap_or_else(|| format!("w{node}"));
        let worker = Worker::new(&name, Some(&format!("s{state}")), Duration::from_millis(DURATION));
        self.states[state].writer = Some(node);
        self.nodes.push(Some(Node {
            worker,
            state,
            name,
            ahead,
            stopped_until: 0,
            readers: BTreeMap::new(),
            in_flight: 0,
            again: false,
            asked: Vec::new(),
        }));
        for event in [Event::Look(node), Event::Renew(node), Event::Read(node), Event::Epoch(node)] {
            self.after(0, event);
        }
    }

    /// A process is gone, and another follows it over the same state: at once, or when others have seen it.
    fn end(&mut self, number: usize) {
        let Some(node) = self.nodes[number].take() else { return };
        let replaced = self.states[node.state].writer.is_some_and(|writer| writer != number);
        if replaced {
            return;
        }
        let name = self.random.random_bool(0.5).then_some(node.name);
        let away = if self.random.random_bool(0.5) { 1_000 } else { 40_000 };
        let away = self.random.random_range(100..away);
        self.after(away, Event::Begin { state: node.state, name });
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
                Event::Told { node, .. } | Event::Ask { node, .. } | Event::Learned { node, .. } => Some(*node),
                Event::Arrive { .. } | Event::Begin { .. } => None,
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
        let replace = self.random.random_bool(0.2);
        match &mut self.nodes[chosen] {
            // What it has read and not made durable is read again.
            Some(_) if kill => self.end(chosen),
            Some(node) => {
                node.stopped_until = self.now + stop;
                let state = node.state;
                if replace && self.states[state].writer == Some(chosen) {
                    self.begin(state, None);
                }
            }
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
                    Sent::Planned(change) => {
                        part.worker.planned(&change, outcome, Duration::from_millis(at), local);
                        self.ask(node);
                    }
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
                self.epoch(node);
                self.after(5_000, Event::Epoch(node));
            }
            Event::Told { node, acks } => {
                let Node { worker, readers, .. } = self.node(node);
                for Ack { shard, grant, at, over } in acks {
                    let more = readers.get(&shard).is_some_and(|reading| reading.grant == grant && reading.at > at);
                    let then = if over {
                        Then::Over
                    } else if more {
                        Then::More
                    } else {
                        Then::Nothing
                    };
                    worker.durable(&shard, grant, Some(after(at, 0)), then);
                    // Until its reader has heard that, the shard is not opened anew.
                    if over && readers.get(&shard).is_some_and(|reading| reading.grant == grant) {
                        readers.remove(&shard);
                    }
                }
            }
            Event::Ask { node, question } => {
                let state = &mut self.states[question.before[1..].parse::<usize>().unwrap()];
                state.writer = None;
                let at = state.positions.get(&question.shard).copied();
                let delay = self.delay();
                self.after(delay, Event::Learned { node, question, at });
            }
            Event::Learned { node, question, at } => {
                let part = self.node(node);
                part.worker.answered(&question, at.map(|at| after(at, 0)));
                match part.in_flight {
                    0 => self.renew(node, false),
                    _ => part.again = true,
                }
            }
            Event::Begin { state, name } => self.begin(state, name),
        }
    }

    fn ask(&mut self, number: usize) {
        let local = self.local(number);
        let node = self.node(number);
        let mut questions = node.worker.questions(local);
        questions.retain(|question| !node.asked.contains(question));
        node.asked.extend(questions.iter().cloned());
        for question in questions {
            let delay = self.delay();
            self.after(delay, Event::Ask { node: number, question });
        }
    }

    /// What was read becomes durable, unless somebody else has written the next epoch: then the process ends.
    fn epoch(&mut self, number: usize) {
        let state = self.node(number).state;
        if self.states[state].writer != Some(number) {
            return self.end(number);
        }
        let mut acks = Vec::new();
        let mut readers = std::mem::take(&mut self.node(number).readers);
        for (shard, reading) in &mut readers {
            let Reading { grant, at, left, .. } = *reading;
            let from = std::mem::replace(&mut reading.durable, at);
            self.states[state].counted.push((shard.clone(), from, at));
            self.states[state].positions.insert(shard.clone(), at);
            acks.push(Ack { shard: shard.clone(), grant, at, over: left });
        }
        self.node(number).readers = readers;
        if self.faulty() && self.random.random_bool(0.02) {
            return self.end(number);
        }
        let delay = self.delay();
        self.after(delay, Event::Told { node: number, acks });
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
        let Some(node) = &mut self.nodes[number] else { return };
        let known = &self.states[node.state].positions;
        for shard in node.worker.shards(local) {
            if node.readers.contains_key(&shard) {
                continue;
            }
            if let Claim::Held { grant, checkpoint, .. } = node.worker.claim(&shard, local) {
                let begun: u64 = match checkpoint {
                    Checkpoint::After { sequence, .. } => sequence.as_str().parse().unwrap(),
                    _ => 0,
                };
                let begun = begun.max(known.get(&shard).copied().unwrap_or_default());
                node.readers.insert(shard, Reading { grant, durable: begun, at: begun, left: false });
            }
        }
        for (shard, reading) in &mut node.readers {
            if node.worker.may_read(shard, reading.grant, local) && !reading.left {
                reading.at += more;
                node.worker.handed_out(shard, reading.grant);
            } else {
                reading.left = true;
            }
        }
    }

    fn nobody_believes_what_another_does(&self) {
        let mut believers: BTreeMap<&str, usize> = BTreeMap::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            // One that sleeps while another process has its state can make nothing count.
            if self.states[node.state].writer.is_some_and(|writer| writer != number) {
                continue;
            }
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
            let counted = open.map(|(shard, reading)| (shard, reading.durable, reading.at));
            self.states[node.state].counted.extend(counted);
        }
        assert_eq!(loads.len(), WORKERS, "seed {seed}");
        assert_eq!(loads.iter().sum::<usize>(), self.table.len(), "seed {seed}: not every shard is read: {loads:?}");
        let (most, least) = (loads.iter().max().unwrap(), loads.iter().min().unwrap());
        assert!(most - least <= 1, "seed {seed}: the load is uneven: {loads:?}");
        let counted: Vec<_> =
            self.states.iter().flat_map(|state| &state.counted).filter(|(_, from, to)| from < to).collect();
        for shard in self.table.keys() {
            let mut spans: Vec<(u64, u64)> =
                counted.iter().filter(|(name, ..)| name == shard).map(|(_, from, to)| (*from, *to)).collect();
            spans.sort_unstable();
            let mut reached = 0;
            for (from, to) in spans {
                assert!(from <= reached, "seed {seed}: {shard} was not counted from {reached} to {from}");
                assert_eq!(from, reached, "seed {seed}: {shard} was counted twice from {from} to {reached}");
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
fn each_record_counts_once_whatever_breaks() {
    seeds().into_iter().for_each(|seed| Simulation::new(seed, true).run());
}

#[test]
fn each_record_counts_once_where_nothing_breaks() {
    seeds().into_iter().for_each(|seed| Simulation::new(seed, false).run());
}
