//! What customers of a web shop do: views, carts, orders, refunds.

use super::clock::Clock;
use super::dice::{Dice, scale};
use super::line::{Line, Piece};
use super::profile::{Events, Moment};
use super::skew::Skew;

/// Country, its currency, its cloud region, and its share of the events.
const COUNTRIES: [(&str, &str, &str, f64); 32] = [
    ("US", "USD", "us-east-1", 14.0),
    ("US", "USD", "us-west-2", 9.0),
    ("DE", "EUR", "eu-central-1", 8.5),
    ("GB", "GBP", "eu-west-1", 8.0),
    ("JP", "JPY", "ap-northeast-1", 7.0),
    ("FR", "EUR", "eu-west-1", 6.0),
    ("IN", "INR", "ap-southeast-1", 6.0),
    ("BR", "BRL", "us-east-1", 4.5),
    ("CA", "CAD", "us-east-1", 4.0),
    ("KR", "KRW", "ap-northeast-1", 3.5),
    ("AU", "AUD", "ap-southeast-1", 3.0),
    ("IT", "EUR", "eu-central-1", 3.0),
    ("ES", "EUR", "eu-west-1", 2.8),
    ("MX", "MXN", "us-east-1", 2.5),
    ("NL", "EUR", "eu-central-1", 2.2),
    ("ID", "IDR", "ap-southeast-1", 2.0),
    ("PL", "PLN", "eu-central-1", 1.8),
    ("SE", "SEK", "eu-west-1", 1.5),
    ("TR", "TRY", "eu-central-1", 1.3),
    ("CH", "CHF", "eu-central-1", 1.2),
    ("SG", "SGD", "ap-southeast-1", 1.1),
    ("TH", "THB", "ap-southeast-1", 1.0),
    ("AT", "EUR", "eu-central-1", 0.9),
    ("BE", "EUR", "eu-west-1", 0.9),
    ("DK", "DKK", "eu-west-1", 0.7),
    ("NO", "NOK", "eu-west-1", 0.7),
    ("PT", "EUR", "eu-west-1", 0.6),
    ("IE", "EUR", "eu-west-1", 0.6),
    ("CZ", "CZK", "eu-central-1", 0.5),
    ("FI", "EUR", "eu-west-1", 0.5),
    ("NZ", "NZD", "ap-southeast-1", 0.4),
    ("IS", "ISK", "eu-west-1", 0.1),
];

/// What happens, how often, and the sign of its amount.
const TYPES: [(&str, f64, i64); 6] = [
    ("view", 55.0, 1),
    ("cart", 19.0, 1),
    ("order", 17.0, 1),
    ("search", 5.0, 1),
    ("refund", 3.0, -1),
    ("cancel", 1.0, 1),
];

const DEVICES: [(&str, f64); 4] = [("mobile", 58.0), ("desktop", 34.0), ("tablet", 7.0), ("tv", 1.0)];

/// How many users there are: the largest prime below a million, so that multiplying shuffles them.
const USERS: u64 = 999_983;
const PRODUCTS: usize = 10_000;
/// Steps of the price curve: fine enough that a histogram does not show them.
const PRICES: usize = 4096;

/// Tables that orders are made from.
#[derive(Debug)]
pub(super) struct Orders {
    country: Skew,
    /// From the end of the time to the start of the type; currency up to the start of the device.
    places: Vec<(Piece, Piece)>,
    kind: Skew,
    kinds: Vec<(Piece, i64)>,
    product: Skew,
    /// Amounts in hundredths; as many lie below each as above the same one from the end.
    prices: Vec<i64>,
    device: Skew,
    devices: Vec<Piece>,
}

impl Orders {
    pub(super) const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("event_id", "string"),
        ("ts", "timestamp"),
        ("region", "string"),
        ("country", "string"),
        ("type", "string"),
        ("user_id", "bigint"),
        ("product_id", "bigint"),
        ("amount", "double"),
        ("currency", "string"),
        ("device", "string"),
    ];

    pub(super) fn new() -> Self {
        let place = |(country, currency, region, _): &(&str, &str, &str, f64)| {
            (
                Piece::new(&format!("\",\"region\":\"{region}\",\"country\":\"{country}\",\"type\":\"")),
                Piece::new(&format!(",\"currency\":\"{currency}\",\"device\":\"")),
            )
        };
        let kind = |(kind, _, sign): &(&str, f64, i64)| (Piece::new(&format!("{kind}\",\"user_id\":")), *sign);
        Self {
            country: Skew::new(&COUNTRIES.map(|(_, _, _, share)| share)),
            places: COUNTRIES.iter().map(place).collect(),
            kind: Skew::new(&TYPES.map(|(_, share, _)| share)),
            kinds: TYPES.iter().map(kind).collect(),
            product: Skew::zipf(PRODUCTS, 1.0),
            prices: (0..PRICES).map(price).collect(),
            device: Skew::new(&DEVICES.map(|(_, share)| share)),
            devices: DEVICES.iter().map(|(device, _)| Piece::new(&format!("{device}\"}}"))).collect(),
        }
    }
}

/// The `i`-th of [`PRICES`] steps of a log-logistic curve, which is close to a log-normal one and has a closed form:
/// half of the amounts lie below 32.00, nine in ten below 140.00.
fn price(i: usize) -> i64 {
    let below = (i as f64 + 0.5) / PRICES as f64;
    (3200.0 * (below / (1.0 - below)).powf(0.67)).round() as i64
}

impl Events for Orders {
    fn write(&self, moment: Moment, dice: &mut Dice, clock: &mut Clock, line: &mut Line) {
        let (region_and_country, currency) = &self.places[self.country.pick(dice.roll())];
        let (kind, sign) = &self.kinds[self.kind.pick(dice.roll())];
        line.text(b"{\"event_id\":\"");
        line.hex(dice.roll());
        line.hex(dice.roll());
        line.text(b"\",\"ts\":\"");
        clock.write(moment.ms, line);
        line.piece(region_and_country);
        line.piece(kind);
        line.number(1 + dice.below_skewed(USERS) * 611_953 % USERS);
        line.text(b",\"product_id\":");
        line.number(1 + self.product.pick(dice.roll()) as u64);
        line.text(b",\"amount\":");
        let roll = dice.roll();
        // The lower half of the bits moves the amount between two steps of the curve.
        let step = self.prices[scale(roll, PRICES as u64) as usize];
        line.hundredths(sign * (step + scale(roll << 32, 1 + step as u64 / 64) as i64));
        line.piece(currency);
        line.piece(&self.devices[self.device.pick(dice.roll())]);
    }

    fn weak_spots(&self) -> (&'static str, &'static str) {
        ("amount", "country")
    }
}
