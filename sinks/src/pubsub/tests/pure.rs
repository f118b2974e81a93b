//! What needs no server of others.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use serde_json::{Value, json};

use super::options;
use crate::conformance::context;
use crate::error::SinkError;
use crate::messages::MessageOptions;
use crate::pubsub::fault::{sorted, way_out};

const NAME: &str = "projects/acme/topics/alerts";

#[test]
fn what_makes_no_sense_is_refused_by_its_key() {
    let least = "project = \"acme\"\ntopic = \"alerts\"\n";
    for (text, words) in [
        ("project = \"projects/acme\"\ntopic = \"t\"".to_owned(), "`project`"),
        ("project = \"acme\"\ntopic = \"\"".to_owned(), "`topic`"),
        (format!("{least}endpoint = \"127.0.0.1:8085\""), "`endpoint`"),
        (format!("{least}endpoint = \"https://user:hidden@host\""), "`endpoint`"),
        (format!("{least}endpoint = \"http://127.0.0.1:1\"\ncredentials = \"key.json\""), "`credentials`"),
        (format!("{least}key = \"kez\""), "`key` names \"kez\", which is no column"),
        (format!("{least}max_epoch_bytes = 0"), "`max_epoch_bytes` cannot be zero"),
    ] {
        let why = options(&text).unwrap().check(&context("orders")).unwrap_err().to_string();
        assert!(why.contains(words) && !why.contains("hidden"), "{text}: {why}");
    }
    let long = options(least).unwrap().sink(&context("orders"), &"s".repeat(1_000)).unwrap_err().to_string();
    assert!(long.contains("shorten one"), "{long}");
}

#[test]
fn nothing_that_was_filled_in_is_shown() {
    let text = "project = \"acme\"\ntopic = \"alerts\"\nendpoint = \"https://marked\"\ncredentials = \"marked\"";
    let sink = options(text).unwrap();
    let shown = format!("{sink:?} {:?}", sink.sink(&context("orders"), "out").unwrap());
    assert!(!shown.contains("marked"), "{shown}");
    assert_eq!(sink.hosts(), ["marked"]);
    assert_eq!(options("project = \"acme\"\ntopic = \"alerts\"").unwrap().hosts(), ["pubsub.googleapis.com"]);
}

#[test]
fn refusals_say_the_way_out() {
    for (code, way) in [
        ("NOT_FOUND", "create it"),
        ("PERMISSION_DENIED", "pubsub.topics.publish"),
        ("UNAUTHENTICATED", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("FAILED_PRECONDITION", "message storage policy"),
        ("INVALID_ARGUMENT", "schema"),
        ("UNIMPLEMENTED", "`endpoint`"),
    ] {
        let said = way_out(NAME, code, "why").unwrap();
        assert!(said.contains(way) && said.contains(NAME) && said.contains("why"), "{said}");
    }
    for code in ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "CANCELLED", "UNKNOWN", "ABORTED"] {
        assert_eq!(way_out(NAME, code, "why"), None, "{code} passes");
    }
    assert!(matches!(sorted(NAME, &google_cloud_pubsub::Error::io("cut")), SinkError::Retry { .. }));
}

/// What a check says where the service answers the two questions so.
async fn probed(permissions: (StatusCode, Value), topic: (StatusCode, Value)) -> Result<String, SinkError> {
    let answer = |(status, body): (StatusCode, Value)| {
        any(move || async move { (status, [("content-type", "application/json")], body.to_string()) })
    };
    let router = Router::new()
        .route("/v1/projects/acme/topics/alerts:testIamPermissions", answer(permissions))
        .route("/v1/projects/acme/topics/alerts", answer(topic));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let text = format!("project = \"acme\"\ntopic = \"alerts\"\nendpoint = \"http://{address}\"");
    let said = options(&text).unwrap().probe(&context("orders"), "out").await;
    server.abort();
    said
}

fn refusal(status: StatusCode, name: &str) -> (StatusCode, Value) {
    let error = json!({ "code": status.as_u16(), "message": "why", "status": name });
    (status, json!({ "error": error }))
}

#[tokio::test]
async fn a_check_asks_for_the_permission_and_for_the_topic() {
    let granted = || (StatusCode::OK, json!({ "permissions": ["pubsub.topics.publish"] }));
    let none = || (StatusCode::OK, json!({}));
    let silent = || refusal(StatusCode::NOT_IMPLEMENTED, "UNIMPLEMENTED");
    let there = || (StatusCode::OK, json!({ "name": NAME }));
    let missing = || refusal(StatusCode::NOT_FOUND, "NOT_FOUND");
    let hidden = || refusal(StatusCode::FORBIDDEN, "PERMISSION_DENIED");
    for (permissions, topic, expected) in [
        (granted(), hidden(), Ok("pubsub.topics.publish is granted")),
        (none(), there(), Err("no permission pubsub.topics.publish")),
        (none(), hidden(), Err("no permission pubsub.topics.publish")),
        (none(), missing(), Err("does not exist: create it")),
        (silent(), there(), Ok("is there; nothing was published")),
        (silent(), missing(), Err("does not exist: create it")),
        (silent(), hidden(), Ok("tells nothing of the topic")),
    ] {
        let case = format!("{permissions:?}, {topic:?}");
        match (probed(permissions, topic).await, expected) {
            (Ok(said), Ok(words)) => assert!(said.contains(words), "{case}: {said}"),
            (Err(error @ SinkError::Config { .. }), Err(words)) => {
                assert!(error.to_string().contains(words), "{case}: {error}");
            }
            (said, _) => panic!("{case}: {said:?}"),
        }
    }
}

#[tokio::test]
async fn a_place_where_nobody_is_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let text = format!("project = \"acme\"\ntopic = \"alerts\"\nendpoint = \"http://{address}\"");
    let said = options(&text).unwrap().probe(&context("orders"), "out").await.unwrap_err().to_string();
    assert!(said.contains(&format!("{address} does not answer")) && said.contains("`endpoint`"), "{said}");
}
