//! The checkpoint protocol as a model, every interleaving of which is looked at.
//!
//! Two processes run, pause for as long as they like, crash and start again over one store. Puts travel through a network
//! that may deliver them long after their sender is gone. Milestones (see `checkpoint/names.rs`) stand at every second
//! epoch instead of every 1024th, and a sweep does not wait for a day: what is right here does not hang on any clock.
//! Each rule of the protocol has a twin that breaks it, to see that the model would notice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Checker, Model, Property};

type Epoch = u8;
/// One process from its start to its crash.
type Life = u8;
/// A segment, or what an epoch shows: both belong to an epoch as one process wrote it.
type Written = (Epoch, Life);

const PROCESSES: usize = 2;
const STRIDE: Epoch = 2;
const LAST_EPOCH: Epoch = 5;
const LIVES: Life = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// As they are.
    Right,
    /// A sweep removes every manifest below the newest.
    SweepWhatIsYoung,
    /// A put that succeeded is believed without a look at the next milestone.
    TrustThePut,
    /// Files are shown before the manifest is put.
    ShowFirst,
    /// A sweep removes segments that the newest manifest does not name, whatever their epoch.
    SweepWhatIsOnItsWay,
    /// The manifest of a takeover does not name again what the epoch before had prepared; its owner shows it all the same.
    DropWhatIsPrepared,
    /// A process reads the newest manifest but goes on without a takeover of its own.
    OverwriteManifests,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Manifest {
    by: Life,
    segments: BTreeSet<Written>,
    /// What is to be shown once the manifest stands.
    prepared: Option<Written>,
}

/// Where a process is; `newest` is the epoch that it believes to be the newest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    Down,
    /// It has read the newest manifest and is about to take over.
    Read {
        newest: Epoch,
        manifest: Option<Manifest>,
    },
    /// It owns the chain.
    Ready {
        newest: Epoch,
        manifest: Manifest,
    },
    /// Its segment for the next epoch is stored.
    Stored {
        newest: Epoch,
        manifest: Manifest,
    },
    /// Its manifest is on the way.
    Put {
        epoch: Epoch,
        manifest: Manifest,
    },
    /// Its manifest is there; does it count?
    Landed {
        epoch: Epoch,
        manifest: Manifest,
    },
    /// It counts.
    Committed {
        epoch: Epoch,
        manifest: Manifest,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Process {
    life: Life,
    phase: Phase,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    processes: [Process; PROCESSES],
    lives: Life,
    manifests: BTreeMap<Epoch, Manifest>,
    segments: BTreeSet<Written>,
    network: BTreeSet<(Epoch, Manifest)>,
    shown: BTreeSet<Written>,
    /// Who wrote each epoch, in truth: never forgotten, and seen by no process.
    chain: Vec<Manifest>,
    /// True once a put has landed in a hole that a sweep left.
    haunted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    Start(usize),
    Crash(usize),
    TakeOver(usize),
    Store(usize),
    Send(usize, Keep),
    Deliver(Epoch, Manifest),
    Hear(usize),
    LookForMilestone(usize),
    Show(usize),
    SweepManifest(usize, Epoch),
    SweepSegment(usize, Written),
}

/// What an epoch keeps of the state of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Keep {
    All,
    Nothing,
}

fn next_milestone(epoch: Epoch) -> Epoch {
    (epoch / STRIDE + 1) * STRIDE
}

fn is_milestone(epoch: Epoch) -> bool {
    epoch == 1 || epoch.is_multiple_of(STRIDE)
}

impl World {
    /// The newest epoch as a process finds it: the last milestone, and on from there.
    fn newest(&self) -> Option<Epoch> {
        let stands = |epoch: &Epoch| self.manifests.contains_key(epoch);
        let milestone = (1..=LAST_EPOCH + STRIDE).filter(|epoch| is_milestone(*epoch)).take_while(stands).last()?;
        (milestone..=LAST_EPOCH).take_while(stands).last()
    }

    /// Put-if-absent.
    fn deliver(&mut self, epoch: Epoch, manifest: &Manifest, overwrite: bool) {
        if self.manifests.contains_key(&epoch) && !overwrite {
            return;
        }
        self.manifests.insert(epoch, manifest.clone());
        match usize::from(epoch) == self.chain.len() + 1 {
            true => self.chain.push(manifest.clone()),
            false => self.haunted = true,
        }
    }
}

impl Phase {
    /// The newest manifest that an owner knows to stand: what it sweeps by.
    fn known(&self) -> Option<(Epoch, &Manifest)> {
        match self {
            Self::Ready { newest: epoch, manifest }
            | Self::Stored { newest: epoch, manifest }
            | Self::Committed { epoch, manifest } => Some((*epoch, manifest)),
            _ => None,
        }
    }
}

