#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::fs::PermissionsExt;

use watershed_sinks::store::StoreOptions;

use super::*;
use crate::environment::System;

fn opened(url: &str) -> Chain {
    let place = Place::open(url, &StoreOptions::default()).unwrap();
    Chain::open(place.store, &place.root, &place.shown, Arc::new(System::new()))
}

#[tokio::test]
async fn a_chain_on_a_disk_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("var/eu/state").display().to_string();
    let chain = opened(&url);
    let mut writer = chain.take_over(same).await.unwrap();
    let name = chain.segment_name(2);
    let (bytes, piece) = segment(&name, &rows(0, 5));
    chain.put_segment(&name, bytes).await.unwrap();
    writer.append(manifest(9, vec![piece.clone()])).await.unwrap();
    chain.sweep(writer.newest()).await;

    let again = opened(&format!("file://{url}"));
    let newest = again.newest().await.unwrap().unwrap();
    assert_eq!(newest, **writer.newest());
    again.take_over(same).await.unwrap();
    assert_eq!(again.read_blocks(&[piece]).await.unwrap(), [rows(0, 5)]);
    assert!(matches!(writer.append(manifest(1, vec![])).await, Err(StateError::Fenced { epoch: 3, .. })));
    let left: Vec<_> = std::fs::read_dir(folder.path().join("var/eu/state/checkpoints")).unwrap().collect();
    assert_eq!(left.len(), 3, "no unfinished file stays: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_creates_the_object() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(&folder.path().display().to_string(), &StoreOptions::default()).unwrap();
    for round in 0..20 {
        let path = Path::from(format!("checkpoints/{round}"));
        let tries = (0..8).map(|number| {
            let state = StateStore::new(place.store.clone(), "x", Arc::new(System::new()));
            let path = path.clone();
            tokio::spawn(async move { create(&state, &path, format!("by {number}").into()).await.unwrap() })
        });
        let ends = futures::future::join_all(tries).await;
        assert_eq!(ends.into_iter().filter(|end| *end.as_ref().unwrap() == Created::Written).count(), 1);
    }
}

#[tokio::test]
async fn a_disk_store_replaces_and_creates() {
    let folder = tempfile::tempdir().unwrap();
    let store = Place::open(&folder.path().display().to_string(), &StoreOptions::default()).unwrap().store;
    let path = Path::from("a/b/c");
    store.put(&path, "one".into()).await.unwrap();
    store.put(&path, "two".into()).await.unwrap();
    let error = store.put_opts(&path, "three".into(), object_store::PutMode::Create.into()).await.unwrap_err();
    assert!(matches!(error, object_store::Error::AlreadyExists { .. }));
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "two");
    store.delete(&path).await.unwrap();
    assert!(std::fs::read_dir(folder.path().join("a/b")).unwrap().next().is_none());
}

#[test]
fn abandoned_files_are_removed_on_opening_and_young_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let segments = folder.path().join("segments");
    std::fs::create_dir(&segments).unwrap();
    let old = std::fs::FileTimes::new().set_modified(SystemTime::now() - std::time::Duration::from_secs(7200));
    for (name, age) in [("a.seg#12", true), ("b.seg#12", false), ("c.seg", true), ("d#e", true)] {
        let file = std::fs::File::create(segments.join(name)).unwrap();
        if age {
            file.set_times(old).unwrap();
        }
    }
    Place::open(&folder.path().display().to_string(), &StoreOptions::default()).unwrap();
    let mut left: Vec<_> = std::fs::read_dir(&segments).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["b.seg#12", "c.seg", "d#e"]);
}

#[test]
fn places_that_cannot_be_opened_say_why_and_keep_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let below = file.join("state").display().to_string();
    let cases = [
        (below.as_str(), format!("can't open the state folder {below}: a part of the path is a file")),
        (
            "ftp://user:secret@host/x?sig=secret",
            "can't open the state store ftp://host/x: url: \"ftp://host/x\": unknown scheme".into(),
        ),
        ("s3://user:secret@/x", "can't open the state store s3:///x: ".into()),
        ("file://host/x", "can't open the state store file://host/x: url: \"file://host/x\" names a host".into()),
        ("az://a.b/x?sv=secret", "can't open the state store az://a.b/x: ".into()),
    ];
    for (url, said) in cases {
        let error = Place::open(url, &StoreOptions::default()).unwrap_err();
        assert!(matches!(error, StateError::Config { .. }));
        let text = error.to_string();
        assert!(text.starts_with(&said), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn cloud_urls_open_without_a_request() {
    let s3 = Place::open("s3://bucket/some/folder/", &StoreOptions::default()).unwrap();
    assert_eq!((s3.root.as_ref(), s3.shown.as_str()), ("some/folder", "s3://bucket/some/folder"));
    let azure = Place::open("abfss://box@account.dfs.core.windows.net/x", &StoreOptions::default()).unwrap();
    assert_eq!((azure.root.as_ref(), azure.shown.as_str()), ("x", "abfss://box@account.dfs.core.windows.net/x"));
}

#[tokio::test]
async fn a_folder_without_permission_is_the_users_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    let chain = opened(&folder.path().display().to_string());
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    // The super-user may write there all the same.
    if std::fs::write(folder.path().join("probe"), "x").is_err() {
        let error = chain.take_over(same).await.unwrap_err();
        assert!(matches!(&error, StateError::Config { what } if what.contains("permission denied")), "{error}");
    }
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
}
