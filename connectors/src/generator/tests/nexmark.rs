use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::*;

/// The three streams of one sequence.
struct House {
    people: Vec<Value>,
    auctions: Vec<Value>,
    bids: Vec<Value>,
}

/// `events` events of the sequence, dealt out to `splits` splits, in their order.
async fn house(events: u64, splits: u32) -> House {
    let of = async |profile| {
        let options = GeneratorOptions { events: Some(events), splits, ..options(profile, 0) };
        let mut dealt: Vec<_> = payloads(&options).await.into_iter().map(Vec::into_iter).collect();
        let mut events: Vec<Value> = Vec::new();
        for turn in 0.. {
            let Some(payload) = dealt[turn % splits as usize].next() else { break };
            events.push(serde_json::from_slice(&payload).unwrap());
        }
        assert!(dealt.iter().all(|rest| rest.len() == 0), "dealt out in turn");
        events
    };
    House {
        people: of(Profile::NexmarkPerson).await,
        auctions: of(Profile::NexmarkAuction).await,
        bids: of(Profile::NexmarkBid).await,
    }
}

fn id(event: &Value, field: &str) -> u64 {
    event[field].as_u64().unwrap()
}

/// Where in the sequence the `n`-th person, auction and bid stand: 1, 3 and 46 of every 50.
fn place_of_person(n: u64) -> u64 {
    50 * n
}

fn place_of_auction(n: u64) -> u64 {
    50 * (n / 3) + 1 + n % 3
}

fn place_of_bid(n: u64) -> u64 {
    50 * (n / 46) + 4 + n % 46
}

#[tokio::test]
async fn every_event_of_a_sequence_is_of_one_stream() {
    for events in [0, 1, 2, 4, 5, 49, 50, 51, 3_337, 10_000] {
        let house = house(events, 1).await;
        let made = house.people.len() + house.auctions.len() + house.bids.len();
        assert_eq!(made as u64, events);
        let (rounds, left) = (events / 50, events % 50);
        assert_eq!(house.people.len() as u64, rounds + left.min(1));
        assert_eq!(house.auctions.len() as u64, 3 * rounds + left.saturating_sub(1).min(3));
    }
}

#[tokio::test]
async fn nothing_refers_to_what_comes_later() {
    for splits in [1, 3] {
        let house = house(20_000, splits).await;
        for (events, place) in [
            (&house.people, place_of_person as fn(u64) -> u64),
            (&house.auctions, place_of_auction),
            (&house.bids, place_of_bid),
        ] {
            for (n, event) in (0..).zip(events) {
                let ms = 1_772_409_599_900 + place(n) as i64 / 100;
                assert_eq!(millis(event), ms, "the three share their event time: {event}");
            }
        }
        for (n, person) in (0..).zip(&house.people) {
            assert_eq!(id(person, "id"), 1000 + n);
        }
        for (n, auction) in (0..).zip(&house.auctions) {
            assert_eq!(id(auction, "id"), 1000 + n);
            assert!(place_of_person(id(auction, "seller") - 1000) < place_of_auction(n), "{auction}");
        }
        for (n, bid) in (0..).zip(&house.bids) {
            let (auction, bidder) = (id(bid, "auction") - 1000, id(bid, "bidder") - 1000);
            assert!(place_of_auction(auction) < place_of_bid(n), "{bid}");
            assert!(place_of_person(bidder) < place_of_bid(n), "{bid}");
            let began = house.auctions.partition_point(|other| millis(other) <= millis(bid)) as u64;
            assert!(auction + 110 > began, "auctions long past are not bid for: {bid}");
        }
    }
}