impl Rules {
    fn may_sweep_manifest(self, epoch: Epoch, newest: Epoch) -> bool {
        match self {
            Self::SweepWhatIsYoung => epoch < newest,
            _ => next_milestone(epoch) <= newest && !is_milestone(epoch),
        }
    }

    fn may_sweep_segment(self, segment: Written, newest: Epoch, manifest: &Manifest) -> bool {
        !manifest.segments.contains(&segment) && (segment.0 < newest || self == Self::SweepWhatIsOnItsWay)
    }
}

impl Model for Rules {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            processes: std::array::from_fn(|_| Process { life: 0, phase: Phase::Down }),
            lives: 0,
            manifests: BTreeMap::new(),
            segments: BTreeSet::new(),
            network: BTreeSet::new(),
            shown: BTreeSet::new(),
            chain: Vec::new(),
            haunted: false,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (number, process) in world.processes.iter().enumerate() {
            match &process.phase {
                Phase::Down if world.lives < LIVES => steps.push(Step::Start(number)),
                Phase::Down => {}
                Phase::Read { newest, .. } if *newest < LAST_EPOCH => steps.push(Step::TakeOver(number)),
                Phase::Ready { newest, .. } if *newest < LAST_EPOCH => steps.push(Step::Store(number)),
                Phase::Read { .. } | Phase::Ready { .. } => {}
                Phase::Stored { .. } => {
                    steps.extend([Step::Send(number, Keep::All), Step::Send(number, Keep::Nothing)]);
                }
                Phase::Put { epoch, .. } if world.manifests.contains_key(epoch) => steps.push(Step::Hear(number)),
                Phase::Put { .. } => {}
                Phase::Landed { .. } => steps.push(Step::LookForMilestone(number)),
                Phase::Committed { .. } => steps.push(Step::Show(number)),
            }
            // A crash between starting and acting is a start that did not happen.
            if !matches!(process.phase, Phase::Down | Phase::Read { .. }) && world.lives < LIVES {
                steps.push(Step::Crash(number));
            }
            if let Some((newest, manifest)) = process.phase.known() {
                let epochs = world.manifests.keys().filter(|epoch| self.may_sweep_manifest(**epoch, newest));
                steps.extend(epochs.map(|epoch| Step::SweepManifest(number, *epoch)));
                let garbage = world.segments.iter().filter(|s| self.may_sweep_segment(**s, newest, manifest));
                steps.extend(garbage.map(|segment| Step::SweepSegment(number, *segment)));
            }
        }
        steps.extend(world.network.iter().map(|(epoch, manifest)| Step::Deliver(*epoch, manifest.clone())));
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        match step {
            Step::Start(number) => {
                let newest = before.newest();
                let manifest = newest.and_then(|epoch| before.manifests.get(&epoch).cloned());
                world.lives += 1;
                let life = world.lives;
                let phase = match (self, &manifest) {
                    (Self::OverwriteManifests, Some(manifest)) => {
                        Phase::Ready { newest: newest?, manifest: manifest.clone() }
                    }
                    _ => Phase::Read { newest: newest.unwrap_or(0), manifest },
                };
                world.processes[number] = Process { life, phase };
            }
            Step::Crash(number) => world.processes[number].phase = Phase::Down,
            Step::TakeOver(number) => {
                let Process { life, phase: Phase::Read { newest, manifest } } = before.processes[number].clone() else {
                    return None;
                };
                let before = manifest.map(|before| (before.segments, before.prepared));
                // Nobody knows how far the owner before came with showing: it is done again, whoever does it.
                let (segments, prepared) = before.unwrap_or_default();
                let (epoch, manifest) = (newest + 1, Manifest { by: life, segments, prepared });
                let sent = match self {
                    Self::DropWhatIsPrepared => Manifest { prepared: None, ..manifest.clone() },
                    _ => manifest.clone(),
                };
                world.network.insert((epoch, sent));
                world.processes[number].phase = Phase::Put { epoch, manifest };
            }
            Step::Store(number) => {
                let Process { life, phase: Phase::Ready { newest, manifest } } = before.processes[number].clone()
                else {
                    return None;
                };
                world.segments.insert((newest + 1, life));
                world.processes[number].phase = Phase::Stored { newest, manifest };
            }
            Step::Send(number, keep) => {
                let Process { life, phase: Phase::Stored { newest, manifest } } = before.processes[number].clone()
                else {
                    return None;
                };
                let epoch = newest + 1;
                let mut segments = if keep == Keep::All { manifest.segments } else { BTreeSet::new() };
                segments.insert((epoch, life));
                let manifest = Manifest { by: life, segments, prepared: Some((epoch, life)) };
                world.network.insert((epoch, manifest.clone()));
                if *self == Self::ShowFirst {
                    world.shown.insert((epoch, life));
                }
                world.processes[number].phase = Phase::Put { epoch, manifest };
            }
            Step::Deliver(epoch, manifest) => {
                world.network.remove(&(epoch, manifest.clone()));
                world.deliver(epoch, &manifest, *self == Self::OverwriteManifests);
            }
            Step::Hear(number) => {
                let Phase::Put { epoch, manifest } = before.processes[number].phase.clone() else { return None };
                // Not the answer counts, but what is there.
                world.processes[number].phase =
                    match before.manifests.get(&epoch).is_some_and(|there| there.by == manifest.by) {
                        true => Phase::Landed { epoch, manifest },
                        false => Phase::Down,
                    };
            }
            Step::LookForMilestone(number) => {
                let Phase::Landed { epoch, manifest } = before.processes[number].phase.clone() else {
                    return None;
                };
                let over = before.manifests.contains_key(&next_milestone(epoch)) && *self != Self::TrustThePut;
                world.processes[number].phase = if over { Phase::Down } else { Phase::Committed { epoch, manifest } };
            }
            Step::Show(number) => {
                let Phase::Committed { epoch, manifest } = before.processes[number].phase.clone() else {
                    return None;
                };
                world.shown.extend(manifest.prepared);
                world.processes[number].phase = Phase::Ready { newest: epoch, manifest };
            }
            Step::SweepManifest(_, epoch) => drop(world.manifests.remove(&epoch)),
            Step::SweepSegment(_, segment) => {
                world.segments.remove(&segment);
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("an epoch is shown by one process only", |_, world: &World| {
                let epochs: BTreeSet<Epoch> = world.shown.iter().map(|(epoch, _)| *epoch).collect();
                epochs.len() == world.shown.len()
            }),
            Property::always("what is shown belongs to the chain", |_, world: &World| {
                let in_chain = |(epoch, life): &Written| {
                    world.chain.get(usize::from(*epoch) - 1).is_some_and(|manifest| manifest.by == *life)
                };
                world.shown.iter().all(in_chain)
            }),
            Property::always("who believes to have committed has", |_, world: &World| {
                world.processes.iter().all(|process| match &process.phase {
                    Phase::Committed { epoch, manifest } => {
                        world.chain.get(usize::from(*epoch) - 1).is_some_and(|there| there.by == manifest.by)
                    }
                    _ => true,
                })
            }),
            Property::always("what is prepared is shown before the chain forgets it", |_, world: &World| {
                let forgotten = world.chain.windows(2).filter(|pair| pair[0].prepared != pair[1].prepared);
                let mut forgotten = forgotten.filter_map(|pair| pair[0].prepared);
                forgotten.all(|prepared| world.shown.contains(&prepared))
            }),
            Property::always("what the newest manifest names is there", |_, world: &World| {
                world.chain.last().is_none_or(|newest| newest.segments.is_subset(&world.segments))
            }),
            Property::always("the newest manifest is found", |_, world: &World| {
                world.newest().map_or(0, usize::from) == world.chain.len()
            }),
            Property::sometimes("a put lands in a hole", |_, world: &World| world.haunted),
            Property::sometimes("the chain comes to its end", |_, world: &World| {
                world.chain.len() == usize::from(LAST_EPOCH)
            }),
            Property::sometimes("an overtaken process is stopped", |_, world: &World| {
                world.network.is_empty()
                    && world.lives == LIVES
                    && world.processes.iter().all(|process| process.phase == Phase::Down)
            }),
        ]
    }
}

#[test]
fn the_protocol_holds_in_every_interleaving() {
    let checked = Rules::Right.checker().threads(2).spawn_bfs().join();
    checked.assert_properties();
    // So that a model that has become too narrow is noticed.
    assert!(checked.unique_state_count() > 10_000, "{} states", checked.unique_state_count());
}

/// Each rule is needed: without it, one of the properties breaks.
#[test]
fn the_model_notices_every_broken_rule() {
    for (rules, breaks) in [
        (Rules::SweepWhatIsYoung, "who believes to have committed has"),
        (Rules::TrustThePut, "what is shown belongs to the chain"),
        (Rules::ShowFirst, "what is shown belongs to the chain"),
        (Rules::SweepWhatIsOnItsWay, "what the newest manifest names is there"),
        (Rules::DropWhatIsPrepared, "what is prepared is shown before the chain forgets it"),
        (Rules::OverwriteManifests, "an epoch is shown by one process only"),
    ] {
        let sought = stateright::HasDiscoveries::AnyOf([breaks].into());
        let checked = rules.checker().threads(2).finish_when(sought).spawn_bfs().join();
        assert!(checked.discovery(breaks).is_some(), "{rules:?} goes unnoticed: {breaks}");
    }
}
