//! Files that are followed while they grow, are rotated, cut, deleted and made again.

use std::time::Duration;

use super::*;
use crate::conformance::{Fixture, items_of};
use crate::records::Records;
use crate::source::{ReadLimits, ReadStatus};

/// One poll, no waiting.
const NOW: ReadLimits = ReadLimits { bytes: 1 << 20, wait: Duration::ZERO };

fn following(path: &str, framing: Framing) -> FileSource {
    FileSource::new(FileOptions { follow: true, ..FileOptions::new(path) }, framing).unwrap()
}

async fn open(source: &FileSource, path: &str) -> Box<dyn Reader> {
    source.open(&SplitId::new(path), None).await.unwrap()
}

/// What there is to read for now, as payloads; rejected ones in brackets.
async fn news(reader: &mut dyn Reader) -> Vec<String> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let mut news = Vec::new();
    loop {
        let mut records = Records::default();
        let status = reader.read(&mut records, NOW).await.unwrap();
        news.extend(items_of(&records).into_iter().map(|item| match item {
            Item::Record { payload, .. } => text(payload),
            Item::Rejected { bytes, reason, .. } => format!("[{}: {reason}]", text(bytes)),
        }));
        match status {
            ReadStatus::More => {}
            ReadStatus::CaughtUp => return news,
            ReadStatus::Ended | ReadStatus::Left => panic!("a followed file never ends"),
        }
    }
}

#[tokio::test]
async fn keeps_the_promises_of_a_source() {
    let folder = Folder::new();
    let text = "\u{feff}one\r\ntwo\n\nthree\nwaits for its newline";
    let expected = vec![Item::record("one", 3), Item::record("two", 8), Item::record("three", 13)];
    let expected = vec![(folder.write("a.log", text), expected), (folder.write("b.log", ""), vec![])];
    let pattern = folder.text("*.log");
    Fixture::new(move || Box::new(following(&pattern, Framing::Lines)), expected).run().await;

    let rows = vec![Item::record("1,\"x\ny\"", 4), Item::record("2,z", 12)];
    let path = folder.write("c.csv", "a,b\n1,\"x\ny\"\n2,z\n3,\"op\n");
    let expected = vec![(path.clone(), rows)];
    let mut fixture = Fixture::new(move || Box::new(following(&path, CSV)), expected);
    fixture.header = Some(b"a,b");
    fixture.run().await;
}

#[tokio::test]
async fn a_line_comes_once_its_newline_does() {
    let folder = Folder::new();
    let path = folder.write("a.log", "one\ntw");
    let source = following(&path, Framing::Lines);
    assert!(!source.bounded() && !source.blocks() && !source.discovers());
    let mut reader = open(&source, &path).await;
    assert_eq!(news(&mut *reader).await, ["one"]);
    assert!(news(&mut *reader).await.is_empty());
    folder.append("a.log", "o\nthree\n");
    assert_eq!(news(&mut *reader).await, ["two", "three"]);
}

#[tokio::test]
async fn waits_no_longer_than_it_may() {
    let folder = Folder::new();
    let path = folder.write("a.log", "");
    let source = following(&path, Framing::Lines);
    let mut reader = open(&source, &path).await;
    let limits = ReadLimits { wait: Duration::from_millis(30), ..NOW };
    let mut records = Records::default();
    assert_eq!(reader.read(&mut records, limits).await.unwrap(), ReadStatus::CaughtUp);
    assert!(records.is_empty());
}

#[tokio::test]
async fn a_line_ends_the_waiting() {
    let folder = Folder::new();
    let path = folder.write("a.log", "");
    let source = following(&path, Framing::Lines);
    let mut reader = open(&source, &path).await;
    let limits = ReadLimits { wait: Duration::from_secs(3600), ..NOW };
    let mut records = Records::default();
    // The reader is polled first, and found nothing when the line is written.
    let write = async { folder.append("a.log", "one\n") };
    let (status, ()) = tokio::join!(biased; reader.read(&mut records, limits), write);
    assert_eq!((status.unwrap(), records.len()), (ReadStatus::CaughtUp, 1));
}

