//! Records sent to the daemon.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::daemon::{OPENING, Place, answer, until};

const PIPELINE: &str = r#"
[pipelines.raw]
sql = "SELECT id, amount FROM orders"
sink = "lake"
[sources.orders]
connector = "http"
schema = { id = "bigint", amount = "double" }
deduplicate = { key = "id", within = "1h" }
"#;

/// The region file, with more keys of the source.
fn region(more: &str) -> String {
    format!("{OPENING}{PIPELINE}{more}")
}

fn lines(ids: impl Iterator<Item = u64>) -> String {
    ids.map(|id| format!("{{\"id\":{id},\"amount\":1.5}}\n")).collect()
}

/// Sends until it is taken; as a client does that must not lose anything.
async fn deliver(place: &Place, body: &str) {
    until("a request is taken", || async {
        match place.push("orders", body.to_owned()).send().await {
            Ok(response) => {
                assert!([200, 429, 503].contains(&response.status().as_u16()), "{response:?}");
                response.status() == 200
            }
            // Nobody listens, or the daemon was killed before it answered.
            Err(_) => false,
        }
    })
    .await;
}

/// Clients send batches, each until it hears 200, while the daemon is killed again and again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_in_the_lake_once_however_often_the_daemon_is_killed() {
    const CLIENTS: u64 = 3;
    const BATCHES: u64 = 12;
    const RECORDS: u64 = 50;
    let place = Arc::new(Place::new(&region("")));
    let mut daemon = place.start();
    let (acknowledged, mut news) = mpsc::unbounded_channel();
    for client in 0..CLIENTS {
        let (place, acknowledged) = (place.clone(), acknowledged.clone());
        tokio::spawn(async move {
            for batch in 0..BATCHES {
                let first = (client * BATCHES + batch) * RECORDS;
                deliver(&place, &lines(first..first + RECORDS)).await;
                acknowledged.send(()).unwrap();
            }
        });
    }
    drop(acknowledged);
    let mut count = 0;
    while news.recv().await.is_some() {
        count += 1;
        if count % 7 == 0 {
            daemon.kill();
            daemon = place.start();
        }
    }
    let ended = place.stop(daemon);
    let total = CLIENTS * BATCHES * RECORDS;
    assert_eq!(count, CLIENTS * BATCHES);
    assert_eq!(
        place.query("SELECT count(*) AS n, count(DISTINCT id) AS ids, min(id) AS first, max(id) AS last FROM raw"),
        [json!({ "n": total, "ids": total, "first": 0, "last": total - 1 })]
    );
    assert_eq!(ended.report["lifetime"]["aggregated"], total);
}

