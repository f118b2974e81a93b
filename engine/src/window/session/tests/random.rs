//! Random rows, closes, checkpoints and crashes, against a store that nothing disturbs and against the model.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::open::Outline;
use super::model::Model;
use super::{Out, Row, SessionState, SessionStore, Setup};
use crate::checkpoint::Budget;

#[derive(Debug, Clone)]
enum Step {
    /// Rows: user, shard, how far event time goes on, how far the row is behind it, amount.
    Push(Vec<(Option<u8>, i32, i64, i64, i64)>),
    Close,
    Checkpoint,
    /// Back to the last checkpoint, and the steps since once more.
    Crash,
}

/// What a store is told, with everything random settled.
#[derive(Debug, Clone)]
enum Told {
    Push(Vec<Row>, Vec<i64>),
    Close(i64),
}

#[derive(Debug, PartialEq)]
enum Said {
    Late(Vec<u32>),
    Closed(Vec<Out>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (prop::option::weighted(0.9, 0u8..4), 0i32..2, 0i64..12, 0i64..50, -5i64..100);
    let step = prop_oneof![
        6 => vec(row, 1..10).prop_map(Step::Push),
        3 => Just(Step::Close),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
    ];
    vec(step, 1..60)
}

fn setups() -> impl Strategy<Value = Setup> {
    (0usize..3, any::<bool>(), 1i64..40, prop_oneof![Just(0i64), 1i64..30])
        .prop_map(|(keys, collect, gap, lateness)| Setup { keys, collect, gap, lateness })
}

fn tell(setup: &Setup, store: &mut SessionStore, told: &Told) -> Said {
    match told {
        Told::Push(rows, watermarks) => Said::Late(setup.push(store, rows, watermarks)),
        Told::Close(through) => {
            let may = store.may_close(*through);
            let closed = setup.close(store, *through);
            assert!(may || closed.is_empty(), "a session closed that was not due");
            Said::Closed(closed)
        }
    }
}

fn ask(model: &mut Model, told: &Told) -> Said {
    match told {
        Told::Push(rows, watermarks) => {
            let rows = rows.iter().zip(watermarks).zip(0..);
            Said::Late(rows.filter_map(|((row, &watermark), at)| model.push(row, watermark).then_some(at)).collect())
        }
        Told::Close(through) => Said::Closed(model.close(*through)),
    }
}

/// A store that is checkpointed and crashes.
struct Disturbed {
    store: SessionStore,
    saved: SessionState,
    /// What was told and said since.
    since: Vec<(Told, Said)>,
    budget: Arc<Budget>,
    /// The open sessions then.
    outline: Outline,
}

impl Disturbed {
    fn new(setup: &Setup) -> Self {
        let budget = Arc::new(Budget::default());
        let store = setup.store(&budget);
        let outline = store.sessions.outline();
        Self { store, saved: SessionState::default(), since: Vec::new(), budget, outline }
    }

    fn checkpoint(&mut self) {
        self.saved = self.store.checkpoint().unwrap();
        self.outline = self.store.sessions.outline();
        self.since.clear();
    }

    fn crash(&mut self, setup: &Setup) {
        self.store = setup.restored(&self.saved, &self.budget);
        assert_eq!(self.store.sessions.outline(), self.outline, "the open sessions come back as they were");
        for (told, said) in &self.since {
            assert_eq!(&tell(setup, &mut self.store, told), said, "after a crash");
        }
    }
}

/// Runs steps; `delay` is how far the watermark is behind.
fn run(setup: Setup, delay: i64, steps: Vec<Step>) {
    let mut undisturbed = setup.store(&Arc::default());
    let mut disturbed = Disturbed::new(&setup);
    let mut model = Model::new(setup);
    let (mut now, mut watermark) = (0, i64::MIN);
    let end = [Step::Checkpoint, Step::Crash, Step::Close];
    for step in steps.into_iter().chain(end) {
        let told = match step {
            Step::Checkpoint => {
                disturbed.checkpoint();
                continue;
            }
            Step::Crash => {
                disturbed.crash(&setup);
                continue;
            }
            Step::Close => Told::Close(watermark),
            Step::Push(rows) => {
                let mut watermarks = Vec::new();
                let mut row = |(user, shard, on, behind, amount)| {
                    watermarks.push(watermark);
                    now += on;
                    let time = now - behind;
                    watermark = watermark.max(time - delay);
                    Row { user, shard, time, amount }
                };
                Told::Push(rows.into_iter().map(&mut row).collect(), watermarks)
            }
        };
        let said = tell(&setup, &mut undisturbed, &told);
        assert_eq!(said, ask(&mut model, &told), "the model");
        assert_eq!(tell(&setup, &mut disturbed.store, &told), said, "checkpoints and crashes");
        disturbed.since.push((told, said));
    }
    let end = Told::Close(i64::MAX);
    let said = tell(&setup, &mut undisturbed, &end);
    assert_eq!(said, ask(&mut model, &end), "the model at the end");
    assert_eq!(tell(&setup, &mut disturbed.store, &end), said, "checkpoints and crashes at the end");
    assert_eq!(disturbed.store.open_sessions(), 0);
    let empty = disturbed.store.checkpoint().unwrap();
    assert!(empty.rows.is_empty() && empty.sessions.is_empty(), "nothing is left to store");
    disturbed.saved = empty;
    assert_eq!(disturbed.budget.resident(), 0, "no block outlives its rows");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn checkpoints_and_crashes_change_nothing(setup in setups(), delay in 0i64..60, steps in steps()) {
        run(setup, delay, steps);
    }

    /// Where nothing is late, sessions are what sorting and cutting at the gaps gives.
    #[test]
    fn sessions_are_runs_without_a_gap(gap in 1i64..30, mut times in vec(0i64..300, 1..60), often in 1usize..20) {
        let setup = Setup { keys: 1, collect: true, gap, lateness: 0 };
        let mut store = setup.store(&Arc::default());
        for (at, &time) in times.iter().enumerate() {
            setup.push_all(&mut store, &[super::row(1, time, time)]);
            if at % often == 0 {
                let state = store.checkpoint().unwrap();
                store = setup.restored(&state, &Arc::default());
            }
        }
        let closed = setup.close(&mut store, i64::MAX);
        times.sort_unstable();
        let runs = times.chunk_by(|before, after| after - before < gap);
        let expected: Vec<Out> = runs
            .flat_map(|run| {
                let bounds = (run[0], run[run.len() - 1] + gap);
                run.iter().map(move |&time| (bounds.0, bounds.1, Some(super::name(1)), 1, time, time))
            })
            .collect();
        prop_assert_eq!(closed, expected);
    }
}
