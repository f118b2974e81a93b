//! People who come to the auction house.

use super::super::clock::Clock;
use super::super::dice::Dice;
use super::super::line::{Line, Piece};
use super::super::profile::{Events, Moment};
use super::{FIRST_ID, fill, last_person};

const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
/// Few, and chosen apart from the cities: queries find something in every state.
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const AVERAGE_BYTES: u64 = 200;

/// Tables that people are made from.
#[derive(Debug)]
pub(in super::super) struct People {
    first_names: Vec<Piece>,
    last_names: Vec<Piece>,
    cities: Vec<Piece>,
    states: Vec<Piece>,
}

impl People {
    pub(in super::super) const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("id", "bigint"),
        ("name", "string"),
        ("email_address", "string"),
        ("credit_card", "string"),
        ("city", "string"),
        ("state", "string"),
        ("date_time", "timestamp"),
        ("extra", "string"),
    ];

    pub(in super::super) fn new() -> Self {
        let pieces = |words: &[&str]| words.iter().map(|word| Piece::new(word)).collect();
        Self {
            first_names: pieces(&FIRST_NAMES),
            last_names: pieces(&LAST_NAMES),
            cities: pieces(&CITIES),
            states: pieces(&STATES),
        }
    }
}

impl Events for People {
    fn write(&self, moment: Moment, dice: &mut Dice, clock: &mut Clock, line: &mut Line) {
        let [first_name, last_name, city, state] =
            [&self.first_names, &self.last_names, &self.cities, &self.states].map(|words| one_of(words, dice));
        let (user, host) = (3 + dice.below(4), 3 + dice.below(2));
        line.text(b"{\"id\":");
        line.number(FIRST_ID + last_person(moment.number));
        line.text(b",\"name\":\"");
        line.piece(first_name);
        line.text(b" ");
        line.piece(last_name);
        line.text(b"\",\"email_address\":\"");
        line.letters(user, dice);
        line.text(b"@");
        line.letters(host, dice);
        line.text(b".com\",\"credit_card\":\"");
        for separator in [b" ", b" ", b" ", b"\""] {
            line.four_digits(dice.below(10_000));
            line.text(separator);
        }
        line.text(b",\"city\":\"");
        line.piece(city);
        line.text(b"\",\"state\":\"");
        line.piece(state);
        line.text(b"\",\"date_time\":\"");
        clock.write(moment.ms, line);
        line.text(b"\",\"extra\":\"");
        let words = [first_name, last_name, city, state].iter().map(|word| word.len()).sum::<u64>();
        // The id; the space in the name; what is around the two parts of the address; the card.
        let size = 8 + words + 1 + user + host + 5 + 19;
        fill(size, AVERAGE_BYTES, dice, line);
        line.text(b"\"}");
    }

    fn weak_spots(&self) -> (&'static str, &'static str) {
        ("id", "name")
    }
}

fn one_of<'a>(words: &'a [Piece], dice: &mut Dice) -> &'a Piece {
    &words[dice.below(words.len() as u64) as usize]
}