/// The daemon dies with a manifest that holds the records, and the client has heard nothing: it sends them again.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_costs_no_duplicate() {
    let place = Place::new(&region(""));
    let daemon = place.start();
    deliver(&place, "").await;
    let request = tokio::spawn(place.push("orders", lines(0..10)).timeout(Duration::from_secs(60)).send());
    // A manifest that counts them.
    until("they are in a manifest", || async { place.stored("\"accepted\":10") || place.stored("\"accepted\": 10") })
        .await;
    daemon.kill();
    // Whatever it heard.
    drop(request.await);
    let daemon = place.start();
    deliver(&place, &lines(0..10)).await;
    let ended = place.stop(daemon);
    assert_eq!((&ended.report["duplicates"], &ended.report["read"]), (&json!(10), &json!(10)));
    assert_eq!(place.query("SELECT count(*) AS n FROM raw"), [json!({ "n": 10 })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_why_and_leaves_nothing_behind() {
    let place = Place::new(&region("token = \"s3cret-token\"\nmax_body = \"100kB\"\n"));
    let daemon = place.start();
    let send = async |request: reqwest::RequestBuilder| answer(request.send().await.unwrap()).await;
    let with_token = |body: Vec<u8>| place.push("orders", body).bearer_auth("s3cret-token");
    place.takes("orders", "s3cret-token").await;

    let mut bomb = gzip(&vec![b' '; 50 << 20]);
    let cases = [
        (place.push("orders", "{}"), 401, "token"),
        (place.push("orders", "{}").bearer_auth("s3cret-tokem"), 401, "token"),
        (place.push("elsewhere", "{}"), 404, "no source of this name"),
        (with_token(vec![b' '; 100_001]), 413, "at most 100000 bytes"),
        (with_token(std::mem::take(&mut bomb)).header("content-encoding", "gzip"), 413, "at most 100000 bytes"),
        (with_token(b"{}".to_vec()).header("content-encoding", "gzip"), 400, "not gzip"),
        (place.client.post(place.url("/ingest/orders")).bearer_auth("s3cret-token").form_body(), 415, "x-ndjson"),
        (json_body(&place, "[{\"id\":1},{\"id\":2}"), 400, "ends too soon"),
        (json_body(&place, "[{\"id\":1} {\"id\":2}]"), 400, "no comma"),
    ];
    for (request, status, word) in cases {
        let (found, body) = send(request).await;
        assert!(found == status && body["error"].as_str().unwrap().contains(word), "{found} {body}");
        assert!(!body.to_string().contains("s3cret"), "{body}");
    }
    // Whoever asks first whether to send a body hears the refusal in place of "100 Continue".
    for (source, status) in [("orders", "401"), ("elsewhere", "404")] {
        let mut careful = TcpStream::connect(("127.0.0.1", place.port())).await.unwrap();
        let head =
            format!("POST /ingest/{source} HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n");
        careful.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        careful.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
    }
    assert_eq!(send(json_body(&place, "[{\"id\":1},\n {\"id\":2}]")).await, (200, json!({ "records": 2 })));
    assert_eq!(send(json_body(&place, "{\"id\":3}")).await, (200, json!({ "records": 1 })));
    let metrics = place.get("/metrics").await.1;
    let ended = place.stop(daemon);
    assert_eq!(ended.report["read"], 3);
    assert!(!ended.said.contains("s3cret") && !metrics.contains("s3cret") && !place.holds("s3cret"), "{}", ended.said);
}

trait FormBody {
    fn form_body(self) -> Self;
}

impl FormBody for reqwest::RequestBuilder {
    /// What curl sends if it is not told otherwise.
    fn form_body(self) -> Self {
        self.header("content-type", "application/x-www-form-urlencoded").body("{}")
    }
}

fn json_body(place: &Place, body: &'static str) -> reqwest::RequestBuilder {
    let request = place.client.post(place.url("/ingest/orders")).bearer_auth("s3cret-token");
    request.header("content-type", "application/json").body(body)
}

/// `bytes`, compressed by the system's own tool.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child = std::process::Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("gzip makes the bomb");
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writing = std::thread::spawn(move || input.write_all(&bytes).unwrap());
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_buffer_is_told_and_empties_again() {
    let place = Place::new(&region("max_body = \"1000B\"\nbuffer = \"1000B\"\n"));
    let daemon = place.start();
    deliver(&place, "").await;
    // Holds most of the buffer while its body is on its way.
    let mut slow = TcpStream::connect(("127.0.0.1", place.port())).await.unwrap();
    let record = format!("{{\"id\":1,\"x\":\"{}\"}}\n", "y".repeat(400));
    let head = format!("POST /ingest/orders HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", record.len());
    slow.write_all(format!("{head}{}", &record[..record.len() - 1]).as_bytes()).await.unwrap();
    let other = format!("{{\"id\":2,\"x\":\"{}\"}}\n", "y".repeat(300));
    let full = loop {
        let response = place.push("orders", other.clone()).send().await.unwrap();
        if response.status() != 200 {
            break response;
        }
    };
    assert_eq!((full.status().as_u16(), full.headers()["retry-after"].as_bytes()), (429, &b"1"[..]));
    slow.write_all(b"\n").await.unwrap();
    let mut answer = [0; 15];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    deliver(&place, &other).await;
    place.stop(daemon);
    assert_eq!(place.query("SELECT count(*) AS n FROM raw"), [json!({ "n": 2 })]);
}

/// What was answered 202 is only in memory; a stop in good order still loses none of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_writes_what_was_taken() {
    let place = Arc::new(Place::new(&region("ack = \"memory\"\n")));
    let daemon = place.start();
    place.takes("orders", "").await;
    let (accepted, mut news) = mpsc::unbounded_channel();
    let pushing = {
        let place = place.clone();
        tokio::spawn(async move {
            for batch in 0.. {
                let sent = place.push("orders", lines(batch * 100..batch * 100 + 100)).send().await;
                match sent.map(|response| response.status().as_u16()) {
                    Ok(202) => accepted.send(batch).unwrap(),
                    // It stops, or has.
                    Ok(503) | Err(_) => return,
                    Ok(status) => panic!("answered {status}"),
                }
            }
        })
    };
    let mut batches = BTreeSet::from([news.recv().await.unwrap()]);
    while batches.len() < 20 {
        batches.insert(news.recv().await.unwrap());
    }
    let ended = place.stop(daemon);
    pushing.await.unwrap();
    while let Some(batch) = news.recv().await {
        batches.insert(batch);
    }
    let in_lake = place.query("SELECT id FROM raw");
    let ids: BTreeSet<u64> = in_lake.iter().map(|row| row["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), in_lake.len());
    for batch in &batches {
        assert!((batch * 100..batch * 100 + 100).all(|id| ids.contains(&id)), "batch {batch} is lost");
    }
    assert_eq!(ended.report["aggregated"], ids.len() as u64);
}

#[test]
fn a_source_that_is_pushed_to_needs_a_server() {
    let place = Place::new(&region("").replace("[http]\nlisten = \"127.0.0.1:{port}\"\n", ""));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_watershed"))
        .args(["check".as_ref(), place.path("eu.toml").as_os_str()])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("add [http] with listen"), "{said}");
}
