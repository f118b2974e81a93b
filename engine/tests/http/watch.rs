//! What the daemon says of itself.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::daemon::{OPENING, Place};

const PIPELINES: &str = r#"
[sources.orders]
connector = "http"
schema = { id = "bigint", ts = "timestamp" }
event_time = "ts"
deduplicate = { key = "id", within = "1h" }
[pipelines.raw]
sql = "SELECT id FROM orders WHERE id < 100"
sink = "lake"
[pipelines.by_second]
sql = "SELECT window_start, count(*) AS n FROM tumble(orders, INTERVAL '1 second') GROUP BY window_start, window_end"
sink = "lake"
"#;

fn place() -> Place {
    Place::new(&format!("{OPENING}{PIPELINES}"))
}

/// Samples by name and labels, as they are written.
fn samples(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_what_the_report_says() {
    let place = place();
    let daemon = place.start();
    assert_eq!(place.get("/healthz").await.0, 200);
    place.takes("orders", "").await;
    let now = chrono::Utc::now();
    let at = |id: u64, seconds: i64| {
        let ts = (now + chrono::TimeDelta::seconds(seconds)).to_rfc3339();
        format!("{{\"id\":{id},\"ts\":\"{ts}\"}}\n")
    };
    // Two in time, one of them twice; one that is not asked for by all; one broken; one late.
    let body = [at(1, 0), at(2, 0), at(2, 0), at(200, 0), "{\"id\":\n".to_owned(), at(3, 20), at(4, -20)].concat();
    assert_eq!(place.push("orders", body).send().await.unwrap().status(), 200);
    let (status, text) = place.get("/metrics").await;
    assert_eq!(status, 200);
    let samples = samples(&text);
    let ended = place.stop(daemon);
    let names = [
        ("records_read", "read"),
        ("records_bad", "bad"),
        ("records_filtered", "filtered"),
        ("records_duplicate", "duplicates"),
        ("records_late", "late"),
        ("payload_bytes", "bytes_in"),
    ];
    for (metric, key) in names {
        let total = samples[&format!("watershed_{metric}_total")];
        assert_eq!(json!(total as u64), ended.report[key], "{metric}");
        for (pipeline, counts) in ended.report["pipelines"].as_object().unwrap() {
            let value = samples[&format!("watershed_pipeline_{metric}_total{{pipeline=\"{pipeline}\"}}")];
            assert_eq!(json!(value as u64), counts[key], "{metric} of {pipeline}");
        }
    }
    let late: Value = ended.report["pipelines"]["by_second"]["late"].clone();
    assert_eq!((&ended.report["read"], &ended.report["bad"], &late), (&json!(7), &json!(1), &json!(1)));
    let split = "{source=\"orders\",split=\"http\"}";
    assert_eq!(samples[&format!("watershed_lag_records{split}")], 0.0);
    assert!(samples[&format!("watershed_position_age_seconds{split}")] >= 0.0);
    assert!(samples["watershed_watermark_seconds{pipeline=\"by_second\"}"] > 0.0);
    assert!(samples["watershed_checkpoints_total"] >= 1.0 && samples["watershed_epoch"] >= 1.0);
    // Of five different events one is twenty seconds old, and one has yet to come.
    let delays = |end: &str| samples[&format!("watershed_event_delay_seconds_{end}")];
    assert_eq!(delays("count{source=\"orders\"}"), 5.0);
    let up_to = |bound: &str| delays(&format!("bucket{{le=\"{bound}\",source=\"orders\"}}"));
    assert!(up_to("0.001") >= 1.0, "{text}");
    assert_eq!((up_to("10.0"), up_to("30.0"), up_to("+Inf")), (4.0, 5.0, 5.0), "{text}");
    assert!(delays("sum{source=\"orders\"}") >= 20.0, "{text}");
    let delay = &ended.report["event_delays"]["orders"];
    assert!(delay["events"] == json!(5) && delay["max_ms"].as_f64().unwrap() >= 19_800.0, "{delay}");
    assert_eq!(samples["watershed_http_requests_total{source=\"orders\",status=\"200\"}"], 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_requests_are_told_where_to_go() {
    let place = place();
    let daemon = place.start();
    let (status, body) = place.get("/").await;
    assert!(status == 404 && body.contains("/healthz"), "{body}");
    let posted = place.client.post(place.url("/metrics")).send().await.unwrap();
    assert_eq!(posted.status(), 405);
    place.stop(daemon);
    let taken = std::net::TcpListener::bind(("127.0.0.1", place.port())).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_watershed"))
        .args(["run".as_ref(), place.path("eu.toml").as_os_str()])
        .current_dir(place.path(""))
        .output()
        .unwrap();
    drop(taken);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("cannot listen on 127.0.0.1"), "{said}");
}
