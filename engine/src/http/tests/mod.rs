use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use watershed_connectors::{Lag, SplitId};

use super::connection::{Client, Door};
use super::health::{Health, of};
use super::metrics::Metrics;
use super::routes::mark;
use crate::run::{Board, EpochView};

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// Longer than any machine is busy: a connection that is not ended fails its test instead of holding it up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server whose answers wait to be released, with these bounds.
async fn server(connections: usize, idle: Duration) -> (std::net::SocketAddr, Arc<Notify>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let released = Arc::new(Notify::new());
    let answering = released.clone();
    let answer = get(move || async move {
        answering.notified().await;
        "done"
    });
    let routes = Router::new().route("/", answer).layer(middleware::from_fn(mark));
    let door = Door::new(listener).bounded(connections, idle);
    tokio::spawn(axum::serve(door, routes.into_make_service_with_connect_info::<Client>()).into_future());
    (address, released)
}

/// What still comes, up to the end that the server makes.
async fn rest_of(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await;
    // An abrupt end is one as well.
    assert!(end.is_ok(), "the connection does not end; so far: {}", String::from_utf8_lossy(&text));
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn whoever_sends_a_head_byte_by_byte_is_cut_off() {
    let (address, _) = server(10, Duration::from_millis(100)).await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    let sending = async {
        while slow.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, sending).await.is_ok(), "it may send for ever");
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(rest_of(&mut silent).await, "");
}

#[tokio::test]
async fn whoever_waits_for_an_answer_is_not() {
    let idle = Duration::from_millis(100);
    let (address, released) = server(10, idle).await;
    let mut waiting = TcpStream::connect(address).await.unwrap();
    waiting.write_all(HEAD).await.unwrap();
    tokio::time::sleep(3 * idle).await;
    released.notify_one();
    // Then the connection is idle, and ends.
    let answer = rest_of(&mut waiting).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("done"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_until_another_ends() {
    let (address, released) = server(1, Duration::from_secs(3600)).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(HEAD).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
    released.notify_one();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), second.read(&mut byte)).await;
    assert!(early.is_err(), "there is one place");
    drop(first);
    released.notify_one();
    assert!(rest_of(&mut second).await.ends_with("done"));
}

#[test]
fn a_run_is_well_while_epochs_end() {
    let view = |age: u64, interval: Option<u64>| EpochView {
        age: Duration::from_secs(age),
        interval: interval.map(Duration::from_secs),
        ..EpochView::default()
    };
    let stuck = |age| Health::Stuck(Duration::from_secs(age));
    let cases = [
        (view(0, None), Health::Starting),
        (view(60, None), Health::Starting),
        (view(61, None), stuck(61)),
        (view(90, Some(10)), Health::Running),
        (view(91, Some(10)), stuck(91)),
        (view(959, Some(300)), Health::Running),
        (view(961, Some(300)), stuck(961)),
    ];
    for (view, expected) in cases {
        assert_eq!(of(&view), expected, "{view:?}");
    }
    assert!(stuck(91).json()["reason"].as_str().unwrap().contains("91 s"));
}

#[tokio::test]
async fn labels_are_escaped_and_a_split_that_is_over_is_gone() {
    let board = Arc::new(Board::shown_empty());
    let door = Door::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let metrics = Metrics::new(board.clone(), door.connections());
    let gauge = board.gauge(&"files".into(), &SplitId::new("a \"b\"\\c\nd"));
    gauge.set(Lag { records: Some(7), behind: Some(Duration::from_millis(1500)) }, true);
    let labels = r#"{source="files",split="a \"b\"\\c\nd"}"#;
    let text = metrics.text().unwrap();
    assert!(text.contains(&format!("\nwatershed_lag_records{labels} 7.0\n")), "{text}");
    assert!(text.contains(&format!("\nwatershed_lag_seconds{labels} 1.5\n")), "{text}");
    drop(gauge);
    assert!(!metrics.text().unwrap().contains("source=\"files\""));
}
