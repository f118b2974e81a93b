//! What checkpoints store: only what is new, and not for ever.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, UInt64Array, new_null_array};
use arrow::datatypes::DataType;

use super::super::open::{Delta, OpenSessions};
use super::{Row, SessionState, Setup, row};
use crate::checkpoint::{Block, Budget};

const GAP: i64 = 10;
const AGGREGATE: Setup = Setup { keys: 1, collect: false, gap: GAP, lateness: 0 };
const COLLECT: Setup = Setup { collect: true, ..AGGREGATE };

fn rows_in(blocks: &[Arc<Block>]) -> Vec<usize> {
    blocks.iter().map(|block| block.rows()).collect()
}

/// Blocks of `after` that were not in `before`.
fn new_blocks(before: &[Arc<Block>], after: &[Arc<Block>]) -> Vec<usize> {
    let new = after.iter().filter(|block| !before.iter().any(|old| Arc::ptr_eq(old, block)));
    new.map(|block| block.rows()).collect()
}

/// One row of each user, all at `time`.
fn users(users: std::ops::Range<u8>, time: i64) -> Vec<Row> {
    users.map(|user| row(user, time, 1)).collect()
}

#[test]
fn a_checkpoint_stores_only_what_is_new() {
    for setup in [AGGREGATE, COLLECT] {
        let mut store = setup.store(&Arc::default());
        setup.push_all(&mut store, &users(0..100, 0));
        let first = store.checkpoint().unwrap();
        assert_eq!((rows_in(&first.rows), rows_in(&first.sessions)), (vec![100], vec![100]));
        setup.push_all(&mut store, &[row(7, 5, 1)]);
        let second = store.checkpoint().unwrap();
        assert_eq!(new_blocks(&first.rows, &second.rows), [1], "one row came");
        assert_eq!(new_blocks(&first.sessions, &second.sessions), [1], "one session grew");
        assert_eq!((second.rows.len(), second.sessions.len()), (2, 2));
        let third = store.checkpoint().unwrap();
        assert!(
            new_blocks(&second.rows, &third.rows).is_empty()
                && new_blocks(&second.sessions, &third.sessions).is_empty()
        );
    }
}

#[test]
fn closing_sessions_leaves_blocks_alone_until_most_of_their_rows_are_dead() {
    for setup in [AGGREGATE, COLLECT] {
        let mut store = setup.store(&Arc::default());
        for user in 0..100 {
            setup.push_all(&mut store, &users(user..user + 1, i64::from(user)));
        }
        let first = store.checkpoint().unwrap();
        assert_eq!(setup.close(&mut store, GAP + 49).len(), 50);
        let half = store.checkpoint().unwrap();
        assert!(new_blocks(&first.rows, &half.rows).is_empty(), "half of its rows are dead, not more");
        assert_eq!(new_blocks(&first.sessions, &half.sessions), [50], "they are gone");
        assert_eq!(setup.close(&mut store, GAP + 50).len(), 1);
        let less = store.checkpoint().unwrap();
        assert_eq!(rows_in(&less.rows), [49], "written anew");
        assert_eq!(setup.close(&mut setup.restored(&half, &Arc::default()), i64::MAX).len(), 50, "dead rows stay dead");
        assert_eq!(setup.close(&mut store, i64::MAX).len(), 49);
        let none = store.checkpoint().unwrap();
        assert!(none.rows.is_empty() && none.sessions.is_empty());
    }
}

#[test]
fn rows_of_open_sessions_stay_in_their_table_while_others_close() {
    let mut store = AGGREGATE.store(&Arc::default());
    AGGREGATE.push_all(&mut store, &users(0..10, 0));
    assert_eq!(store.checkpoint().unwrap().rows.len(), 1);
    AGGREGATE.push_all(&mut store, &users(10..20, 8));
    assert_eq!(AGGREGATE.close(&mut store, GAP).len(), 10);
    assert_eq!(store.blocks().filter(|block| block.rows() == 10).count(), 1, "the log's: all rows of blocks are dead");
    assert_eq!(AGGREGATE.close(&mut store, GAP + 8).len(), 10);
}

#[test]
fn rows_find_the_session_that_theirs_became_part_of() {
    for setup in [AGGREGATE, COLLECT] {
        let mut store = setup.store(&Arc::default());
        setup.push_all(&mut store, &[row(1, 0, 1), row(1, 12, 2), row(1, 24, 4)]);
        let apart = store.checkpoint().unwrap();
        assert_eq!(apart.sessions[0].rows(), 3);
        // Two joins, with a checkpoint between them: the last session's number goes by way of the middle one's.
        setup.push_all(&mut store, &[row(1, 18, 8)]);
        let state = store.checkpoint().unwrap();
        assert_eq!(state.rows[0].rows(), 3, "the old rows name their old sessions");
        let mut store = setup.restored(&state, &Arc::default());
        assert_eq!(store.open_sessions(), 2);
        setup.push_all(&mut store, &[row(1, 6, 16)]);
        let state = store.checkpoint().unwrap();
        let mut store = setup.restored(&state, &Arc::default());
        assert_eq!(store.open_sessions(), 1);
        let closed = setup.close(&mut store, i64::MAX);
        let sum: i64 = closed.iter().map(|out| out.4).sum();
        assert_eq!((closed[0].0, closed[0].1, sum), (0, 34, 31));
        assert_eq!(closed.len(), if setup.collect { 5 } else { 1 });
    }
}

