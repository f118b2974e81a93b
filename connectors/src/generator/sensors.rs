//! Readings of the machines in a factory.

use super::clock::Clock;
use super::dice::{Dice, mix};
use super::line::{Line, Piece};
use super::profile::{Events, Moment};
use super::skew::Skew;
use super::wave::Wave;

const MACHINES: u64 = 200;
const KINDS: [&str; 5] = ["press", "mill", "robot", "oven", "pump"];
const LINES: u64 = 8;
const DAY_MS: u64 = 86_400_000;
/// One reading in so many is a spike.
const SPIKE: u64 = 2_000;

#[derive(Debug)]
struct Machine {
    /// Its name and its line, from the end of the time to the start of the temperature.
    names: Piece,
    /// Hundredths of a degree on average.
    temperature: i64,
    /// Hundredths of a millimetre per second on average.
    vibration: i64,
    /// How far its day is shifted against the others'.
    shift_ms: u64,
}

/// Tables that readings are made from.
#[derive(Debug)]
pub(super) struct Sensors {
    machine: Skew,
    machines: Vec<Machine>,
    day: Wave,
    statuses: [Piece; 3],
}

impl Sensors {
    pub(super) const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("ts", "timestamp"),
        ("machine", "string"),
        ("line", "string"),
        ("temperature", "double"),
        ("vibration", "double"),
        ("status", "string"),
    ];

    pub(super) fn new() -> Self {
        let machine = |i: u64| {
            let kind = KINDS[(i % KINDS.len() as u64) as usize];
            let line = i / (MACHINES / LINES);
            let trait_of = mix(i + 1);
            Machine {
                names: Piece::new(&format!(
                    "\",\"machine\":\"{kind}-{i:03}\",\"line\":\"line-{line}\",\"temperature\":"
                )),
                temperature: 4_000 + (trait_of % 3_500) as i64,
                vibration: 80 + (trait_of >> 32) as i64 % 300,
                shift_ms: trait_of % DAY_MS,
            }
        };
        Self {
            // Some machines report a little more often than others.
            machine: Skew::zipf(MACHINES as usize, 0.3),
            machines: (0..MACHINES).map(machine).collect(),
            day: Wave::new(),
            statuses: ["ok", "warn", "fault"].map(|status| Piece::new(&format!(",\"status\":\"{status}\"}}"))),
        }
    }
}

impl Events for Sensors {
    fn write(&self, moment: Moment, dice: &mut Dice, clock: &mut Clock, line: &mut Line) {
        let machine = &self.machines[self.machine.pick(dice.roll())];
        let of_day = (moment.ms.rem_euclid(DAY_MS as i64) as u64 + machine.shift_ms) % DAY_MS;
        let mut temperature = machine.temperature + self.day.at(of_day, DAY_MS) * 6 / 10 + dice.around_zero(180);
        let mut vibration = machine.vibration + dice.around_zero(60);
        let spike = dice.below(SPIKE);
        if spike == 0 {
            temperature += 2_500 + dice.below(2_000) as i64;
            vibration += 400;
        }
        let status = match spike {
            0 => 2,
            1..20 => 1,
            _ => 0,
        };
        line.text(b"{\"ts\":\"");
        clock.write(moment.ms, line);
        line.piece(&machine.names);
        line.hundredths(temperature);
        line.text(b",\"vibration\":");
        line.hundredths(vibration.max(0));
        line.piece(&self.statuses[status]);
    }

    fn weak_spots(&self) -> (&'static str, &'static str) {
        ("temperature", "machine")
    }
}