#[tokio::test]
async fn a_renamed_file_is_finished_before_the_next() {
    let folder = Folder::new();
    let path = folder.write("a.log", "one\n");
    let source = following(&path, Framing::Lines);
    let mut reader = open(&source, &path).await;
    assert_eq!(news(&mut *reader).await, ["one"]);

    folder.append("a.log", "two\n");
    folder.rename("a.log", "a.log.1");
    folder.append("a.log.1", "three\n");
    assert_eq!(news(&mut *reader).await, ["two", "three"]);
    // The new file is there, but its writer still writes into the old one.
    folder.write("a.log", "");
    folder.append("a.log.1", "four\n");
    assert_eq!(news(&mut *reader).await, ["four"]);
    folder.append("a.log.1", "five\nsix without a newline");
    folder.append("a.log", "seven\n");
    assert_eq!(news(&mut *reader).await, ["five", "six without a newline", "seven"]);
    folder.append("a.log.1", "too late\n");
    folder.append("a.log", "eight\n");
    assert_eq!(news(&mut *reader).await, ["eight"]);
}

#[tokio::test]
async fn two_rotations_between_two_reads_lose_nothing() {
    let folder = Folder::new();
    let path = folder.write("a.log", "one\ntwo\n");
    let source = following(&path, Framing::Lines);
    let mut reader = open(&source, &path).await;
    let one = ReadLimits { bytes: 1, ..NOW };
    let mut records = Records::default();
    reader.read(&mut records, one).await.unwrap();
    folder.rename("a.log", "a.log.1");
    folder.write("a.log", "three\n");
    reader.read(&mut records, one).await.unwrap();
    assert_eq!(items_of(&records), vec![Item::record("one", 0), Item::record("two", 4)]);
    // Seen by now, so that it is held.
    folder.rename("a.log.1", "a.log.2");
    folder.rename("a.log", "a.log.1");
    folder.write("a.log", "four\n");
    assert_eq!(news(&mut *reader).await, ["three", "four"]);
}

#[tokio::test]
async fn a_file_that_is_cut_is_read_again_from_its_start() {
    let folder = Folder::new();
    let path = folder.write("a.log", "one\ntwo\nhal");
    let source = following(&path, Framing::Lines);
    let mut reader = open(&source, &path).await;
    assert_eq!(news(&mut *reader).await, ["one", "two"]);
    // As logrotate's copytruncate does.
    fs::copy(&path, folder.path("a.log.1")).unwrap();
    folder.write("a.log", "three\n");
    assert_eq!(
        news(&mut *reader).await,
        ["[hal: the file was cut before the end of this record was written]", "three"]
    );
    folder.append("a.log", "four\n");
    assert_eq!(news(&mut *reader).await, ["four"]);
}

#[tokio::test]
async fn a_file_that_is_deleted_may_come_back() {
    let folder = Folder::new();
    let path = folder.write("a.log", "one\ntw");
    let source = following(&path, Framing::Lines);
    let mut reader = open(&source, &path).await;
    assert_eq!(news(&mut *reader).await, ["one"]);
    fs::remove_file(&path).unwrap();
    assert!(news(&mut *reader).await.is_empty());
    folder.write("a.log", "three\n");
    assert_eq!(news(&mut *reader).await, ["tw", "three"]);
}

#[tokio::test]
async fn a_file_need_not_be_there_yet() {
    let folder = Folder::new();
    let path = folder.text("a.log");
    let source = following(&path, Framing::Lines);
    assert_eq!(source.splits().await.unwrap(), [SplitId::new(path.as_str())]);
    let mut reader = open(&source, &path).await;
    assert!(news(&mut *reader).await.is_empty());
    folder.write("a.log", "one\n");
    assert_eq!(news(&mut *reader).await, ["one"]);
}

