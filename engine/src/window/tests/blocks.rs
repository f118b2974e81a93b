//! What a store does with its blocks: what it keeps, what it uploads again, what it frees.

use super::*;
use crate::aggregate::GroupTable;
use crate::checkpoint::{Block, Budget, Piece};

/// Users without a name among the first five hundred: they are one group.
const NAMELESS: usize = 45;

fn named(name: &str) -> Query {
    QUERIES.iter().find(|query| query.name == name).expect("a query of that name").clone()
}

/// Events of `users` users, from `first` on, at one second.
fn events(second: i64, first: u32, users: u32) -> Vec<Event> {
    (first..first + users).map(|user| (second, user, (user % 6) as u8, user as i32 % 100)).collect()
}

fn add(store: &mut WindowStore, query: &Query, events: &[Event]) {
    let mut lane = PaneStore::new(query.grid, query.work.clone());
    let (batch, times) = query.rows(events);
    lane.push(&batch, &times).unwrap();
    assert!(lane.bytes() > 0);
    lane.take_all().into_iter().for_each(|(part, rows)| store.add(part, rows).unwrap());
}

fn rows_of(panes: &[(PanePart, Vec<Arc<Block>>)]) -> Vec<usize> {
    panes.iter().flat_map(|(_, blocks)| blocks).map(|block| block.rows()).collect()
}

#[test]
fn an_unchanged_pane_keeps_its_place_in_the_state_store() {
    let query = named("tumble by user");
    let mut store = WindowStore::new(query.grid, query.work.clone());
    add(&mut store, &query, &events(1, 1, 9));
    add(&mut store, &query, &events(11, 1, 9));
    let first = store.checkpoint().unwrap();
    assert_eq!(first.len(), 2);
    add(&mut store, &query, &events(11, 1, 9));
    let second = store.checkpoint().unwrap();
    assert!(Arc::ptr_eq(&first[0].1[0], &second[0].1[0]), "the first pane got no rows");
    assert!(!Arc::ptr_eq(&first[1].1[0], &second[1].1[0]), "the second one did");
    assert_eq!(rows_of(&second), [9, 9], "few groups stay one block");
}

#[test]
fn keys_that_every_checkpoint_touches_stay_few_blocks_and_are_seldom_merged() {
    // Of states that keep their size: those that grow with each merge, as few numbers of a sketch do, climb tiers.
    let calls = "SELECT window_start, name, count(*), sum(number), max(price)";
    let rows = "FROM tumble(events, INTERVAL '10 seconds') GROUP BY window_start, name";
    let query = query("tumble by user, of one size", &format!("{calls} {rows}"));
    let mut store = WindowStore::new(query.grid, query.work.clone());
    store.upkeep.small = 1 << 10;
    let (mut uploaded, mut most) = (0, 0);
    let groups = 500 - NAMELESS + 1;
    for _ in 0..30 {
        add(&mut store, &query, &events(1, 1, 500));
        let panes = store.checkpoint().unwrap();
        most = most.max(rows_of(&panes).len());
        for block in panes.iter().flat_map(|(_, blocks)| blocks).filter(|block| block.stored().is_none()) {
            uploaded += block.rows();
            block.set_stored(Piece { segment: "s".into(), offset: 0, length: 0, rows: 0, crc32: 0 });
        }
        store.compact().unwrap();
    }
    assert!(most <= 4, "{most} blocks");
    // One block per checkpoint, and one more for every third.
    assert!(uploaded <= 30 * groups * 4 / 3 + groups, "{uploaded} rows uploaded, of {groups} groups each time");
    assert_eq!(rows_of(&store.checkpoint().unwrap()).iter().max(), Some(&groups));
}

#[test]
fn keys_that_come_once_are_merged_only_when_the_list_is_long() {
    let query = named("tumble by user");
    let mut store = WindowStore::new(query.grid, query.work.clone());
    store.upkeep.small = 1 << 10;
    let (mut merged, mut most) = (0, 0);
    for checkpoint in 0..60 {
        add(&mut store, &query, &events(1, 1 + checkpoint * 480, 480));
        most = most.max(rows_of(&store.checkpoint().unwrap()).len());
        while let Some(compaction) = store.compaction() {
            let compacted = compaction.run().unwrap();
            merged += compacted.merged.rows();
            assert!(store.compacted(&compacted));
        }
    }
    assert!(most <= 13, "{most} blocks");
    assert!(merged <= 60 * 480, "{merged} rows merged of {}", 60 * 480);
}

