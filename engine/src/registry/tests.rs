#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use super::*;
use crate::decode::SchemaKind;

/// A registry that answers from a table, and counts.
#[derive(Debug, Default)]
struct Desk {
    answers: HashMap<&'static str, (u16, String)>,
    /// In place of all answers, unless it is zero.
    status: AtomicU16,
    asked: AtomicUsize,
    header: Mutex<Option<String>>,
}

async fn answer(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    desk.asked.fetch_add(1, Ordering::Relaxed);
    let header = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    *desk.header.lock().unwrap() = header;
    let status = desk.status.load(Ordering::Relaxed);
    if status != 0 {
        return (StatusCode::from_u16(status).unwrap(), "{\"error_code\": 50001}").into_response();
    }
    let path = request.uri().path().to_owned();
    match desk.answers.get(path.as_str()) {
        Some((status, body)) => (StatusCode::from_u16(*status).unwrap(), body.clone()).into_response(),
        None => (StatusCode::NOT_FOUND, "{\"error_code\": 40403, \"message\": \"no such schema\"}").into_response(),
    }
}

async fn serve(desk: Desk) -> (Arc<Desk>, RegistryOptions) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let desk = Arc::new(desk);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/apis/v7", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(desk.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (desk, RegistryOptions { url, username: None, password: None, token: None, ca: None })
}

fn ids(ids: &[u32]) -> BTreeSet<u32> {
    ids.iter().copied().collect()
}

