//! Page views of a web site.

use super::clock::Clock;
use super::dice::{Dice, mix};
use super::line::{Line, Piece};
use super::profile::{Events, Moment};
use super::skew::Skew;

const CITIES: [(&str, &str, f64); 24] = [
    ("US", "New York", 10.0),
    ("GB", "London", 9.0),
    ("IN", "Mumbai", 8.0),
    ("US", "Los Angeles", 6.0),
    ("JP", "Tokyo", 6.0),
    ("DE", "Berlin", 5.5),
    ("FR", "Paris", 5.0),
    ("BR", "São Paulo", 5.0),
    ("US", "Chicago", 4.0),
    ("IN", "Delhi", 4.0),
    ("DE", "München", 3.5),
    ("CA", "Toronto", 3.0),
    ("AU", "Sydney", 3.0),
    ("KR", "Seoul", 3.0),
    ("ES", "Madrid", 2.5),
    ("IT", "Milano", 2.5),
    ("NL", "Amsterdam", 2.0),
    ("PL", "Kraków", 1.8),
    ("SE", "Göteborg", 1.2),
    ("CH", "Zürich", 1.2),
    ("TR", "İstanbul", 1.2),
    ("JP", "大阪", 1.0),
    ("DK", "København", 0.8),
    ("IS", "Reykjavík", 0.2),
];
const SECTIONS: [&str; 10] =
    ["home", "search", "sale", "shoes", "books", "garden", "toys", "kitchen", "sports", "help"];
const PAGES: usize = 2_000;
const REFERRERS: [(&str, f64); 5] = [
    ("null", 45.0),
    ("\"https://search.example/\"", 30.0),
    ("\"https://social.example/feed\"", 15.0),
    ("\"https://news.example/today\"", 7.0),
    ("\"https://mail.example/\"", 3.0),
];
const DEVICES: [(&str, f64); 3] = [("mobile", 61.0), ("desktop", 33.0), ("tablet", 6.0)];
const TAGS: [&str; 8] = ["new", "returning", "member", "campaign", "beta", "coupon", "bot?", "vip"];
const USERS: u64 = 999_983;
/// A user who stays gets another session id after half an hour.
const SESSION_MS: u64 = 1_800_000;

/// Tables that clicks are made from.
#[derive(Debug)]
pub(super) struct Clicks {
    page: Skew,
    sections: Vec<Piece>,
    referrer: Skew,
    referrers: Vec<Piece>,
    device: Skew,
    devices: Vec<Piece>,
    city: Skew,
    cities: Vec<Piece>,
    tags: Vec<Piece>,
}

impl Clicks {
    pub(super) const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("ts", "timestamp"),
        ("session_id", "string"),
        ("user_id", "bigint"),
        ("url", "string"),
        ("referrer", "string"),
        ("device", "string"),
        ("duration_ms", "bigint"),
        ("geo", "struct<country: string, city: string>"),
        ("tags", "list<string>"),
    ];

    pub(super) fn new() -> Self {
        let city = |(country, city, _): &(&str, &str, f64)| {
            Piece::new(&format!(",\"geo\":{{\"country\":\"{country}\",\"city\":\"{city}\"}},\"tags\":["))
        };
        let section = |section: &&str| Piece::new(&format!(",\"url\":\"https://shop.example/{section}/"));
        Self {
            page: Skew::zipf(PAGES, 1.1),
            sections: SECTIONS.iter().map(section).collect(),
            referrer: Skew::new(&REFERRERS.map(|(_, share)| share)),
            referrers: REFERRERS.iter().map(|(url, _)| Piece::new(&format!("{url},\"device\":\""))).collect(),
            device: Skew::new(&DEVICES.map(|(_, share)| share)),
            devices: DEVICES.iter().map(|(device, _)| Piece::new(&format!("{device}\",\"duration_ms\":"))).collect(),
            city: Skew::new(&CITIES.map(|(_, _, share)| share)),
            cities: CITIES.iter().map(city).collect(),
            tags: TAGS.iter().map(|tag| Piece::new(&format!("\"{tag}\""))).collect(),
        }
    }
}

impl Events for Clicks {
    fn write(&self, moment: Moment, dice: &mut Dice, clock: &mut Clock, line: &mut Line) {
        let user = 1 + dice.below_skewed(USERS) * 611_953 % USERS;
        // Sessions of different users do not change all at once.
        let session = (moment.ms as u64).wrapping_add(mix(user) % SESSION_MS) / SESSION_MS;
        let page = self.page.pick(dice.roll());
        line.text(b"{\"ts\":\"");
        clock.write(moment.ms, line);
        line.text(b"\",\"session_id\":\"");
        line.hex(mix(user ^ (session << 24)));
        line.text(b"\",\"user_id\":");
        line.number(user);
        line.piece(&self.sections[page % SECTIONS.len()]);
        line.number(page as u64);
        line.text(b"\",\"referrer\":");
        line.piece(&self.referrers[self.referrer.pick(dice.roll())]);
        line.piece(&self.devices[self.device.pick(dice.roll())]);
        line.number(40 + dice.below_skewed(120_000));
        line.piece(&self.cities[self.city.pick(dice.roll())]);
        self.write_tags(dice.roll(), line);
        line.text(b"]}");
    }

    fn weak_spots(&self) -> (&'static str, &'static str) {
        ("duration_ms", "url")
    }
}

impl Clicks {
    /// Up to three tags, each at most once; every second list is empty.
    fn write_tags(&self, roll: u64, line: &mut Line) {
        let count = (roll as usize % 8).saturating_sub(4);
        let first = (roll >> 32) as usize;
        for i in 0..count {
            if i > 0 {
                line.text(b",");
            }
            line.piece(&self.tags[(first + i * 3) % TAGS.len()]);
        }
    }
}
