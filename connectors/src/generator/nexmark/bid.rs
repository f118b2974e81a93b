//! What is bid.

use super::super::clock::Clock;
use super::super::dice::Dice;
use super::super::line::{Line, Piece};
use super::super::profile::{Events, Moment};
use super::prices::Prices;
use super::{FIRST_ID, HOT, active_person, fill, last_auction, last_person, open_auction};

/// All but one in so many bids are for a hot auction; are of a hot bidder; come by a hot channel.
const COLD_AUCTIONS: u64 = 2;
const COLD_BIDDERS: u64 = 4;
const COLD_CHANNELS: u64 = 2;
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
/// How many channels there are beside the hot ones.
const CHANNELS: u64 = 10_000;
const AVERAGE_BYTES: u64 = 100;

/// Tables that bids are made from.
#[derive(Debug)]
pub(in super::super) struct Bids {
    prices: Prices,
    hot_channels: Vec<Piece>,
}

impl Bids {
    pub(in super::super) const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("auction", "bigint"),
        ("bidder", "bigint"),
        ("price", "bigint"),
        ("channel", "string"),
        ("url", "string"),
        ("date_time", "timestamp"),
        ("extra", "string"),
    ];

    pub(in super::super) fn new() -> Self {
        Self { prices: Prices::new(), hot_channels: HOT_CHANNELS.iter().map(|name| Piece::new(name)).collect() }
    }

    /// Writes a channel and the URL that belongs to it.
    fn write_channel(&self, dice: &mut Dice, line: &mut Line) {
        let hot = dice.below(COLD_CHANNELS) > 0;
        let channel = dice.below(if hot { self.hot_channels.len() as u64 } else { CHANNELS });
        if hot {
            line.piece(&self.hot_channels[channel as usize]);
        } else {
            line.text(b"channel-");
            line.number(channel);
        }
        // The same letters at every bid by this channel.
        let mut dice = Dice::new(u64::from(hot), channel);
        line.text(b"\",\"url\":\"https://www.nexmark.com/");
        for _ in 0..3 {
            line.letters(5, &mut dice);
            line.text(b"/");
        }
        line.text(b"item.htm?query=1");
        // Nine in ten of the others say their number, after a fashion.
        if !hot && dice.below(10) > 0 {
            line.text(b"&channel_id=");
            line.number(u64::from((channel as u32).reverse_bits() >> 1));
        }
    }
}

impl Events for Bids {
    fn write(&self, moment: Moment, dice: &mut Dice, clock: &mut Clock, line: &mut Line) {
        line.text(b"{\"auction\":");
        line.number(FIRST_ID + auction(moment.number, dice));
        line.text(b",\"bidder\":");
        line.number(FIRST_ID + bidder(moment.number, dice));
        line.text(b",\"price\":");
        line.number(self.prices.pick(dice));
        line.text(b",\"channel\":\"");
        self.write_channel(dice, line);
        line.text(b"\",\"date_time\":\"");
        clock.write(moment.ms, line);
        line.text(b"\",\"extra\":\"");
        // Three numbers and a time; channel and URL came later, and do not count.
        fill(4 * 8, AVERAGE_BYTES, dice, line);
        line.text(b"\"}");
    }

    fn weak_spots(&self) -> (&'static str, &'static str) {
        ("price", "channel")
    }
}

/// What is bid for: mostly the first of the hundred auctions that began last.
fn auction(number: u64, dice: &mut Dice) -> u64 {
    let last = last_auction(number);
    match dice.below(COLD_AUCTIONS) {
        0 => open_auction(last, dice),
        _ => last / HOT * HOT,
    }
}

/// Who bids: mostly the second of the hundred people who came last, as the first is the one who sells.
fn bidder(number: u64, dice: &mut Dice) -> u64 {
    let last = last_person(number);
    match dice.below(COLD_BIDDERS) {
        0 => active_person(last, dice),
        _ => (last / HOT * HOT + 1).min(last),
    }
}
