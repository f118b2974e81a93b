#![allow(clippy::unwrap_used, clippy::expect_used)]

mod nexmark;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::pace::Pace;
use super::*;
use crate::conformance::{Fixture, Item, items_of, read_all};
use crate::records::Records;
use crate::source::{ReadLimits, ReadStatus};

const PROFILES: [Profile; 7] = [
    Profile::Orders,
    Profile::Sensors,
    Profile::Trades,
    Profile::Clicks,
    Profile::NexmarkPerson,
    Profile::NexmarkAuction,
    Profile::NexmarkBid,
];
const LIMITS: ReadLimits = ReadLimits { bytes: 1 << 20, wait: Duration::from_secs(3600) };

/// Makes `events` events of a profile, whatever its share of a sequence is.
fn options(profile: Profile, events: u64) -> GeneratorOptions {
    let events = profile.share().place(events);
    let start = DateTime::parse_from_rfc3339("2026-03-01T23:59:59.900Z").unwrap().to_utc();
    GeneratorOptions { events: Some(events), start: Some(start), ..GeneratorOptions::new(profile) }
}

fn source(options: &GeneratorOptions) -> GeneratorSource {
    GeneratorSource::new(options.clone()).unwrap()
}

/// The payloads of each split.
async fn payloads(options: &GeneratorOptions) -> Vec<Vec<Vec<u8>>> {
    let payload = |item| match item {
        Item::Record { payload, .. } => payload,
        Item::Rejected { reason, .. } => panic!("rejected: {reason}"),
    };
    let splits = read_all(&source(options)).await;
    splits.into_iter().map(|(_, items)| items.into_iter().map(payload).collect()).collect()
}

/// All events of a source with one split, parsed.
async fn events(options: &GeneratorOptions) -> Vec<Value> {
    payloads(options).await.remove(0).iter().map(|payload| serde_json::from_slice(payload).unwrap()).collect()
}

fn millis(event: &Value) -> i64 {
    let time = event.get("ts").unwrap_or(&event["date_time"]);
    DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap().timestamp_millis()
}

#[tokio::test]
async fn keeps_the_promises_of_a_source() {
    for profile in PROFILES {
        let options = GeneratorOptions {
            splits: 3,
            bad: 0.1,
            disorder: HumanDuration(Duration::from_secs(2)),
            ..options(profile, 1000)
        };
        let expected = read_all(&source(&options)).await;
        let counts: Vec<_> = expected.iter().map(|(_, items)| items.len()).collect();
        assert_eq!(counts, [334, 333, 333]);
        Fixture::new(move || Box::new(source(&options)), expected).run().await;
    }
}

#[tokio::test]
async fn keeps_the_promises_of_a_source_at_a_rate() {
    let paced = GeneratorOptions { splits: 2, rate: Some("1M/s".parse().unwrap()), ..options(Profile::Trades, 500) };
    let expected = read_all(&source(&paced)).await;
    Fixture::new(move || Box::new(source(&paced)), expected).run().await;
}

#[tokio::test]
async fn an_event_depends_on_seed_profile_split_and_number_alone() {
    for profile in PROFILES {
        let few = payloads(&options(profile, 100)).await;
        let many = payloads(&options(profile, 300)).await;
        assert_eq!(few[0], many[0][..100], "more events change none");

        let other = GeneratorOptions { seed: 7, ..options(profile, 100) };
        let same = payloads(&other).await[0].iter().zip(&few[0]).filter(|(a, b)| a == b).count();
        assert_eq!(same, 0, "another seed makes other events");

        let some_bad = payloads(&GeneratorOptions { bad: 0.3, ..options(profile, 100) }).await;
        let whole = some_bad[0].iter().zip(&few[0]).filter(|(a, b)| a == b).count();
        assert!((50..90).contains(&whole), "{whole} of 100 are whole");
    }
}

