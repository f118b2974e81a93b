//! The example that reads Wikimedia's edits, over a recorded stream: `scripts/sse-replay` serves it and cuts every
//! connection off in the middle of an event.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::daemon::{Place, until};

/// Events in the recording, and those of them that Wikimedia sends to itself.
const EVENTS: u64 = 60;
const CANARIES: u64 = 3;

struct Replay(Child);

impl Drop for Replay {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Serves the recording; gives the address.
fn replay(cut: usize, heads: &Path) -> (Replay, String) {
    let mut process = Command::new("python3")
        .arg(root().join("scripts/sse-replay"))
        .arg(root().join("examples/data/edits.ndjson"))
        .args(["--rate", "300", "--cut", &cut.to_string(), "--heads"])
        .arg(heads)
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs the replay server");
    let mut address = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
    (Replay(process), address.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_edit_is_stored_once_over_cut_connections_and_a_kill() {
    let example = fs::read_to_string(root().join("examples/wikimedia.toml")).unwrap();
    let place = Place::new("");
    for name in ["busiest_wikis.sql", "edits.sql"] {
        fs::create_dir_all(place.path("pipelines")).unwrap();
        fs::copy(root().join("examples/pipelines").join(name), place.path("pipelines").join(name)).unwrap();
    }
    let (_replay, address) = replay(7, &place.path("heads"));
    let http = format!("[http]\nlisten = \"127.0.0.1:{}\"\n[checkpoint]\ninterval = \"50ms\"\n", place.port());
    let region = example.replace("https://stream.wikimedia.org/v2/stream/recentchange", &address);
    fs::write(place.path("eu.toml"), region.replace("[checkpoint]\n", &http)).unwrap();

    let daemon = place.start();
    // Killed when a part of the stream is in a manifest, wherever that is.
    until("a part is stored", || async { place.stored("eqiad.mediawiki.recentchange") }).await;
    daemon.kill();
    let daemon = place.start();
    let all = format!("\"events\":{EVENTS}");
    until("all is stored", || async { place.stored(&all) || place.stored(&all.replace(':', ": ")) }).await;
    let ended = place.stop(daemon);
    assert_eq!(ended.report["lifetime"]["read"], EVENTS, "{}", ended.said);
    assert_eq!(
        place.query("SELECT count(*) AS n, count(DISTINCT id) AS ids, count(place) AS places FROM edits"),
        [json!({ "n": EVENTS - CANARIES, "ids": EVENTS - CANARIES, "places": EVENTS - CANARIES })]
    );
    let heads = fs::read_to_string(place.path("heads")).unwrap();
    assert!(heads.lines().count() >= EVENTS as usize / 7, "connections went on at {heads}");
    assert!(!ended.said.contains("WARN"), "a server that ends connections is no trouble: {}", ended.said);
}