#[tokio::test]
async fn a_schema_is_fetched_once_with_what_it_refers_to() {
    let top = r#"{"schema": "TOP", "schemaType": "PROTOBUF", "references": [{"name": "a.proto", "subject": "a/b c", "version": 3}, {"name": "c.proto", "subject": "c", "version": 1}]}"#;
    let answers = HashMap::from([
        ("/apis/v7/schemas/ids/7", (200, top.to_owned())),
        (
            "/apis/v7/subjects/a%2Fb%20c/versions/3",
            (200, r#"{"schema": "A", "references": [{"name": "c.proto", "subject": "c", "version": 1}]}"#.to_owned()),
        ),
        ("/apis/v7/subjects/c/versions/1", (200, r#"{"schema": "C"}"#.to_owned())),
    ]);
    let (desk, options) = serve(Desk { answers, ..Desk::default() }).await;
    let registry = Registry::new(&options).unwrap();
    let now = Instant::now();
    assert_eq!(registry.known(&ids(&[7]), now), Err(7));
    registry.fetch(7, now).await.unwrap();
    let known = registry.known(&ids(&[7]), now).unwrap();
    let schema = known[0].1.clone().unwrap();
    assert_eq!((schema.kind, schema.text.as_str()), (SchemaKind::Protobuf, "TOP"));
    let references = [("c.proto".to_owned(), "C".to_owned()), ("a.proto".to_owned(), "A".to_owned())];
    assert_eq!(schema.references, references, "each after what it needs");
    assert_eq!(desk.asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn an_unknown_id_is_asked_again_after_a_while() {
    let (_, options) = serve(Desk::default()).await;
    let registry = Registry::new(&options).unwrap();
    let now = Instant::now();
    registry.fetch(9, now).await.unwrap();
    assert_eq!(registry.known(&ids(&[9]), now), Ok(vec![(9, None)]));
    assert_eq!(registry.known(&ids(&[9]), now + UNKNOWN_FOR), Err(9));
    assert!(registry.probe().await.unwrap().contains("answers"), "that there is no schema is an answer");
}

#[tokio::test]
async fn trouble_is_told_from_refusal() {
    let (desk, options) = serve(Desk::default()).await;
    let registry = Registry::new(&options).unwrap();
    for (status, passes, expected) in [
        (500, true, "it answers with 500"),
        (429, true, "it answers with 429"),
        (401, false, "check `username` and `password`, or `token`"),
        (403, false, "DeveloperRead"),
        (404, true, "not as a schema registry; check the URL"),
        (200, true, "not as a schema registry; check the URL"),
    ] {
        desk.status.store(status, Ordering::Relaxed);
        let error = registry.fetch(1, Instant::now()).await.unwrap_err();
        assert_eq!(matches!(error, SourceError::Retry { .. }), passes, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let nobody = RegistryOptions { url: "http://127.0.0.1:1".to_owned(), ..options };
    let error = Registry::new(&nobody).unwrap().probe().await.unwrap_err();
    assert!(matches!(error, SourceError::Retry { .. }), "{error}");
}

#[tokio::test]
async fn who_asks_is_said_and_not_shown() {
    let (desk, mut options) = serve(Desk::default()).await;
    options.username = Some("me".to_owned());
    options.password = Some(Secret::new("marked-secret"));
    let registry = Registry::new(&options).unwrap();
    registry.probe().await.unwrap();
    assert_eq!(desk.header.lock().unwrap().as_deref(), Some("Basic bWU6bWFya2VkLXNlY3JldA=="));
    options.username = None;
    options.token = Some(Secret::new("marked-token"));
    let registry = Registry::new(&options).unwrap();
    registry.probe().await.unwrap();
    assert_eq!(desk.header.lock().unwrap().as_deref(), Some("Bearer marked-token"));
    let shown = format!("{options:?} {registry:?}");
    assert!(!shown.contains("marked"), "{shown}");
}

/// Against a registry that is not ours.
mod services {
    use super::*;
    use crate::decode::{AvroSchemas, Format, ProtobufMessage, decoder, schema_ids};
    use crate::schema::{SourceField, SourceSchema};
    use watershed_connectors::Records;

    fn options() -> RegistryOptions {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let url = std::env::var("WATERSHED_REGISTRY").expect("WATERSHED_REGISTRY is not set: run by scripts/services");
        RegistryOptions { url, username: None, password: None, token: None, ca: None }
    }

    async fn register(options: &RegistryOptions, subject: &str, body: serde_json::Value) -> u32 {
        let url = format!("{}/subjects/{subject}/versions", options.url);
        let response = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
        let text = response.text().await.unwrap();
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        answer["id"].as_u64().unwrap_or_else(|| panic!("{text}")) as u32
    }

    async fn decoded(options: &RegistryOptions, format: &Format, payloads: &[Vec<u8>]) -> (Vec<i64>, Vec<String>) {
        let registry = Registry::new(options).unwrap();
        let mut records = Records::default();
        payloads.iter().for_each(|payload| records.push(payload, 0));
        let (needed, now) = (schema_ids(&records), Instant::now());
        let known = loop {
            match registry.known(&needed, now) {
                Ok(known) => break known,
                Err(missing) => registry.fetch(missing, now).await.unwrap(),
            }
        };
        let schema = SourceSchema { fields: vec![SourceField::parse("n", "bigint", None).unwrap()] };
        let mut decoder = decoder(format, &schema, &[0]).unwrap();
        decoder.learn(&known);
        let decoded = decoder.decode(&records);
        let column = decoded.batch.column(0);
        let numbers = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(column).values().to_vec();
        (numbers, decoded.bad.into_iter().map(|bad| bad.reason).collect())
    }

    fn framed(id: u32, rest: &[u8]) -> Vec<u8> {
        [&[0][..], &id.to_be_bytes(), rest].concat()
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs a server: scripts/services run registry -- cargo test -p watershed-engine --lib registry -- --ignored"]
    async fn a_real_registry_gives_avro_and_protobuf() {
        let options = options();
        assert!(Registry::new(&options).unwrap().probe().await.unwrap().contains("answers"));
        let record = |n: &str| {
            format!(r#"{{"type":"record","name":"R","namespace":"t","fields":[{{"name":"n","type":"{n}"}}]}}"#)
        };
        let one = register(&options, "one-value", serde_json::json!({ "schema": record("int") })).await;
        let two = register(&options, "two-value", serde_json::json!({ "schema": record("long") })).await;
        let payloads = [framed(one, &[0x04]), framed(two, &[0x80, 0x80, 0x80, 0x80, 0x20]), framed(999_999, &[0x04])];
        let (numbers, bad) = decoded(&options, &Format::Avro(AvroSchemas::Registry), &payloads).await;
        assert_eq!(numbers, [2, 1 << 32]);
        assert_eq!(bad, ["the registry has no schema 999999"]);

        let inner = "syntax = \"proto3\"; package t; message Inner { int64 n = 1; }";
        register(&options, "inner.proto", serde_json::json!({ "schema": inner, "schemaType": "PROTOBUF" })).await;
        let outer = "syntax = \"proto3\"; package t; import \"inner.proto\"; message First {} \
                     message Outer { message Deep { sint32 n = 1; } int64 n = 2; Inner inner = 3; }";
        let references = serde_json::json!([{ "name": "inner.proto", "subject": "inner.proto", "version": 1 }]);
        let body = serde_json::json!({ "schema": outer, "schemaType": "PROTOBUF", "references": references });
        let id = register(&options, "outer-value", body).await;
        // First of the file, Outer, and Deep inside it.
        let payloads = [
            framed(id, &[0x00]),
            framed(id, &[0x02, 0x02, 0x10, 0x07]),
            framed(id, &[0x04, 0x02, 0x00, 0x08, 0x03]),
            framed(id, &[0x02, 0x08]),
        ];
        let (numbers, bad) = decoded(&options, &Format::Protobuf(ProtobufMessage::Registry(None)), &payloads).await;
        // The first message has no `n`.
        assert_eq!(numbers, [0, 7, -2]);
        assert_eq!(bad, [format!("schema {id} has no message at [4]")]);
    }
}