#[tokio::test]
async fn events_are_dealt_out_over_the_splits_in_turn() {
    let splits = payloads(&GeneratorOptions { splits: 4, ..options(Profile::Orders, 4000) }).await;
    let mut ids = HashSet::new();
    for (split, payloads) in splits.iter().enumerate() {
        for (k, payload) in payloads.iter().enumerate() {
            let event: Value = serde_json::from_slice(payload).unwrap();
            let number = (k * 4 + split) as i64;
            assert_eq!(millis(&event), 1_772_409_599_900 + number / 100, "100,000 a second pass");
            ids.insert(event["event_id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(ids.len(), 4000, "no two events are the same");
}

#[tokio::test]
async fn every_field_is_there_and_of_its_type() {
    for profile in PROFILES {
        let schema = profile_schema(profile);
        assert!(schema.fields.contains(&(schema.event_time, "timestamp")));
        for event in events(&options(profile, 2000)).await {
            let names: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
            let expected: Vec<_> = schema.fields.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, expected, "{profile:?}");
            for (name, kind) in schema.fields {
                let value = &event[name];
                let fits = match *kind {
                    "string" => value.is_string() || (*name == "referrer" && value.is_null()),
                    "bigint" => value.is_i64(),
                    "double" => value.is_f64(),
                    "timestamp" => value.as_str().unwrap().len() == 24 && millis(&event) > 0,
                    "struct<country: string, city: string>" => {
                        value["country"].is_string() && value["city"].is_string()
                    }
                    "list<string>" => value.as_array().unwrap().iter().all(Value::is_string),
                    other => panic!("type {other} is not expected"),
                };
                assert!(fits, "{name} is no {kind} in {event}");
            }
        }
    }
}

#[tokio::test]
async fn orders_are_of_the_promised_size_and_skew() {
    let payloads = payloads(&options(Profile::Orders, 20_000)).await.remove(0);
    let bytes: usize = payloads.iter().map(Vec::len).sum();
    let mean = bytes as f64 / payloads.len() as f64;
    assert!((205.0..225.0).contains(&mean), "an order has {mean} bytes on average");

    let mut countries = HashMap::new();
    let mut products = HashMap::new();
    let mut regions = HashSet::new();
    let (mut users, mut below) = (HashSet::new(), 0);
    for payload in &payloads {
        let event: Value = serde_json::from_slice(payload).unwrap();
        *countries.entry(event["country"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        *products.entry(event["product_id"].as_i64().unwrap()).or_insert(0) += 1;
        regions.insert(event["region"].as_str().unwrap().to_owned());
        let user = event["user_id"].as_i64().unwrap();
        assert!((1..=1_000_000).contains(&user));
        users.insert(user);
        let amount = event["amount"].as_f64().unwrap();
        assert_eq!(amount < 0.0, event["type"] == "refund", "{event}");
        below += i32::from(amount.abs() < 32.0);
    }
    assert_eq!(regions.len(), 6);
    assert!(countries.len() >= 29, "{}", countries.len());
    assert!((4200..5000).contains(&countries["US"]), "{}", countries["US"]);
    assert!((1700..2500).contains(&products[&1]), "the first product is bought {} times", products[&1]);
    assert!(products.len() > 3000);
    assert!((8000..19_000).contains(&users.len()), "{} users", users.len());
    assert!((9000..11_000).contains(&below), "{below} of 20000 amounts lie below the median");
}

#[tokio::test]
async fn half_of_the_events_are_late_by_up_to_the_disorder() {
    let disorder = HumanDuration(Duration::from_secs(3));
    let events = events(&GeneratorOptions { disorder, ..options(Profile::Sensors, 10_000) }).await;
    let late: Vec<i64> = events
        .iter()
        .enumerate()
        .map(|(n, event)| 1_772_409_599_900 + n as i64 / 100 - millis(event))
        .filter(|late| *late > 0)
        .collect();
    assert!((4800..5200).contains(&late.len()), "{} are late", late.len());
    assert!(late.iter().all(|late| *late <= 3000));
    let mean = late.iter().sum::<i64>() / late.len() as i64;
    assert!((1400..1600).contains(&mean), "late by {mean} ms on average");
}

#[tokio::test]
async fn bad_events_are_broken_in_every_way() {
    for profile in PROFILES {
        let schema = profile_schema(profile);
        let (number, text) = profile.events().weak_spots();
        let mut ways = [0; 5];
        for payload in payloads(&GeneratorOptions { bad: 1.0, ..options(profile, 1000) }).await.remove(0) {
            assert!(!payload.contains(&b'\n'), "a broken event is one line");
            if std::str::from_utf8(&payload).is_err() && payload.contains(&0xff) {
                ways[0] += 1;
                continue;
            }
            match serde_json::from_slice::<Value>(&payload) {
                Ok(event) if event[schema.event_time] == "yesterday" => ways[1] += 1,
                Ok(event) if event[number] == "n/a" => ways[2] += 1,
                Ok(event) => panic!("{event} is not broken"),
                Err(_) if payload.ends_with(b"}") => ways[3] += 1,
                Err(_) => ways[4] += 1,
            }
        }
        assert!(schema.fields.iter().any(|(name, kind)| *name == text && *kind == "string"));
        assert!(ways.iter().all(|way| *way > 100), "{profile:?}: {ways:?}");
    }
}

#[tokio::test]
async fn prices_wander_instead_of_jumping() {
    let mut last = HashMap::new();
    let mut range: HashMap<String, (f64, f64)> = HashMap::new();
    for event in events(&options(Profile::Trades, 200_000)).await {
        let symbol = event["symbol"].as_str().unwrap().to_owned();
        let price = event["price"].as_f64().unwrap();
        if let Some(before) = last.insert(symbol.clone(), price) {
            let change: f64 = (price / before - 1.0).abs();
            assert!(price > 0.0 && change < 0.05, "{symbol} went from {before} to {price}");
        }
        let (low, high) = range.entry(symbol).or_insert((price, price));
        (*low, *high) = (low.min(price), high.max(price));
    }
    assert_eq!(last.len(), 500);
    assert!(range.values().all(|(low, high)| high / low > 1.004), "every price moves");
}

/// Follows the timetables of two splits over `time`, and gives how many events each has made in how many steps.
fn follow(rate: &str, time: Duration) -> Vec<(u64, u32)> {
    let began = Instant::now();
    let follow = |split| {
        let pace = Pace::new(rate.parse().unwrap(), 2, split, began, 100);
        let (mut now, mut next, mut steps) = (began, 100, 0);
        while now <= began + time {
            let due = pace.due(now);
            assert!(due >= next, "what was due stays due");
            next = due;
            steps += 1;
            let wake = pace.wake(next, now);
            assert!(wake > now, "waiting takes time");
            now = wake;
        }
        (next - 100, steps)
    };
    (0..2).map(follow).collect()
}

#[test]
fn a_rate_is_kept() {
    let five_seconds = Duration::from_secs(5);
    for (made, steps) in follow("10k/s", five_seconds) {
        // The last slice may still be on its way.
        assert!((24_980..=25_001).contains(&made), "{made} events in five seconds");
        assert!((1_000..=2_500).contains(&steps), "{steps} slices in five seconds");
    }
    // One event at the start, and each of the others in a step of its own, when it falls due.
    assert_eq!(follow("2/m", Duration::from_secs(60)), [(2, 2), (1, 2)]);
    assert_eq!(follow("2/s", five_seconds), [(6, 6), (5, 6)]);
}

/// A reader that was not asked for a while has fallen behind, like one of a real log, and makes up for it.
#[test]
fn what_fell_due_meanwhile_is_made_up_for() {
    let began = Instant::now();
    let pace = Pace::new("1k/s".parse().unwrap(), 1, 0, began, 7);
    assert_eq!(pace.due(began), 8);
    assert_eq!(pace.due(began + Duration::from_secs(2)), 2008);
    assert_eq!(pace.wake(2008, began + Duration::from_secs(2)), began + Duration::from_millis(2003));
}

#[tokio::test]
async fn a_reader_that_waits_is_caught_up() {
    let slow = GeneratorOptions { rate: Some("1/h".parse().unwrap()), ..options(Profile::Orders, 10) };
    let mut reader = source(&slow).open(&SplitId::new("0"), None).await.unwrap();
    let brief = ReadLimits { wait: Duration::from_millis(1), ..LIMITS };
    for count in [1, 0, 0] {
        let mut records = Records::default();
        assert_eq!(reader.read(&mut records, brief).await.unwrap(), ReadStatus::CaughtUp);
        assert_eq!(records.len(), count);
    }

    let fast = GeneratorOptions { rate: Some("100/s".parse().unwrap()), ..options(Profile::Orders, 5) };
    let mut reader = source(&fast).open(&SplitId::new("0"), None).await.unwrap();
    let (mut records, mut caught_up) = (Records::default(), 0);
    while reader.read(&mut records, LIMITS).await.unwrap() == ReadStatus::CaughtUp {
        caught_up += 1;
    }
    assert_eq!(records.len(), 5);
    assert!(caught_up > 0, "events 10 ms apart do not fall due at once");
}

#[tokio::test]
async fn what_is_due_comes_in_reads_of_the_limit() {
    let fast = GeneratorOptions { rate: Some("1M/s".parse().unwrap()), ..options(Profile::Orders, 1_000_000) };
    let mut reader = source(&fast).open(&SplitId::new("0"), None).await.unwrap();
    let small = ReadLimits { bytes: 1, ..LIMITS };
    // While three milliseconds pass, three thousand events fall due.
    loop {
        let mut records = Records::default();
        let status = reader.read(&mut records, small).await.unwrap();
        assert_eq!(records.len(), 1);
        if status == ReadStatus::More {
            return;
        }
    }
}

#[tokio::test]
async fn a_restart_goes_on_in_event_time() {
    let now = GeneratorOptions { start: None, ..options(Profile::Orders, 100) };
    let mut reader = source(&now).open(&SplitId::new("0"), None).await.unwrap();
    let mut records = Records::default();
    reader.read(&mut records, ReadLimits { bytes: 1, ..LIMITS }).await.unwrap();
    let position = reader.position();
    assert_eq!(position.0["event"], 1);
    let began = position.0["start_ms"].as_i64().unwrap();

    let mut later = source(&now);
    later.start_ms += 3_600_000;
    let mut reader = later.open(&SplitId::new("0"), Some(&position)).await.unwrap();
    records.clear();
    reader.read(&mut records, LIMITS).await.unwrap();
    let Item::Record { payload, .. } = items_of(&records).remove(0) else { panic!() };
    assert_eq!(millis(&serde_json::from_slice(&payload).unwrap()), began);
}

#[tokio::test]
async fn absurd_times_stay_within_four_digit_years() {
    for (start, disorder, year) in
        [("0000-01-01T00:00:00Z", "100years", "0000-"), ("9999-12-31T23:59:59.999Z", "0s", "9999-")]
    {
        let strange = GeneratorOptions {
            start: Some(DateTime::parse_from_rfc3339(start).unwrap().to_utc()),
            disorder: disorder.parse().unwrap(),
            rate: None,
            ..options(Profile::Sensors, 200)
        };
        for event in events(&strange).await {
            assert!(event["ts"].as_str().unwrap().starts_with(year), "{event}");
        }
    }
}

#[tokio::test]
async fn what_does_not_exist_cannot_be_opened() {
    let source = source(&options(Profile::Orders, 1));
    let refused = source.open(&SplitId::new("1"), None).await.err().unwrap();
    assert_eq!(refused.to_string(), "split 1 does not exist: this generator has 1 splits");
    let foreign = Position(serde_json::json!({ "offset": 1 }));
    assert!(matches!(source.open(&SplitId::new("0"), Some(&foreign)).await, Err(SourceError::Config { .. })));
}

#[test]
fn options_are_read_strictly() {
    let text = r#"{"profile": "orders", "events": 1000000, "rate": "100000/s", "splits": 4, "seed": 1,
                   "start": "2026-03-01T00:00:00+01:00", "disorder": "2s", "bad": 0.001}"#;
    let options: GeneratorOptions = serde_json::from_str(text).unwrap();
    assert_eq!(options.rate, Some(Rate::per_second(100_000)));
    assert_eq!(options.start.unwrap().to_rfc3339(), "2026-02-28T23:00:00+00:00");
    assert_eq!((options.splits, options.disorder.0), (4, Duration::from_secs(2)));
    let least: GeneratorOptions = serde_json::from_str(r#"{"profile": "clicks"}"#).unwrap();
    assert_eq!(least, GeneratorOptions::new(Profile::Clicks));
    assert_eq!((least.splits, least.seed), (1, 42));
    for (text, what) in [
        (r#"{}"#, "profile"),
        (r#"{"profile": "dogs"}"#, "orders"),
        (r#"{"profile": "orders", "event": 1}"#, "events"),
        (r#"{"profile": "orders", "start": "tomorrow"}"#, "RFC 3339"),
        (r#"{"profile": "orders", "rate": "fast"}"#, "100000/s"),
        (r#"{"profile": "orders", "disorder": "2"}"#, "250ms"),
        (r#"{"profile": "orders", "disorder": 2}"#, "with its unit"),
    ] {
        let refused = serde_json::from_str::<GeneratorOptions>(text).unwrap_err().to_string();
        assert!(refused.contains(what), "{text}: {refused}");
    }
}

#[test]
fn options_that_cannot_work_are_refused() {
    let none = GeneratorOptions { splits: 0, ..GeneratorOptions::new(Profile::Orders) };
    let refused = GeneratorSource::new(none).unwrap_err().to_string();
    assert_eq!(refused, "splits = 0 is out of range: choose from 1 to 65536");
    for bad in [-0.1, 1.5, f64::NAN] {
        let options = GeneratorOptions { bad, ..GeneratorOptions::new(Profile::Orders) };
        assert!(GeneratorSource::new(options).unwrap_err().to_string().contains("is not a share"));
    }
}

#[test]
fn rates_are_read_as_written() {
    for (text, written, per_hour) in [
        ("100000/s", "100000/s", 360_000_000),
        ("5k/s", "5000/s", 18_000_000),
        ("1.", "", 0),
        (" 2 M / min ", "2000000/m", 120_000_000),
        ("100/m", "100/m", 6_000),
        ("1_000/h", "1000/h", 1_000),
        ("100", "", 0),
        ("0/s", "", 0),
        ("-1/s", "", 0),
        ("1/d", "", 0),
        ("k/s", "", 0),
        ("99999999999999999999/s", "", 0),
        ("10000000000000M/s", "", 0),
    ] {
        match text.parse::<Rate>() {
            Ok(rate) => {
                assert_eq!(rate.to_string(), written, "{text}");
                assert_eq!(rate.events(Duration::from_secs(3600)), per_hour);
                assert_eq!(rate.time(per_hour), Duration::from_secs(3600));
                assert_eq!(rate.millis(per_hour * 2), 7_200_000);
            }
            Err(_) => assert!(written.is_empty(), "{text}"),
        }
    }
}

#[test]
fn numbers_are_written_like_any_other_number() {
    use super::line::Line;
    let mut line = Line::new();
    let numbers =
        (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit]).chain((0..20).map(|power| 10u64.pow(power) - 1));
    for n in numbers.chain([9, 10, 99, 100, 12_345_678, 100_000_000, u64::MAX]) {
        line.clear();
        line.number(n);
        line.text(b" ");
        line.hex(n);
        line.text(b" ");
        line.four_digits(n % 10_000);
        assert_eq!(String::from_utf8_lossy(line.as_bytes()), format!("{n} {n:016x} {:04}", n % 10_000));
    }
    for (n, expected) in [(0, "0.00"), (5, "0.05"), (123, "1.23"), (-7, "-0.07"), (-98_765, "-987.65")] {
        line.clear();
        line.hundredths(n);
        assert_eq!(String::from_utf8_lossy(line.as_bytes()), expected);
    }
}

#[tokio::test]
async fn a_maker_makes_the_events_of_a_source_at_their_times() {
    for profile in PROFILES {
        let disorder = HumanDuration(Duration::from_secs(2));
        let options = GeneratorOptions { disorder, rate: None, ..options(profile, 500) };
        let start_ms = options.start.unwrap().timestamp_millis();
        let mut maker = EventMaker::new(profile, options.seed, start_ms, EVENT_RATE).with_disorder(disorder);
        for (number, expected) in (0..).zip(payloads(&options).await.remove(0)) {
            let mut event = Vec::new();
            maker.write(number, maker.time(number), &mut event);
            assert_eq!(String::from_utf8_lossy(&event), String::from_utf8_lossy(&expected));
        }
    }
}
