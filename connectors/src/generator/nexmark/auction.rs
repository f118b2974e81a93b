//! What is put up for auction.

use super::super::clock::Clock;
use super::super::dice::Dice;
use super::super::line::Line;
use super::super::profile::{Events, Moment};
use super::prices::Prices;
use super::{AUCTION, FIRST_ID, HOT, OPEN_AUCTIONS, ROUND, active_person, fill, last_auction, last_person};

/// Few, so that queries find something in every one.
const CATEGORIES: u64 = 5;
const FIRST_CATEGORY: u64 = 10;
/// All but one in so many auctions are of a hot seller.
const COLD_SELLERS: u64 = 4;
const AVERAGE_BYTES: u64 = 500;

/// Tables that auctions are made from.
#[derive(Debug)]
pub(in super::super) struct Auctions {
    prices: Prices,
}

impl Auctions {
    pub(in super::super) const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("id", "bigint"),
        ("item_name", "string"),
        ("description", "string"),
        ("initial_bid", "bigint"),
        ("reserve", "bigint"),
        ("date_time", "timestamp"),
        ("expires", "timestamp"),
        ("seller", "bigint"),
        ("category", "bigint"),
        ("extra", "string"),
    ];

    pub(in super::super) fn new() -> Self {
        Self { prices: Prices::new() }
    }
}

impl Events for Auctions {
    fn write(&self, moment: Moment, dice: &mut Dice, clock: &mut Clock, line: &mut Line) {
        let (name, description) = (3 + dice.below(17), 3 + dice.below(97));
        let initial_bid = self.prices.pick(dice);
        line.text(b"{\"id\":");
        line.number(FIRST_ID + last_auction(moment.number));
        line.text(b",\"item_name\":\"");
        line.letters(name, dice);
        line.text(b"\",\"description\":\"");
        line.letters(description, dice);
        line.text(b"\",\"initial_bid\":");
        line.number(initial_bid);
        line.text(b",\"reserve\":");
        line.number(initial_bid + self.prices.pick(dice));
        line.text(b",\"date_time\":\"");
        clock.write(moment.ms, line);
        line.text(b"\",\"expires\":\"");
        clock.write(moment.ms.saturating_add_unsigned(length(moment.number, dice, clock)), line);
        line.text(b"\",\"seller\":");
        line.number(FIRST_ID + seller(moment.number, dice));
        line.text(b",\"category\":");
        line.number(FIRST_CATEGORY + dice.below(CATEGORIES));
        line.text(b",\"extra\":\"");
        // Six numbers and times, and two texts.
        fill(6 * 8 + name + description, AVERAGE_BYTES, dice, line);
        line.text(b"\"}");
    }

    fn weak_spots(&self) -> (&'static str, &'static str) {
        ("reserve", "item_name")
    }
}

/// Milliseconds for which an auction is open: on average as long as it takes until so many others have begun as are open at
/// a time.
fn length(number: u64, dice: &mut Dice, clock: &Clock) -> u64 {
    let until = number.saturating_add(OPEN_AUCTIONS * ROUND / AUCTION.count);
    let average = clock.at(until).abs_diff(clock.at(number));
    1 + dice.below((2 * average).max(1))
}

/// Who sells: mostly the first of the hundred that came last.
fn seller(number: u64, dice: &mut Dice) -> u64 {
    let last = last_person(number);
    match dice.below(COLD_SELLERS) {
        0 => active_person(last, dice),
        _ => last / HOT * HOT,
    }
}
