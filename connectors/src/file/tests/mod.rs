#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bounded;
mod broken;
mod follow;
mod listing;

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;
use crate::conformance::Item;

const CSV: Framing = Framing::Csv { header: true, quote: b'"' };

/// A folder that lives as long as its test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self.text(name)
    }

    fn append(&self, name: &str, content: &str) {
        let mut file = fs::OpenOptions::new().append(true).open(self.path(name)).unwrap();
        file.write_all(content.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn source(path: &str, framing: Framing) -> FileSource {
    FileSource::new(FileOptions::new(path), framing).unwrap()
}

/// The lines of `text` as items, for text without anything special.
fn lines(text: &str) -> Vec<Item> {
    let mut at = 0;
    let mut items = Vec::new();
    for line in text.split_inclusive('\n') {
        items.push(Item::record(line.trim_end_matches('\n'), at));
        at += line.len() as u64;
    }
    items
}

/// Many lines that no compressor makes much smaller.
fn long_text(count: u64) -> String {
    let mut state = 1u64;
    let mut text = String::new();
    for i in 0..count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{{\"number\":{i},\"noise\":\"{state:016x}{:016x}\"}}\n", state.rotate_left(29)));
    }
    text
}

/// The message of the error with which something must fail for reasons of configuration.
fn refusal<T>(outcome: Result<T, SourceError>) -> String {
    match outcome {
        Err(SourceError::Config { what }) => what,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("no error"),
    }
}
