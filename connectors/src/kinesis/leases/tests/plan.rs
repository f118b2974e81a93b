use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::checkpoint::Checkpoint;
use super::super::lease::Lease;
use super::super::plan::{Seen, View, plan};
use super::{lease, owned};

const NOW: Duration = Duration::from_secs(1_000);
const DURATION: Duration = Duration::from_secs(10);

/// One row, silent for so many seconds, with the same owners for so many.
fn row(lease: Lease, silent: u64, same: u64) -> Seen {
    let before = |seconds| NOW - Duration::from_secs(seconds);
    Seen { lease, unchanged_since: before(silent), owners_since: before(same) }
}

fn wished(shard: &str, owner: &str, leaving: &str) -> Lease {
    Lease { leaving: Some(leaving.to_string()), ..owned(shard, owner) }
}

fn with_state(lease: Lease, state: &str) -> Lease {
    Lease { state: Some(state.to_string()), ..lease }
}

fn finished(shard: &str) -> Lease {
    Lease { checkpoint: Checkpoint::ShardEnd, ..lease(shard) }
}

fn child(shard: &str, parents: &[&str]) -> Lease {
    Lease { parents: parents.iter().map(ToString::to_string).collect(), ..lease(shard) }
}

/// What `me` does, as text: `+shard` takes, `?shard` wishes.
fn planned(rows: Vec<Seen>, held: &[&str], expected: &[&str]) -> Vec<String> {
    let table: BTreeMap<String, Seen> = rows.into_iter().map(|seen| (seen.lease.shard.clone(), seen)).collect();
    let set = |shards: &[&str]| shards.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
    let (held, expected) = (set(held), set(expected));
    let view =
        View { me: "me", state: Some("my state"), duration: DURATION, table: &table, held: &held, expected: &expected };
    let mut words: Vec<String> = Vec::new();
    for change in plan(&view, NOW) {
        assert_eq!(change.to.owner.as_deref(), Some("me"));
        let sign = if change.to.leaving.is_some() { '?' } else { '+' };
        words.push(format!("{sign}{}", change.to.shard));
    }
    words.sort();
    words
}

/// What it is, the rows, the shards held and expected, and what is done.
type Case = (&'static str, Vec<Seen>, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

#[test]
fn leases_are_taken_when_they_are_free_and_never_before() {
    let live = |shard: &str, owner: &str| row(owned(shard, owner), 3, 500);
    let table: Vec<Case> = vec![
        ("nothing is there", vec![], &[], &[], &[]),
        ("alone, all is taken", vec![row(lease("a"), 0, 0), row(lease("b"), 0, 0)], &[], &[], &["+a", "+b"]),
        ("its owner lives", vec![row(owned("a", "x"), 9, 500)], &[], &[], &[]),
        ("its owner is silent", vec![row(owned("a", "x"), 10, 500)], &[], &[], &["+a"]),
        ("finished", vec![row(finished("a"), 500, 500)], &[], &[], &[]),
        ("parent not finished", vec![live("a", "x"), row(child("b", &["a"]), 0, 0)], &[], &[], &[]),
        (
            "one of two parents not",
            vec![row(finished("a"), 0, 0), live("b", "x"), row(child("c", &["a", "b"]), 0, 0)],
            &[],
            &[],
            &[],
        ),
        ("all parents finished", vec![row(finished("a"), 0, 0), row(child("b", &["a"]), 0, 0)], &[], &[], &["+b"]),
        ("parent has no row", vec![row(child("b", &["a"]), 0, 0)], &[], &[], &["+b"]),
        ("held already", vec![row(owned("a", "me"), 500, 500)], &["a"], &[], &[]),
        ("handed over", vec![row(owned("a", "me"), 0, 0)], &[], &[], &["+a"]),
        (
            "the share only",
            vec![live("a", "x"), row(lease("b"), 0, 0), live("c", "x"), row(lease("d"), 0, 0)],
            &[],
            &[],
            &["+b", "+d"],
        ),
        (
            "the share is reached",
            vec![live("a", "me"), live("b", "x"), live("c", "me"), row(lease("d"), 0, 0)],
            &["a", "c"],
            &[],
            &[],
        ),
        (
            "nobody else has taken it",
            vec![live("a", "me"), live("b", "x"), live("c", "me"), row(lease("d"), 10, 10)],
            &["a", "c"],
            &[],
            &["+d"],
        ),
        (
            "a child of its own",
            vec![live("a", "me"), live("b", "x"), live("c", "me"), row(lease("d"), 0, 0)],
            &["a", "c"],
            &["d"],
            &["+d"],
        ),
        (
            "its owner lives, with another state",
            vec![row(with_state(owned("a", "x"), "theirs"), 9, 500)],
            &[],
            &[],
            &[],
        ),
        (
            "held by an earlier life",
            vec![row(with_state(owned("a", "me-before"), "my state"), 1, 500)],
            &[],
            &[],
            &["+a"],
        ),
        (
            "and wished by another",
            vec![row(with_state(wished("a", "x", "me-before"), "my state"), 1, 1)],
            &[],
            &[],
            &["+a"],
        ),
        (
            "its taker asks an earlier life",
            vec![row(Lease { before: Some("my state".to_string()), ..with_state(owned("a", "x"), "theirs") }, 1, 1)],
            &[],
            &[],
            &[],
        ),
        ("wished, and its owner lives", vec![row(wished("a", "me", "x"), 3, 29)], &[], &[], &[]),
        ("wished, and its owner is silent", vec![row(wished("a", "me", "x"), 10, 12)], &[], &[], &["+a"]),
        ("wished, in vain", vec![row(wished("a", "me", "x"), 3, 30)], &[], &[], &["+a"]),
        ("wished by another", vec![row(wished("a", "y", "x"), 3, 500)], &[], &[], &[]),
        ("wished by another, both silent", vec![row(wished("a", "y", "x"), 10, 500)], &[], &[], &["+a"]),
    ];
    for (name, rows, held, expected, changes) in table {
        assert_eq!(planned(rows, held, expected), changes, "{name}");
    }
}

#[test]
fn leases_are_wished_one_at_a_time_from_who_has_most() {
    let live = |shard: &str, owner: &str| row(owned(shard, owner), 0, 500);
    let asked = |rows: Vec<Seen>, held: &[&str]| planned(rows, held, &[]);
    // Two of two: one is asked for.
    assert_eq!(asked(vec![live("a", "x"), live("b", "x")], &[]).len(), 1);
    // One of one: asking would only turn the lack around.
    assert!(asked(vec![live("a", "x")], &[]).is_empty());
    // A difference of one stays.
    assert!(asked(vec![live("a", "x"), live("b", "x"), live("c", "me")], &["c"]).is_empty());
    // From the heaviest, not from the next.
    let rows = vec![live("a", "x"), live("b", "x"), live("c", "x"), live("d", "y"), live("e", "y")];
    let asked_for = asked(rows, &[]);
    assert!(["?a", "?b", "?c"].contains(&asked_for[0].as_str()), "{asked_for:?}");
    // One wish at a time, and none while something is free.
    let pending = row(wished("c", "me", "x"), 0, 0);
    assert!(asked(vec![live("a", "x"), live("b", "x"), pending, live("d", "x"), live("e", "x")], &[]).is_empty());
    let free = vec![live("a", "x"), live("b", "x"), live("c", "x"), row(lease("d"), 0, 0)];
    assert_eq!(asked(free, &[]), ["+d"]);
    // Not what is on its way to somebody else.
    let going = |shard: &str| row(wished(shard, "y", "x"), 0, 0);
    assert!(asked(vec![going("a"), going("b")], &[]).is_empty());
}
