use std::time::Duration;

use super::super::checkpoint::Checkpoint;
use super::super::lease::{Lease, Outcome};
use super::super::worker::{Claim, Then, Worker};
use super::{after, apply, lease};

const DURATION: Duration = Duration::from_secs(10);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Does what the worker plans.
fn take(worker: &mut Worker, rows: &mut [Lease], now: Duration) {
    worker.observe(rows.to_vec(), now);
    for change in worker.plan(now) {
        let row = rows.iter_mut().find(|row| row.shard == change.to.shard).unwrap();
        let outcome = apply(row, &change);
        worker.planned(&change, outcome, now, now);
    }
}

/// Does the worker's renewals, those again that it wants to.
fn renew(worker: &mut Worker, rows: &mut [Lease], now: Duration) {
    for _ in 0..2 {
        for renewal in worker.renewals(true, now) {
            let row = rows.iter_mut().find(|row| row.shard == renewal.change.to.shard).unwrap();
            let outcome = apply(row, &renewal.change);
            worker.renewed(&renewal, outcome, now, now);
        }
    }
}

fn grant(worker: &mut Worker, shard: &str, now: Duration) -> (u64, Checkpoint) {
    match worker.claim(shard, now) {
        Claim::Held { grant, checkpoint, .. } => (grant, checkpoint),
        other => panic!("{shard} is {other:?}"),
    }
}

#[test]
fn a_lease_is_believed_in_for_a_duration_after_the_last_write_was_sent() {
    let (mut worker, mut rows) = (Worker::new("me", None, DURATION), [lease("a")]);
    take(&mut worker, &mut rows, at(0));
    let (granted, _) = grant(&mut worker, "a", at(0));
    assert!(worker.may_read("a", granted, at(9)));
    assert!(!worker.may_read("a", granted, at(10)));
    let renewal = worker.renewals(true, at(3)).remove(0);
    let outcome = apply(&mut rows[0], &renewal.change);
    // Sent at 3, answered at 8.
    worker.renewed(&renewal, outcome, at(3), at(8));
    assert!(worker.may_read("a", granted, at(12)));
    assert!(!worker.may_read("a", granted, at(13)));
    assert!(worker.renewals(true, at(13)).is_empty());
    // It has not changed hands: it is taken anew, for a reader that is opened anew.
    take(&mut worker, &mut rows, at(14));
    assert!(!worker.may_read("a", granted, at(14)));
    let (again, _) = grant(&mut worker, "a", at(14));
    assert!(worker.may_read("a", again, at(14)));
    worker.durable("a", granted, Some(after(5, 0)), Then::Nothing);
    renew(&mut worker, &mut rows, at(15));
    assert_eq!(rows[0].checkpoint, Checkpoint::TrimHorizon, "who has lost a lease must not write its checkpoint");
}

#[test]
fn an_answer_that_was_lost_costs_nothing() {
    let (mut worker, mut rows) = (Worker::new("me", None, DURATION), [lease("a")]);
    worker.observe(rows.to_vec(), at(0));
    let change = worker.plan(at(0)).remove(0);
    apply(&mut rows[0], &change);
    worker.planned(&change, Outcome::Unknown, at(0), at(1));
    take(&mut worker, &mut rows, at(2));
    let (granted, _) = grant(&mut worker, "a", at(2));
    // Twice done, never answered.
    for second in [3, 4] {
        let renewal = worker.renewals(true, at(second)).remove(0);
        apply(&mut rows[0], &renewal.change);
        worker.renewed(&renewal, Outcome::Unknown, at(second), at(second));
    }
    let renewal = worker.renewals(true, at(5)).remove(0);
    let outcome = apply(&mut rows[0], &renewal.change);
    assert!(worker.renewed(&renewal, outcome, at(5), at(5)), "it is to be renewed for good");
    // What was done was sent at 3: others may have seen it since.
    assert!(worker.may_read("a", granted, at(12)));
    assert!(!worker.may_read("a", granted, at(13)));
    renew(&mut worker, &mut rows, at(5));
    assert!(worker.may_read("a", granted, at(14)));
    // A write by somebody of the same name is none of ours.
    rows[0].counter += 1;
    renew(&mut worker, &mut rows, at(6));
    assert!(!worker.may_read("a", granted, at(6)));
}

