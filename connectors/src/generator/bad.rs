//! Breaks events in the ways in which real ones are broken.

use memchr::memmem;

use super::dice::Dice;

/// Gives a broken form of `event`, a flat JSON object, that no reader can take for a whole one. The places are
/// fields with a number, with a string that is not empty, and with the time.
pub(super) fn broken(event: &[u8], places: [&str; 3], dice: &mut Dice) -> Vec<u8> {
    let mut event = event.to_vec();
    let kind = dice.below(5);
    let [number, string, time] = places.map(|field| value_of(&event, field));
    match (kind, number, string.map(|at| at + 1), time) {
        // A number that is no number.
        (1, Some(at), ..) => replace(&mut event, at, b"\"n/a\""),
        // A byte that no UTF-8 text holds.
        (2, _, Some(at), _) => event[at] = 0xff,
        // A string without its closing quote.
        (3, _, Some(at), _) => {
            if let Some(len) = memchr::memchr(b'"', &event[at..]) {
                event.remove(at + len);
            }
        }
        // A timestamp that is none.
        (4, _, _, Some(at)) => replace(&mut event, at, b"\"yesterday\""),
        // Cut off.
        _ => event.truncate(1 + dice.below(event.len() as u64 - 1) as usize),
    }
    event
}

/// Where the value of `field` begins.
fn value_of(event: &[u8], field: &str) -> Option<usize> {
    let name = format!("\"{field}\":");
    memmem::find(event, name.as_bytes()).map(|at| at + name.len())
}

/// Puts `new` in place of the value at `at`, which holds neither a comma nor a brace.
fn replace(event: &mut Vec<u8>, at: usize, new: &[u8]) {
    let len = memchr::memchr2(b',', b'}', &event[at..]).unwrap_or(event.len() - at);
    event.splice(at..at + len, new.iter().copied());
}