#[test]
fn a_merge_that_comes_too_late_changes_nothing() {
    let query = named("tumble by user");
    let mut store = WindowStore::new(query.grid, query.work.clone());
    store.upkeep.small = 1 << 10;
    for _ in 0..4 {
        add(&mut store, &query, &events(1, 1, 500));
        store.checkpoint().unwrap();
    }
    let aside = store.compaction().expect("four blocks of a size");
    store.compact().unwrap();
    for _ in 0..3 {
        add(&mut store, &query, &events(1, 1, 400));
        store.checkpoint().unwrap();
    }
    let before = rows_of(&store.checkpoint().unwrap());
    assert!(!store.compacted(&aside.run().unwrap()));
    assert_eq!(rows_of(&store.checkpoint().unwrap()), before);
}

#[test]
fn what_is_needed_last_is_spilled_first() {
    let query = named("tumble by user");
    let folder = tempfile::tempdir().unwrap();
    let budget = Arc::new(Budget::new(1 << 20, Some(folder.path().to_owned())));
    let mut store = WindowStore::with_budget(query.grid, query.work.clone(), budget.clone());
    for second in [1, 11, 21] {
        add(&mut store, &query, &events(second, 1, 2000));
    }
    store.checkpoint().unwrap();
    let used = budget.used();
    let freed = store.spill(1).unwrap();
    assert!(freed >= 1 && budget.spilled() > 0);
    assert_eq!(used - budget.used(), freed);
    let spilled: Vec<bool> = store.checkpoint().unwrap().iter().map(|(_, blocks)| blocks[0].is_spilled()).collect();
    assert_eq!(spilled, [false, false, true]);
    store.spill(usize::MAX).unwrap();
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_window_beyond_the_budget_comes_in_passes() {
    for name in ["tumble by kind and id", "hop by id"] {
        let query = named(name);
        let folder = tempfile::tempdir().unwrap();
        let budget = Arc::new(Budget::new(200_000, Some(folder.path().to_owned())));
        let mut alone = WindowStore::new(query.grid, query.work.clone());
        let mut tight = WindowStore::with_budget(query.grid, query.work.clone(), budget);
        for first in [1, 1001, 2001] {
            add(&mut alone, &query, &events(1, first, 2000));
            add(&mut tight, &query, &events(1, first, 2000));
            tight.checkpoint().unwrap();
            if first == 1001 {
                assert!(tight.spill(usize::MAX).unwrap() > 0);
            }
        }
        let (alone, tight) = (alone.close(i64::MAX).unwrap(), tight.close(i64::MAX).unwrap());
        assert_eq!(shown(&tight), shown(&alone), "{name}");
        assert!(tight[0].rows.len() > 4, "{name}: {} passes", tight[0].rows.len());
        let most = tight[0].rows.iter().map(RecordBatch::num_rows).max().unwrap();
        let all: usize = tight[0].rows.iter().map(RecordBatch::num_rows).sum();
        assert!(most < 2 * all / tight[0].rows.len(), "{name}: keys are spread unevenly, {most} of {all} in one pass");
    }
}

#[test]
fn rows_for_a_pane_that_windows_have_shared_are_in_the_windows_to_come() {
    let query = named("hop by id");
    let mut store = WindowStore::new(query.grid, query.work.clone());
    for second in [1, 6, 11] {
        add(&mut store, &query, &events(second, 1, 1));
    }
    assert_eq!(store.close(10 * SECOND).unwrap().last().map(|window| window.end), Some(10 * SECOND));
    add(&mut store, &query, &events(6, 50, 1));
    let closed = store.close(15 * SECOND).unwrap();
    assert_eq!(closed[0].rows[0].num_rows(), 2, "{:?}", shown(&closed));
}

#[test]
fn large_tables_of_several_lanes_meet_in_their_window() {
    let query = named("tumble by kind and id");
    let mut store = WindowStore::new(query.grid, query.work.clone());
    let budget = store.upkeep.budget.clone();
    for first in [1, 2_501, 5_001] {
        add(&mut store, &query, &events(1, first, 5_000));
    }
    assert!(budget.resident() > 0);
    let closed = store.close(i64::MAX).unwrap();
    assert_eq!(closed[0].rows.len(), 1);
    let counts = closed[0].rows[0].column(2).as_primitive::<arrow::datatypes::Int64Type>();
    assert_eq!(counts.iter().flatten().sum::<i64>(), 15_000);
    assert_eq!(budget.resident(), 0);
}

#[test]
fn a_pane_may_be_restored_from_several_lists() {
    let query = named("tumble by user");
    let mut held = Vec::new();
    for first in [1, 4] {
        let mut store = WindowStore::new(query.grid, query.work.clone());
        add(&mut store, &query, &events(1, first, 3));
        held.extend(store.checkpoint().unwrap());
    }
    let mut store = WindowStore::new(query.grid, query.work.clone());
    store.restore(held, i64::MIN).unwrap();
    assert_eq!((store.closed_through(), store.emitted_through()), (i64::MIN, None));
    assert_eq!(store.close(i64::MAX).unwrap()[0].rows[0].num_rows(), 6);
}

#[test]
fn the_end_of_time_is_not_where_the_next_run_begins() {
    let query = named("tumble by user");
    let mut store = WindowStore::new(query.grid, query.work.clone());
    assert_eq!(store.emitted_through(), None);
    add(&mut store, &query, &events(13, 1, 3));
    assert_eq!(store.close(5 * SECOND).unwrap().len(), 0);
    assert_eq!((store.closed_through(), store.emitted_through()), (5 * SECOND, None));
    store.close(i64::MAX).unwrap();
    assert_eq!((store.closed_through(), store.emitted_through()), (i64::MAX, Some(20 * SECOND)));

    let mut next = WindowStore::new(query.grid, query.work.clone());
    next.restore(Vec::new(), 20 * SECOND).unwrap();
    assert_eq!(next.emitted_through(), Some(20 * SECOND));
    add(&mut next, &query, &events(13, 1, 3));
    add(&mut next, &query, &events(23, 1, 3));
    let ends: Vec<i64> = next.close(i64::MAX).unwrap().iter().map(|window| window.end).collect();
    assert_eq!(ends, [30 * SECOND]);
}

#[test]
fn state_of_another_query_is_refused() {
    let (query, other) = (named("tumble by user"), named("tumble by kind and id"));
    let mut store = WindowStore::new(query.grid, query.work.clone());
    add(&mut store, &query, &events(1, 1, 9));
    let held = store.checkpoint().unwrap();
    let mut store = WindowStore::new(other.grid, other.work.clone());
    let error = store.restore(held, i64::MIN).expect_err("the columns differ").to_string();
    assert!(error.contains("another query"), "{error}");
    assert_eq!(store.open_windows(), 0);
}

#[test]
fn rows_kept_as_they_are_become_fewer_blocks_in_the_order_they_came() {
    let query = named("tumble, rows kept");
    let mut store = WindowStore::new(query.grid, query.work.clone());
    store.upkeep.small = 1 << 10;
    for round in 0..40 {
        let events: Vec<Event> = (0..100).map(|row| (1, row, 1, (round * 100 + row) as i32)).collect();
        add(&mut store, &query, &events);
        store.checkpoint().unwrap();
        store.compact().unwrap();
    }
    assert!(rows_of(&store.checkpoint().unwrap()).len() < 20);
    let closed = store.close(i64::MAX).unwrap();
    let numbers = |batch: &RecordBatch| {
        let column = batch.schema().index_of("number").expect("the number is kept");
        let numbers = batch.column(column).as_primitive::<arrow::datatypes::Int64Type>().clone();
        numbers.iter().collect::<Vec<_>>()
    };
    let kept: Vec<Option<i64>> = closed[0].rows.iter().flat_map(numbers).collect();
    let sent: Vec<Option<i64>> = (0..4000).map(|n| (n % 7 != 0).then_some(n)).collect();
    assert_eq!(kept, sent);
}

#[test]
fn a_table_knows_what_it_takes() {
    let query = named("tumble by user");
    let Work::Aggregate(spec) = &query.work else { unreachable!("an aggregate") };
    let mut table = GroupTable::new(spec.clone()).unwrap();
    let mut last = table.size();
    for users in [100, 1_000, 10_000] {
        table.update(&query.rows(&events(1, 1, users)).0).unwrap();
        assert!(table.size() > last + users as usize * 8, "{} of {users} users", table.size());
        last = table.size();
    }
}