#[test]
fn a_shard_is_handed_over_at_what_is_durable() {
    let (mut a, mut b) = (Worker::new("a", None, DURATION), Worker::new("b", None, DURATION));
    let mut rows = [lease("1"), lease("2")];
    take(&mut a, &mut rows, at(0));
    let grants: Vec<_> = ["1", "2"].map(|shard| grant(&mut a, shard, at(0)).0).into();
    take(&mut b, &mut rows, at(1));
    let wanted = rows.iter().position(|row| row.leaving.as_deref() == Some("a")).unwrap();
    let (shard, granted) = (rows[wanted].shard.clone(), grants[wanted]);
    assert_eq!(b.claim(&shard, at(1)), Claim::Coming);
    assert!(b.shards(at(1)).contains(&shard), "who waits for it has it on the clock");
    assert!(a.may_read(&shard, granted, at(1)));
    renew(&mut a, &mut rows, at(2));
    assert!(!a.may_read(&shard, granted, at(2)));
    assert!(!a.shards(at(2)).contains(&shard));
    // Until the epoch is over the lease is kept alive, and what is durable grows.
    a.durable(&shard, granted, Some(after(7, 0)), Then::Nothing);
    renew(&mut a, &mut rows, at(5));
    assert_eq!((rows[wanted].checkpoint.clone(), rows[wanted].leaving.as_deref()), (after(7, 0), Some("a")));
    take(&mut b, &mut rows, at(6));
    assert_eq!(b.claim(&shard, at(6)), Claim::Coming);
    a.durable(&shard, granted, Some(after(9, 2)), Then::Over);
    renew(&mut a, &mut rows, at(7));
    assert_eq!((rows[wanted].owner.as_deref(), rows[wanted].leaving.as_deref()), (Some("b"), None));
    assert_eq!(a.claim(&shard, at(7)), Claim::Elsewhere);
    take(&mut b, &mut rows, at(8));
    assert_eq!(grant(&mut b, &shard, at(8)).1, after(9, 2));
}

#[test]
fn a_shard_that_nobody_reads_yet_is_handed_over_at_once() {
    let (mut a, mut b) = (Worker::new("a", None, DURATION), Worker::new("b", None, DURATION));
    let mut rows = [lease("1"), lease("2")];
    take(&mut a, &mut rows, at(0));
    take(&mut b, &mut rows, at(1));
    renew(&mut a, &mut rows, at(2));
    assert!(rows.iter().all(|row| row.leaving.is_none()));
    take(&mut b, &mut rows, at(3));
    assert_eq!(b.shards(at(3)).len(), 1);
}

#[test]
fn the_children_of_a_drained_shard_are_on_the_clock_at_once_and_taken_when_its_end_is_durable() {
    let mut worker = Worker::new("me", None, DURATION);
    let mut rows = [lease("p"), lease("c")];
    rows[1].parents = vec!["p".to_string()];
    take(&mut worker, &mut rows, at(0));
    let (granted, _) = grant(&mut worker, "p", at(0));
    assert!(!worker.shards(at(0)).contains("c"));
    worker.drained("p", granted);
    assert!(worker.shards(at(0)).contains("c"));
    take(&mut worker, &mut rows, at(1));
    assert_eq!(worker.claim("c", at(1)), Claim::Coming);
    worker.durable("p", granted, Some(Checkpoint::ShardEnd), Then::Over);
    renew(&mut worker, &mut rows, at(2));
    assert_eq!((rows[0].checkpoint.clone(), rows[0].owner.clone()), (Checkpoint::ShardEnd, None));
    take(&mut worker, &mut rows, at(3));
    grant(&mut worker, "c", at(3));
}

#[test]
fn an_end_that_a_checkpoint_knows_is_told_to_the_table() {
    let (mut worker, mut rows) = (Worker::new("me", None, DURATION), [lease("p")]);
    worker.remember_drained("p");
    take(&mut worker, &mut rows, at(0));
    assert!(worker.shards(at(0)).is_empty());
    renew(&mut worker, &mut rows, at(1));
    assert_eq!(rows[0].checkpoint, Checkpoint::ShardEnd);
}

#[test]
fn closing_gives_everything_back() {
    let (mut a, mut b) = (Worker::new("a", None, DURATION), Worker::new("b", None, DURATION));
    let mut rows = [lease("1"), lease("2")];
    take(&mut a, &mut rows, at(0));
    let (one, _) = grant(&mut a, "1", at(0));
    let (two, _) = grant(&mut a, "2", at(0));
    a.durable("1", one, Some(after(5, 0)), Then::Nothing);
    take(&mut b, &mut rows, at(1));
    // The wish is taken back by who does not need it any more …
    b.close();
    take(&mut b, &mut rows, at(2));
    assert!(rows.iter().all(|row| row.owner.as_deref() == Some("a") && row.leaving.is_none()), "{rows:?}");
    assert!(!b.holds_any());
    // … and the leases are given back by who has them.
    a.close();
    assert!(!a.may_read("2", two, at(2)));
    renew(&mut a, &mut rows, at(3));
    assert!(rows.iter().all(|row| row.owner.is_none()), "{rows:?}");
    assert_eq!(rows[0].checkpoint, after(5, 0));
    assert!(!a.holds_any());
}