#[tokio::test]
async fn some_are_hotter_than_others() {
    let house = house(200_000, 1).await;
    let share = |events: &[Value], of: &dyn Fn(&Value) -> bool| {
        events.iter().filter(|event| of(event)).count() as f64 / events.len() as f64
    };
    let hot = |field: &'static str, rest: u64| move |event: &Value| id(event, field) % 100 == rest;
    for (what, share, expected) in [
        ("auctions of hot sellers", share(&house.auctions, &hot("seller", 0)), 0.7525),
        ("bids for hot auctions", share(&house.bids, &hot("auction", 0)), 0.505),
        ("bids of hot bidders", share(&house.bids, &hot("bidder", 1)), 0.7525),
        ("bids by Google", share(&house.bids, &|bid| bid["channel"] == "Google"), 0.125),
        ("auctions of a category", share(&house.auctions, &|auction| auction["category"] == 12), 0.2),
        ("people in Oregon", share(&house.people, &|person| person["state"] == "OR"), 1.0 / 6.0),
        ("bids below 100 dollars", share(&house.bids, &|bid| id(bid, "price") < 10_000), 1.0 / 3.0),
    ] {
        assert!((share - expected).abs() < 0.02, "{what}: {share} instead of {expected}");
    }
    assert!(house.bids.iter().all(|bid| (100..=100_000_000).contains(&id(bid, "price"))));
    assert!(house.auctions.iter().all(|auction| id(auction, "reserve") >= 100 + id(auction, "initial_bid")));
}

#[tokio::test]
async fn an_auction_is_open_for_as_long_as_a_hundred_others_take_to_begin() {
    let auctions = house(100_000, 1).await.auctions;
    let open = |auction: &Value| {
        let expires = DateTime::parse_from_rfc3339(auction["expires"].as_str().unwrap()).unwrap();
        expires.timestamp_millis() - millis(auction)
    };
    assert!(auctions.iter().all(|auction| (1..=34).contains(&open(auction))));
    let mean = auctions.iter().map(open).sum::<i64>() as f64 / auctions.len() as f64;
    // A hundred auctions are 1,666 events, which take 16.66 ms.
    assert!((16.0..18.0).contains(&mean), "open for {mean} ms on average");
}

#[tokio::test]
async fn events_are_of_the_sizes_that_the_benchmark_asks_for() {
    let house = house(50_000, 1).await;
    let size = |event: &Value, left_out: &[&str]| -> usize {
        let fields = event.as_object().unwrap().iter().filter(|(name, _)| !left_out.contains(&name.as_str()));
        let bytes = |name: &str, value: &Value| match value {
            Value::String(text) if !["date_time", "expires"].contains(&name) => text.len(),
            _ => 8,
        };
        fields.map(|(name, value)| bytes(name, value)).sum()
    };
    for (what, events, left_out, average) in [
        // As its first generator had it: without the time, channel and URL.
        ("people", &house.people, &["date_time"][..], 200.0),
        ("auctions", &house.auctions, &[], 500.0),
        ("bids", &house.bids, &["channel", "url"], 100.0),
    ] {
        let mean = events.iter().map(|event| size(event, left_out)).sum::<usize>() as f64 / events.len() as f64;
        assert!((mean / average - 1.0).abs() < 0.02, "{what} have {mean} bytes");
        let longest = events.iter().map(|event| event.to_string().len()).max().unwrap();
        assert!(longest <= 830, "{what} have up to {longest} bytes of JSON");
    }
}

#[tokio::test]
async fn a_channel_keeps_its_url() {
    let mut urls = HashMap::new();
    for bid in house(100_000, 1).await.bids {
        let [channel, url] = ["channel", "url"].map(|field| bid[field].as_str().unwrap().to_owned());
        assert!(url.starts_with("https://www.nexmark.com/") && url.contains("/item.htm?query=1"), "{url}");
        assert_eq!(*urls.entry(channel).or_insert(url.clone()), url);
    }
    assert!(urls.len() > 9_000);
    assert_eq!(urls.values().collect::<HashSet<_>>().len(), urls.len(), "no two channels share one");
}

#[test]
fn each_stream_has_its_share_of_the_rate() {
    let whole: Rate = "1000/s".parse().unwrap();
    let minute = Duration::from_secs(60);
    let rate = |profile: Profile| whole.of(profile.share()).events(minute);
    assert_eq!(rate(Profile::Orders), 60_000);
    assert_eq!(rate(Profile::NexmarkPerson), 1_200);
    assert_eq!(rate(Profile::NexmarkAuction), 3_600);
    assert_eq!(rate(Profile::NexmarkBid), 55_200);
}
