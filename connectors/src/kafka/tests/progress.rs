//! What statistics say of partitions.

use std::time::{Duration, Instant};

use super::super::progress::{Progress, SILENCE};

/// As librdkafka writes it, shortened.
fn statistics(age: Duration, state: &str, idle: i64, partition: &str) -> String {
    after_fetches(age, state, idle, partition, 7, 0)
}

fn after_fetches(age: Duration, state: &str, idle: i64, partition: &str, fetches: u64, disconnects: u64) -> String {
    format!(
        r#"{{ "name": "watershed#consumer-1", "age": {}, "msg_cnt": 0,
        "brokers": {{ "127.0.0.1:9092/bootstrap": {{ "nodeid": -1, "state": "INIT", "rxidle": -1, "rx": 0 }},
                      "127.0.0.1:9092/1": {{ "nodeid": 1, "state": "{state}", "rxidle": {idle}, "rx": 7,
                                               "req": {{ "Metadata": 2, "Fetch": {fetches} }},
                                               "disconnects": {disconnects} }} }},
        "topics": {{ "orders": {{ "topic": "orders", "age": 9, "partitions": {{
            "3": {{ "partition": 3, "broker": 1, "leader": 1, {partition} }},
            "-1": {{ "partition": -1, "broker": -1, "fetch_state": "none", "eof_offset": -1001, "ls_offset": -1001,
                     "hi_offset": -1001 }} }} }} }} }}"#,
        age.as_micros()
    )
}

const ACTIVE: &str = r#""fetch_state": "active", "eof_offset": 12, "ls_offset": 12, "hi_offset": 15"#;
const FETCHING: &str = r#""fetch_state": "active", "eof_offset": -1001, "ls_offset": -1001, "hi_offset": 15"#;
const STOPPED: &str = r#""fetch_state": "stopped", "eof_offset": 12, "ls_offset": 12, "hi_offset": 15"#;

#[test]
fn ends_and_answers_are_read_from_statistics() {
    let progress = Progress::new();
    let age = Duration::from_secs(60);
    assert_eq!(progress.update(statistics(age, "UP", 5000, ACTIVE).as_bytes()), None, "nobody asks");
    let cell = progress.watch("orders", 3);
    assert!(cell.get().told.is_none());

    assert_eq!(progress.update(statistics(age, "UP", 5000, ACTIVE).as_bytes()), Some(true));
    let standing = cell.get();
    assert_eq!((standing.end, standing.drained), (Some(12), Some(12)), "of transactions that are committed");
    let told = standing.told.unwrap();
    assert_eq!(told - standing.heard.unwrap(), Duration::from_micros(5000));
    assert!(told <= Instant::now() + age);

    progress.update(statistics(age, "UP", 5000, FETCHING).as_bytes());
    assert_eq!((cell.get().end, cell.get().drained), (Some(15), None));
}

#[test]
fn a_partition_is_answered_by_a_broker_that_is_up_and_was_heard_lately() {
    let age = Duration::from_secs(60);
    let long = SILENCE.as_micros() as i64;
    for (state, idle, partition, answered) in [
        ("UP", 0, ACTIVE, true),
        ("UP", long - 1, ACTIVE, true),
        ("UP", long, ACTIVE, false),
        ("UP", -1, ACTIVE, false),
        ("DOWN", 0, ACTIVE, false),
        ("TRY_CONNECT", 0, ACTIVE, false),
        ("UP", 0, STOPPED, false),
    ] {
        let progress = Progress::new();
        let _cell = progress.watch("orders", 3);
        let told = progress.update(statistics(age, state, idle, partition).as_bytes());
        assert_eq!(told, Some(answered), "{state} {idle} {partition}");
    }
    let progress = Progress::new();
    let _other = progress.watch("orders", 4);
    assert_eq!(progress.update(statistics(age, "UP", 0, ACTIVE).as_bytes()), Some(false), "of which nothing is told");
    assert_eq!(progress.update(b"no statistics"), None);
}

/// One fetch is on its way at a time: the second is sent when the first has brought all that there was.
#[test]
fn a_partition_was_searched_when_its_broker_was_asked_twice_on_one_connection() {
    let looks = [
        ("UP", ACTIVE, 7, 0, None),
        ("UP", ACTIVE, 8, 0, None),
        ("UP", ACTIVE, 9, 0, Some(0)),
        ("UP", ACTIVE, 20, 0, Some(2)),
        ("UP", ACTIVE, 20, 0, Some(2)),
        // What was asked before the connection was lost may never be answered.
        ("UP", ACTIVE, 22, 1, Some(2)),
        ("UP", ACTIVE, 24, 1, Some(5)),
        ("CONNECT", ACTIVE, 26, 1, Some(5)),
        ("UP", ACTIVE, 28, 1, Some(5)),
        ("UP", STOPPED, 30, 1, Some(5)),
        // What was asked before the partition was fetched again did not ask for it.
        ("UP", ACTIVE, 32, 1, Some(5)),
        ("UP", ACTIVE, 34, 1, Some(10)),
    ];
    let progress = Progress::new();
    let cell = progress.watch("orders", 3);
    let mut told = Vec::new();
    for (second, (state, partition, fetches, disconnects, searched)) in (0..).zip(looks) {
        let age = Duration::from_secs(second);
        progress.update(after_fetches(age, state, 0, partition, fetches, disconnects).as_bytes());
        let standing = cell.get();
        told.extend(standing.told);
        assert_eq!(standing.searched, searched.map(|second: usize| told[second]), "in second {second}");
    }
}

#[test]
fn a_reader_that_came_later_is_not_forgotten_with_an_earlier_one() {
    let progress = Progress::new();
    let first = progress.watch("orders", 3);
    let second = progress.watch("orders", 3);
    progress.forget("orders", 3, &first);
    progress.strayed("orders", 3);
    assert!(second.get().strayed && !first.get().strayed);
    progress.forget("orders", 3, &second);
    assert_eq!(progress.update(statistics(Duration::ZERO, "UP", 0, ACTIVE).as_bytes()), None);
}
