//! Trades on several exchanges.

use super::clock::Clock;
use super::dice::{Dice, mix};
use super::line::{Line, Piece};
use super::profile::{Events, Moment};
use super::skew::Skew;
use super::wave::Wave;

const SYMBOLS: u64 = 500;
const VENUES: [(&str, f64); 6] =
    [("XNAS", 30.0), ("XNYS", 28.0), ("ARCX", 16.0), ("BATS", 14.0), ("IEXG", 7.0), ("EDGX", 5.0)];
/// Price waves: how many events they last, and how many thousandths of the price they move. The periods have no common
/// divisor to speak of, so that the sum does not visibly repeat.
const WAVES: [(u64, i64); 3] = [(3_999_971, 45), (400_009, 16), (50_021, 5)];

#[derive(Debug)]
struct Symbol {
    /// From the end of the time to the start of the price.
    name: Piece,
    /// Hundredths.
    price: i64,
    /// Where its waves begin.
    phase: u64,
}

/// Tables that trades are made from.
#[derive(Debug)]
pub(super) struct Trades {
    symbol: Skew,
    symbols: Vec<Symbol>,
    wave: Wave,
    sides: [Piece; 2],
    venue: Skew,
    venues: Vec<Piece>,
}

impl Trades {
    pub(super) const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("ts", "timestamp"),
        ("symbol", "string"),
        ("price", "double"),
        ("size", "bigint"),
        ("side", "string"),
        ("venue", "string"),
    ];

    pub(super) fn new() -> Self {
        let symbol = |i: u64| Symbol {
            name: Piece::new(&format!("\",\"symbol\":\"{}\",\"price\":", ticker(i))),
            price: 500 + (mix(i + 1) % 40_000) as i64,
            phase: mix(i + 1) >> 32,
        };
        Self {
            symbol: Skew::zipf(SYMBOLS as usize, 0.9),
            symbols: (0..SYMBOLS).map(symbol).collect(),
            wave: Wave::new(),
            sides: ["buy", "sell"].map(|side| Piece::new(&format!(",\"side\":\"{side}\",\"venue\":\""))),
            venue: Skew::new(&VENUES.map(|(_, share)| share)),
            venues: VENUES.iter().map(|(venue, _)| Piece::new(&format!("{venue}\"}}"))).collect(),
        }
    }
}

/// Three letters for the most traded symbols, four for the rest. Multiplying by a number without a common divisor gives
/// each another one.
fn ticker(i: u64) -> String {
    let letters = if i < 200 { 3 } else { 4 };
    let mut code = (i + 1) * 7_919 % 26_u64.pow(letters);
    let mut name = String::new();
    for _ in 0..letters {
        name.push((b'A' + (code % 26) as u8) as char);
        code /= 26;
    }
    name
}

impl Events for Trades {
    fn write(&self, moment: Moment, dice: &mut Dice, clock: &mut Clock, line: &mut Line) {
        let symbol = &self.symbols[self.symbol.pick(dice.roll())];
        let at = moment.number.wrapping_add(symbol.phase);
        let drift: i64 = WAVES.iter().map(|(period, thousandths)| self.wave.at(at, *period) * thousandths).sum();
        let price = symbol.price + symbol.price * (drift + dice.around_zero(1_000)) / 1_000_000;
        let roll = dice.roll();
        // Two in three trades are of round lots.
        let lots = 1 + dice.below_skewed(40);
        let size = if roll.is_multiple_of(3) { 1 + roll % (100 * lots) } else { 100 * lots };
        line.text(b"{\"ts\":\"");
        clock.write(moment.ms, line);
        line.piece(&symbol.name);
        line.hundredths(price);
        line.text(b",\"size\":");
        line.number(size);
        line.piece(&self.sides[(roll >> 63) as usize]);
        line.piece(&self.venues[self.venue.pick(dice.roll())]);
    }

    fn weak_spots(&self) -> (&'static str, &'static str) {
        ("price", "symbol")
    }
}