#[test]
fn an_endless_session_does_not_gather_blocks() {
    for setup in [AGGREGATE, COLLECT] {
        let mut store = setup.store(&Arc::default());
        let mut state = SessionState::default();
        for tick in 0..300 {
            setup.push_all(&mut store, &[row(1, tick, 1)]);
            state = store.checkpoint().unwrap();
            assert!(state.rows.len() <= 64 && state.sessions.len() <= 64, "{} blocks", state.rows.len());
        }
        let closed = setup.close(&mut setup.restored(&state, &Arc::default()), i64::MAX);
        assert_eq!(closed.iter().map(|out| out.4).sum::<i64>(), 300);
    }
}

#[test]
fn numbers_that_no_row_names_are_forgotten() {
    let setup = Setup { gap: 2, ..AGGREGATE };
    let mut store = setup.store(&Arc::default());
    let mut total = 0;
    for tick in (0..12_000).step_by(2) {
        // The later row begins a session, and the next one joins it to the endless one.
        setup.push_all(&mut store, &[row(1, tick, 1), row(1, tick + 2, 1), row(1, tick + 1, 1)]);
        total += 3;
        if tick % 40 == 0 {
            let state = store.checkpoint().unwrap();
            let standing: usize = rows_in(&state.sessions).iter().sum();
            assert!(standing <= 10_000, "{standing} changes");
            store = if tick % 400 == 0 { setup.restored(&state, &Arc::default()) } else { store };
        }
    }
    assert!(store.sessions.joined() < 4_000, "{} of 6000 numbers stay", store.sessions.joined());
    let state = store.checkpoint().unwrap();
    let closed = setup.close(&mut setup.restored(&state, &Arc::default()), i64::MAX);
    assert_eq!((closed.len(), closed[0].3), (1, total));
}

#[test]
fn a_number_that_is_forgotten_is_told() {
    let mut open = OpenSessions::new(GAP, 0);
    for time in [0, 12] {
        open.assign(b"key", time, i64::MIN);
    }
    assert_eq!(open.snapshot().open, [0, 1]);
    assert_eq!(open.assign(b"key", 6, i64::MIN), Some(0), "1 becomes part of 0");
    open.prune_joined(|_| false);
    assert_eq!(open.take_delta(), Some(Delta { open: vec![0], joined: vec![], gone: vec![1] }));
}

#[test]
fn the_log_stays_as_short_as_twice_the_open_sessions() {
    let mut store = AGGREGATE.store(&Arc::default());
    for tick in 0..200 {
        AGGREGATE.push_all(&mut store, &users(0..20, tick));
        AGGREGATE.push_all(&mut store, &users((tick % 50) as u8 + 100..(tick % 50) as u8 + 103, tick));
        AGGREGATE.close(&mut store, tick);
        let state = store.checkpoint().unwrap();
        let rows: usize = rows_in(&state.sessions).iter().sum();
        assert!(rows <= 2 * store.open_sessions(), "{rows} changes for {} sessions", store.open_sessions());
    }
}

#[test]
fn blocks_that_are_none_of_ours_are_refused() {
    let budget = Arc::new(Budget::default());
    let batch = |columns: Vec<(&str, ArrayRef)>| Block::new(RecordBatch::try_from_iter(columns).unwrap(), &budget);
    let refused = |sessions: Vec<Arc<Block>>, rows: Vec<Arc<Block>>| {
        let state = SessionState { next: 9, sessions, rows };
        AGGREGATE.store(&budget).restore(state).unwrap_err().to_string()
    };
    let one = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let said = refused(vec![batch(vec![("session", one())])], vec![]);
    assert!(said.contains("has 1 columns where 5 are needed"), "{said}");
    let said = refused(vec![], vec![batch(vec![("amount", one())])]);
    assert!(said.contains("UInt64"), "{said}");
    let number = |value: u64| Arc::new(UInt64Array::from(vec![value])) as ArrayRef;
    let dangling = batch(vec![
        ("session", number(1)),
        ("into", number(2)),
        ("start", new_null_array(&DataType::Int64, 1)),
        ("end", new_null_array(&DataType::Int64, 1)),
        ("key_0", Arc::new(StringViewArray::from(vec![None::<&str>]))),
    ]);
    let said = refused(vec![dangling], vec![]);
    assert!(said.contains("session 1 became part of 2, but that one is not open"), "{said}");
}