#[tokio::test]
async fn new_files_are_found() {
    let folder = Folder::new();
    folder.write("logs/a.log", "one\n");
    for pattern in ["logs/*.log", "logs"] {
        let source = following(&folder.text(pattern), Framing::Lines);
        assert!(source.discovers());
        assert_eq!(source.splits().await.unwrap(), [SplitId::new(folder.text("logs/a.log"))]);
        folder.write("logs/b.log", "two\n");
        folder.write("logs/c.log.gz", gzip(b"three\n"));
        let both = [SplitId::new(folder.text("logs/a.log")), SplitId::new(folder.text("logs/b.log"))];
        assert_eq!(source.splits().await.unwrap(), both);
        fs::remove_file(folder.path("logs/b.log")).unwrap();
    }
    let source = following(&folder.text("later/"), Framing::Lines);
    assert!(source.splits().await.unwrap().is_empty());
    let path = folder.write("later/a.log", "one\n");
    assert_eq!(source.splits().await.unwrap(), [SplitId::new(path)]);
}

/// In a followed folder a rotated file turns up under a new name; it is the old one all the same.
#[tokio::test]
async fn a_rotated_file_in_a_followed_folder_is_read_once() {
    let folder = Folder::new();
    let live = folder.write("logs/a.log", "one\n");
    let old = folder.write("logs/a.log.1", "zero\n");
    let source = following(&folder.text("logs"), Framing::Lines);
    assert_eq!(source.splits().await.unwrap().len(), 2);
    let mut live_reader = open(&source, &live).await;
    let mut old_reader = open(&source, &old).await;
    assert_eq!(news(&mut *live_reader).await, ["one"]);
    assert_eq!(news(&mut *old_reader).await, ["zero"]);

    folder.rename("logs/a.log.1", "logs/a.log.2");
    folder.rename("logs/a.log", "logs/a.log.1");
    folder.write("logs/a.log", "two\n");
    let listed = source.splits().await.unwrap();
    assert_eq!(listed, [SplitId::new(live.as_str())], "the others are read under their first names");
    assert_eq!(news(&mut *live_reader).await, ["two"]);
    assert!(news(&mut *old_reader).await.is_empty());

    // The same after a restart, from the checkpoint.
    let positions = (live_reader.position(), old_reader.position());
    let source = following(&folder.text("logs"), Framing::Lines);
    let mut live_reader = source.open(&SplitId::new(live.as_str()), Some(&positions.0)).await.unwrap();
    let mut old_reader = source.open(&SplitId::new(old.as_str()), Some(&positions.1)).await.unwrap();
    assert!(news(&mut *live_reader).await.is_empty());
    assert!(news(&mut *old_reader).await.is_empty());
    assert_eq!(source.splits().await.unwrap(), [SplitId::new(live.as_str())]);

    // Once a rotated file is deleted, nothing is remembered of it.
    fs::remove_file(folder.path("logs/a.log.1")).unwrap();
    for _ in 0..2 {
        source.splits().await.unwrap();
    }
    assert_eq!(live_reader.position().0["done"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_file_rotated_while_nobody_read_is_found_again() {
    let folder = Folder::new();
    let path = folder.write("a.log", "one\ntwo\n");
    let split = SplitId::new(path.as_str());
    let position = {
        let source = following(&path, Framing::Lines);
        let mut reader = open(&source, &path).await;
        reader.read(&mut Records::default(), ReadLimits { bytes: 1, ..NOW }).await.unwrap();
        reader.position()
    };
    folder.rename("a.log", "a.log.1");
    folder.write("a.log", "three\n");
    let source = following(&path, Framing::Lines);
    let mut reader = source.open(&split, Some(&position)).await.unwrap();
    assert_eq!(reader.position().0["offset"], 4);
    assert_eq!(news(&mut *reader).await, ["two", "three"]);

    // And where it is gone for good, the new one is read from its start.
    fs::remove_file(folder.path("a.log.1")).unwrap();
    let source = following(&path, Framing::Lines);
    let mut reader = source.open(&split, Some(&position)).await.unwrap();
    assert_eq!(news(&mut *reader).await, ["three"]);
}

#[tokio::test]
async fn a_file_cut_while_nobody_read_is_read_from_its_start() {
    let folder = Folder::new();
    for now in ["new\n", "longer than before\n"] {
        let path = folder.write("a.log", "one\ntwo\n");
        let position = {
            let source = following(&path, Framing::Lines);
            let mut reader = open(&source, &path).await;
            assert_eq!(news(&mut *reader).await, ["one", "two"]);
            reader.position()
        };
        // The same file with another content.
        folder.write("a.log", now);
        let source = following(&path, Framing::Lines);
        let mut reader = source.open(&SplitId::new(path.as_str()), Some(&position)).await.unwrap();
        assert_eq!(news(&mut *reader).await, [now.trim_end()]);
    }
}

#[tokio::test]
async fn what_was_read_without_following_is_not_read_again() {
    let folder = Folder::new();
    let path = folder.write("a.log", "one\n");
    let mut reader = source(&path, Framing::Lines).open(&SplitId::new(path.as_str()), None).await.unwrap();
    reader.read(&mut Records::default(), NOW).await.unwrap();
    folder.append("a.log", "two\n");
    let source = following(&path, Framing::Lines);
    let mut reader = source.open(&SplitId::new(path.as_str()), Some(&reader.position())).await.unwrap();
    assert_eq!(news(&mut *reader).await, ["two"]);
}

/// The rotated name sorts before the live one here, so that it is opened first.
#[tokio::test]
async fn a_rotated_file_is_not_read_again_after_a_restart_whatever_its_name() {
    let folder = Folder::new();
    let live = folder.write("logs/b.log", "one\n");
    let position = {
        let source = following(&folder.text("logs"), Framing::Lines);
        let mut reader = open(&source, &live).await;
        assert_eq!(news(&mut *reader).await, ["one"]);
        reader.position()
    };
    folder.rename("logs/b.log", "logs/a.log");
    folder.append("logs/a.log", "two\n");
    folder.write("logs/b.log", "three\n");
    let source = following(&folder.text("logs"), Framing::Lines);
    let mut rotated = open(&source, &folder.text("logs/a.log")).await;
    let mut reader = source.open(&SplitId::new(live.as_str()), Some(&position)).await.unwrap();
    assert!(news(&mut *rotated).await.is_empty());
    assert_eq!(news(&mut *reader).await, ["two", "three"]);
}

/// The header belongs to the file, so no read holds records of two files.
#[tokio::test]
async fn every_file_has_its_own_header() {
    let folder = Folder::new();
    let path = folder.write("a.csv", "a,b\n1,2\n");
    let source = following(&path, CSV);
    let mut reader = open(&source, &path).await;
    assert_eq!(news(&mut *reader).await, ["1,2"]);
    folder.rename("a.csv", "a.csv.1");
    folder.append("a.csv.1", "3,4");
    folder.write("a.csv", "b,a\n6,5\n");
    let mut seen = Vec::new();
    loop {
        let mut records = Records::default();
        let status = reader.read(&mut records, NOW).await.unwrap();
        for i in 0..records.len() {
            let header = String::from_utf8(records.header().unwrap().to_vec()).unwrap();
            seen.push((header, String::from_utf8(records.payload(i).to_vec()).unwrap()));
        }
        if status == ReadStatus::CaughtUp && records.is_empty() {
            break;
        }
    }
    let seen: Vec<_> = seen.iter().map(|(header, row)| (header.as_str(), row.as_str())).collect();
    assert_eq!(seen, [("a,b", "3,4"), ("b,a", "6,5")]);
}

#[tokio::test]
async fn a_folder_cannot_be_followed_as_a_file() {
    let folder = Folder::new();
    let path = folder.text("a.log");
    let source = following(&path, Framing::Lines);
    let mut reader = open(&source, &path).await;
    fs::create_dir(&path).unwrap();
    assert!(refusal(reader.read(&mut Records::default(), NOW).await).contains("is not a regular file"));
}