/// Who had a shard before, and has not given it back, may know more than the table.
#[test]
fn what_was_taken_is_read_once_its_last_holder_was_asked() {
    let (mut a, mut b) = (Worker::new("a", Some("of a"), DURATION), Worker::new("b", Some("of b"), DURATION));
    let mut c = Worker::new("c", Some("of c"), DURATION);
    let mut rows = [lease("1")];
    take(&mut a, &mut rows, at(0));
    assert_eq!((rows[0].state.as_deref(), rows[0].before.as_deref()), (Some("of a"), None));
    // Nobody had it before.
    let (granted, _) = grant(&mut a, "1", at(0));
    a.handed_out("1", granted);
    b.observe(rows.to_vec(), at(1));
    // It dies. Who takes the lease, and dies in turn before it has asked, has read nothing.
    take(&mut b, &mut rows, at(11));
    assert_eq!((rows[0].state.as_deref(), rows[0].before.as_deref()), (Some("of b"), Some("of a")));
    assert_eq!(b.claim("1", at(11)), Claim::Coming);
    renew(&mut b, &mut rows, at(12));
    assert_eq!(rows[0].before.as_deref(), Some("of a"), "a sign of life asks nobody");
    c.observe(rows.to_vec(), at(12));
    take(&mut c, &mut rows, at(22));
    let question = c.questions(at(22)).remove(0);
    assert_eq!(question.before, "of a");
    c.answered(&question, Some(after(9, 1)));
    assert!(c.questions(at(22)).is_empty());
    assert_eq!(c.claim("1", at(22)), Claim::Coming, "were it read now, a death would leave nobody who knows");
    renew(&mut c, &mut rows, at(23));
    assert_eq!((rows[0].state.as_deref(), rows[0].before.as_deref()), (Some("of c"), None));
    assert_eq!(rows[0].checkpoint, after(9, 1));
    assert_eq!(grant(&mut c, "1", at(23)).1, after(9, 1));
    assert!(b.questions(at(23)).is_empty(), "who has lost it ends nobody's right");
}

#[test]
fn an_end_that_only_its_last_holder_knew_is_told_to_the_table() {
    let mut worker = Worker::new("b", Some("of b"), DURATION);
    let mut rows = [Lease { state: Some("of a".to_string()), ..lease("1") }];
    take(&mut worker, &mut rows, at(0));
    let question = worker.questions(at(0)).remove(0);
    worker.answered(&question, Some(Checkpoint::ShardEnd));
    renew(&mut worker, &mut rows, at(1));
    assert_eq!((rows[0].checkpoint.clone(), rows[0].owner.clone()), (Checkpoint::ShardEnd, None));
}

#[test]
fn a_state_that_cannot_be_had_is_gone_without() {
    let mut worker = Worker::new("b", Some("of b"), DURATION);
    let mut rows = [Lease { state: Some("of a".to_string()), checkpoint: after(5, 0), ..lease("1") }];
    take(&mut worker, &mut rows, at(0));
    let question = worker.questions(at(0)).remove(0);
    worker.answered(&question, None);
    renew(&mut worker, &mut rows, at(1));
    assert_eq!(grant(&mut worker, "1", at(1)).1, after(5, 0));
}

/// A run that ends with an error closes its sources, too.
#[test]
fn what_is_given_back_with_records_that_may_be_durable_names_the_state() {
    let mut a = Worker::new("a", Some("of a"), DURATION);
    let mut rows = [lease("1"), lease("2")];
    take(&mut a, &mut rows, at(0));
    let (one, _) = grant(&mut a, "1", at(0));
    let (two, _) = grant(&mut a, "2", at(0));
    for (shard, granted) in [("1", one), ("2", two)] {
        a.handed_out(shard, granted);
    }
    a.durable("1", one, Some(after(5, 0)), Then::Nothing);
    a.durable("2", two, Some(after(5, 0)), Then::More);
    a.close();
    renew(&mut a, &mut rows, at(1));
    assert!(rows.iter().all(|row| row.owner.is_none()));
    assert_eq!(rows.map(|row| row.state), [None, Some("of a".to_string())]);
}
