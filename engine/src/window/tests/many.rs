//! More groups than one table takes at its best: they are merged in parts, and the rows are the same.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;

use super::*;

const USERS: u32 = 60_000;

/// Count and sum, by the end of the window and key.
type Groups = BTreeMap<(i64, Option<i64>), (i64, Option<i64>)>;

/// Two events of each user within ten seconds, again and again; numbers that depend on user and time.
fn events(seconds: std::ops::Range<i64>) -> impl Iterator<Item = Event> {
    seconds.flat_map(|second| {
        let users = (0..USERS).filter(move |user| i64::from(user % 5) == second % 5);
        users.map(move |user| (second, user, 1, (i64::from(user) * 31 + second) as i32 % 1000))
    })
}

/// The groups that windows should have.
fn expected(grid: PaneGrid, all: &[Event]) -> Groups {
    let mut groups: Groups = BTreeMap::new();
    for &(second, user, _, number) in all {
        let key = (user % 13 != 0).then_some(i64::from(user));
        for end in grid.ends_of(grid.pane(second * SECOND)) {
            let (count, sum) = groups.entry((end, key)).or_default();
            *count += 1;
            if number % 7 != 0 {
                *sum = Some(sum.unwrap_or_default() + i64::from(number));
            }
        }
    }
    groups
}

#[test]
fn many_groups_are_merged_in_parts() {
    let by_id = |name, window| {
        let calls = "count(*), sum(number)";
        query(name, &format!("SELECT window_start, id, {calls} FROM {window} GROUP BY window_start, id"))
    };
    let queries = [
        by_id("hop", "hop(events, INTERVAL '5 seconds', INTERVAL '20 seconds')"),
        by_id("tumble", "tumble(events, INTERVAL '10 seconds')"),
    ];
    for query in queries {
        let all: Vec<Event> = events(0..60).collect();
        let mut lanes = [(); 2].map(|()| PaneStore::new(query.grid, query.work.clone()));
        let mut store = WindowStore::new(query.grid, query.work.clone());
        let (mut found, mut batches) = (Groups::new(), 0);
        for (step, part) in all.chunks(50_000).enumerate() {
            for (lane, events) in lanes.iter_mut().zip(part.chunks(25_000)) {
                let (rows, times) = query.rows(events);
                lane.push(&rows, &times).unwrap();
            }
            let watermark = part[0].0 * SECOND;
            for lane in &mut lanes {
                // A checkpoint now and then takes everything.
                let sealed = if step % 3 == 0 { lane.take_all() } else { lane.seal(watermark) };
                sealed.into_iter().for_each(|(part, rows)| store.add(part, rows).unwrap());
            }
            let closed = store.close(watermark).unwrap();
            batches = batches.max(take(closed, &mut found));
        }
        for lane in &mut lanes {
            lane.take_all().into_iter().for_each(|(part, rows)| store.add(part, rows).unwrap());
        }
        take(store.close(i64::MAX).unwrap(), &mut found);
        assert!(found == expected(query.grid, &all), "{query:?}: other rows");
        assert!(batches > 1, "{query:?}: the groups were merged in one table");
    }
}

/// Notes the rows of closed windows; gives the greatest number of batches that one came in.
fn take(closed: Vec<ClosedWindow>, found: &mut Groups) -> usize {
    let batches = closed.iter().map(|window| window.rows.len()).max();
    for window in closed {
        for batch in window.rows {
            let [keys, counts, sums] = [0, 1, 2].map(|column| batch.column(column).as_primitive::<Int64Type>().clone());
            for row in 0..batch.num_rows() {
                let key = keys.is_valid(row).then(|| keys.value(row));
                let sum = sums.is_valid(row).then(|| sums.value(row));
                let before = found.insert((window.end, key), (counts.value(row), sum));
                assert!(before.is_none(), "a group comes once");
            }
        }
    }
    batches.unwrap_or_default()
}
