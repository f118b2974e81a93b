//! Nexmark: an auction house in three streams, of people, auctions and bids (Tucker, Tufte, Papadimos, Maier: NEXMark, a
//! benchmark for queries over data streams, 2002).
//!
//! The three profiles take turns in one sequence: of every 50 events the first is a person, the next three are auctions, and
//! 46 are bids. Ids count up, so that any event knows by its own number who and what there is already, and refers to nothing
//! else. Proportions, sizes, prices, and how often something hot is chosen are those of Apache Beam's and Flink's generators
//! (`NexmarkConfiguration`, and `PersonGenerator`, `AuctionGenerator`, `BidGenerator` beside it), but for one thing: theirs let
//! an id run ahead by up to ten, of somebody who comes later, and ours do not.

mod auction;
mod bid;
mod person;
mod prices;

use super::dice::Dice;
use super::line::Line;
use super::share::Share;

pub(super) use auction::Auctions;
pub(super) use bid::Bids;
pub(super) use person::People;

/// Events of one round, and of each kind.
const ROUND: u64 = 50;
pub(super) const PERSON: Share = Share { first: 0, count: 1, of: ROUND };
pub(super) const AUCTION: Share = Share { first: PERSON.count, count: 3, of: ROUND };
pub(super) const BID: Share = Share { first: PERSON.count + AUCTION.count, count: 46, of: ROUND };

/// The first id of people, and of auctions.
const FIRST_ID: u64 = 1_000;
/// So many people are active, the last ones.
const ACTIVE_PEOPLE: u64 = 1_000;
/// So many auctions are open on average.
const OPEN_AUCTIONS: u64 = 100;
/// One in so many people, and auctions, is hot for a while.
const HOT: u64 = 100;

/// The person who came last before event `number`, or with it; counted from 0.
fn last_person(number: u64) -> u64 {
    number / ROUND * PERSON.count
}

/// The auction that began last before the auction or bid `number`, or with it; counted from 0.
fn last_auction(number: u64) -> u64 {
    number / ROUND * AUCTION.count + (number % ROUND).saturating_sub(AUCTION.first).min(AUCTION.count - 1)
}

/// One of the active people.
fn active_person(last: u64, dice: &mut Dice) -> u64 {
    let active = ACTIVE_PEOPLE.min(last + 1);
    last + 1 - active + dice.below(active)
}

/// One of the last auctions, some of which are open.
fn open_auction(last: u64, dice: &mut Dice) -> u64 {
    let first = last.saturating_sub(OPEN_AUCTIONS);
    first + dice.below(last - first + 1)
}

/// Writes letters that make an event as large as those of its kind are on average, give or take a fifth. A number counts for
/// eight bytes, whatever its text has.
fn fill(size: u64, average: u64, dice: &mut Dice, line: &mut Line) {
    let missing = average.saturating_sub(size);
    let fifth = missing / 5;
    line.letters(missing - fifth + dice.below(2 * fifth + 1), dice);
}
