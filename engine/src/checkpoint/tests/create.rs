#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use super::super::error::reason;

use super::*;

fn path() -> Path {
    Path::from("a/b")
}

fn put(rig: &Rig, bytes: &'static [u8]) -> Result<Created, StateError> {
    block_on(create(&rig.state(), &path(), Bytes::from_static(bytes)))
}

fn there(rig: &Rig) -> Option<Bytes> {
    let get = async { rig.memory.get(&path()).await.ok()?.bytes().await.ok() };
    block_on(get)
}

/// The table of `create`, with each of the faults that can stand behind a row.
#[test]
fn every_fault_ends_as_what_lies_there_says() {
    use Fault::*;
    for fault in [Error, LostAnswer, Hang, DoneAndHang, Late, Slow, FalseConflict, Precondition] {
        let fresh = Rig::new(1);
        fresh.store.fail_next(Operation::Put, Some(fault));
        assert_eq!(put(&fresh, b"mine").unwrap(), Created::Written, "{fault:?}");
        assert_eq!(there(&fresh).unwrap(), "mine", "{fault:?}");

        let taken = Rig::new(1);
        block_on(taken.memory.put(&path(), "theirs".into())).unwrap();
        taken.store.fail_next(Operation::Put, Some(fault));
        assert_eq!(put(&taken, b"mine").unwrap(), Created::Conflict { found: "theirs".into() }, "{fault:?}");
        assert_eq!(there(&taken).unwrap(), "theirs", "{fault:?}");
        assert_eq!(taken.store.injected()[&(Operation::Put, fault)], 1);
    }
}

#[test]
fn a_get_that_fails_in_between_is_asked_again() {
    let rig = Rig::new(1);
    rig.store.fail_next(Operation::Put, Some(Fault::LostAnswer));
    rig.store.fail_next(Operation::Get, Some(Fault::Error));
    rig.store.fail_next(Operation::Get, Some(Fault::Hang));
    assert_eq!(put(&rig, b"mine").unwrap(), Created::Written);
}

#[test]
fn patience_ends_and_the_error_says_what_could_not_be_done() {
    let rig = Rig::new(1);
    rig.store.fail(Operation::Put, Fault::Error, 1.0);
    let error = put(&rig, b"mine").unwrap_err();
    assert!(matches!(error, StateError::Retry { .. }));
    assert_eq!(error.to_string(), "can't write a/b in memory://state: Generic FaultyStore error: 500");
    // Nothing has ever worked there: a minute is enough.
    assert_eq!(rig.world.elapsed(), Duration::from_secs(60));

    let proven = rig.state();
    block_on(proven.exists(&path())).unwrap();
    let before = rig.world.elapsed();
    block_on(create(&proven, &path(), Bytes::new())).unwrap_err();
    assert_eq!(rig.world.elapsed() - before, Duration::from_secs(600));
}

#[test]
fn what_only_the_user_can_mend_is_said_at_once() {
    let world = Simulated::new(1);
    let state = StateStore::new(Arc::new(InMemory::new()), "memory://state", Arc::new(world.clone()));
    for (error, help) in [
        (std::io::ErrorKind::StorageFull, "the disk is full; free some space"),
        (std::io::ErrorKind::ReadOnlyFilesystem, "read-only; mount it writable"),
        (std::io::ErrorKind::PermissionDenied, "permission denied"),
    ] {
        let cause = object_store::Error::Generic { store: "x", source: Box::new(std::io::Error::from(error)) };
        let error = block_on(state.begin("write x".to_string()).wait(cause)).unwrap_err();
        assert!(matches!(&error, StateError::Config { what } if what.contains(help)), "{error}");
    }
    assert_eq!(world.elapsed(), Duration::ZERO);
}

/// A listing of a bucket that is not there, as object_store tells it.
#[test]
fn a_refused_listing_is_told_from_passing_trouble() {
    let told = |status: &str| {
        let text =
            format!("Error performing GET http://h/b in 4ms - Server returned non-2xx status code: {status}: <x/>");
        reason(&object_store::Error::Generic { store: "S3", source: text.into() })
    };
    assert!(told("404 Not Found").unwrap().starts_with("it does not exist; make the bucket"));
    assert!(told("403 Forbidden").unwrap().starts_with("permission denied"));
    assert_eq!(told("503 Slow Down"), None);
}
