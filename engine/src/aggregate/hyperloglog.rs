//! How many different values a group has, to a standard error of 0.8 %.
//!
//! This is HyperLogLog (Flajolet, Fusy, Gandouet, Meunier, 2007) with 2^14 registers and Ertl's estimator ("New cardinality
//! estimation algorithms for HyperLogLog sketches", arXiv:1702.01284), as DataFusion has it: the same hash gives the same
//! registers, and so the same number. What differs is how few registers are kept: in a list of those that were raised, four
//! bytes each, from which the doubles are taken out whenever it is full. Beyond [`FEW`] different ones, all stand in a row.
//!
//! # As bytes
//!
//! | first byte | then |
//! |---|---|
//! | none at all | nothing: there are no values |
//! | 1 | the registers that are not zero, the last first: 14 bits of number, 6 of contents, in 3 bytes, little-endian |
//! | 2 | all of them, 6 bits each, lowest bits first |
//!
//! If this changes, so must [`FORMAT`](super::functions::FORMAT).

use super::sketches::{Malformed, Sketch};

/// Bits of a hash that choose the register.
const P: u32 = 14;
/// Bits that are left.
const Q: u32 = 64 - P;
const REGISTERS: usize = 1 << P;
/// Most registers in a list, which then takes a quarter of what all of them in a row do at the most.
const FEW: usize = 512;
/// Length up to which a list may hold doubles for good: sorting shorter ones costs more than it saves.
const SHORT: usize = 64;
/// Bits for what a register holds, which is 51 at most.
const BITS: u32 = 6;
const MASK: u32 = (1 << BITS) - 1;

const SOME: u8 = 1;
const ALL: u8 = 2;

/// The registers of one group.
#[derive(Debug)]
pub(super) enum HyperLogLog {
    /// Those that are not zero: number and contents, in any order; the largest contents of a register count.
    Few(Vec<u32>),
    All(Box<[u8]>),
}

impl Default for HyperLogLog {
    fn default() -> Self {
        HyperLogLog::Few(Vec::new())
    }
}

impl HyperLogLog {
    /// Takes the hash of a value. `heap` is kept at the bytes that all groups take beside themselves.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, heap: &mut usize) {
        let register = (hash as usize) & (REGISTERS - 1);
        let contents = ((hash >> P) | (1 << Q)).trailing_zeros() + 1;
        self.raise(register, contents, heap);
    }

    /// Makes a register at least so large.
    #[inline]
    fn raise(&mut self, register: usize, contents: u32, heap: &mut usize) {
        match self {
            HyperLogLog::All(all) => {
                let held = &mut all[register];
                *held = (*held).max(contents as u8);
            }
            HyperLogLog::Few(list) if list.len() < list.capacity() => list.push(entry(register, contents)),
            HyperLogLog::Few(_) => {
                self.make_room(heap);
                self.raise(register, contents, heap);
            }
        }
    }

    /// Makes room where a list is full: half of it at the least.
    #[cold]
    fn make_room(&mut self, heap: &mut usize) {
        let before = self.heap();
        self.tidy();
        if let HyperLogLog::Few(list) = self
            && (list.len() > list.capacity() / 2 || list.is_empty())
        {
            list.reserve_exact(list.capacity().max(2) * 2 - list.len());
        }
        *heap = (*heap + self.heap()).saturating_sub(before);
    }

    /// Takes doubles out of a list that is worth it, and puts all registers in a row if they are more than a few.
    fn tidy(&mut self) {
        let HyperLogLog::Few(list) = self else { return };
        if list.len() <= SHORT {
            return;
        }
        unique(list);
        if list.len() > FEW {
            let mut all = vec![0; REGISTERS].into_boxed_slice();
            list.iter().for_each(|&held| all[register(held)] = contents(held) as u8);
            *self = HyperLogLog::All(all);
        }
    }

    /// How many different values there are, about.
    pub(super) fn count(&mut self) -> u64 {
        let mut with = [0u32; Q as usize + 2];
        match self {
            HyperLogLog::Few(list) => {
                unique(list);
                list.iter().for_each(|&held| with[contents(held) as usize] += 1);
                with[0] = (REGISTERS - list.len()) as u32;
            }
            HyperLogLog::All(all) => all.iter().for_each(|&held| with[held as usize] += 1),
        }
        estimate(&with)
    }

    fn merge_all(&mut self, fours: impl Iterator<Item = u32>, heap: &mut usize) -> Result<(), Malformed> {
        let mut highest = 0;
        let mut merged = vec![0; REGISTERS].into_boxed_slice();
        for (four, bits) in merged.as_chunks_mut::<4>().0.iter_mut().zip(fours) {
            for (index, to) in four.iter_mut().enumerate() {
                *to = ((bits >> (BITS * index as u32)) & MASK) as u8;
                highest = highest.max(*to);
            }
        }
        if u32::from(highest) > Q + 1 {
            return Err(Malformed);
        }
        match self {
            HyperLogLog::All(all) => all.iter_mut().zip(merged).for_each(|(held, other)| *held = (*held).max(other)),
            HyperLogLog::Few(list) => {
                for &held in &*list {
                    let other = &mut merged[register(held)];
                    *other = (*other).max(contents(held) as u8);
                }
                *heap = (*heap + merged.len()).saturating_sub(list.capacity() * size_of::<u32>());
                *self = HyperLogLog::All(merged);
            }
        }
        Ok(())
    }
}

impl Sketch for HyperLogLog {
    fn heap(&self) -> usize {
        match self {
            HyperLogLog::Few(list) => list.capacity() * size_of::<u32>(),
            HyperLogLog::All(all) => all.len(),
        }
    }

    fn write(&mut self, to: &mut Vec<u8>) {
        self.tidy();
        match self {
            HyperLogLog::Few(list) => {
                unique(list);
                if !list.is_empty() {
                    to.push(SOME);
                }
                list.iter().for_each(|held| to.extend(&held.to_le_bytes()[..3]));
            }
            HyperLogLog::All(all) => {
                to.push(ALL);
                let (fours, _) = all.as_chunks::<4>();
                for four in fours {
                    let bits = four.iter().rev().fold(0, |bits, &held| (bits << BITS) | u32::from(held));
                    to.extend(&bits.to_le_bytes()[..3]);
                }
            }
        }
    }

    fn merge(&mut self, bytes: &[u8], heap: &mut usize) -> Result<(), Malformed> {
        let Some((&kind, bytes)) = bytes.split_first() else { return Ok(()) };
        let (threes, []) = bytes.as_chunks::<3>() else { return Err(Malformed) };
        let threes = threes.iter().map(|&[a, b, c]| u32::from_le_bytes([a, b, c, 0]));
        match kind {
            SOME if threes.len() <= FEW => {
                for held in threes {
                    if register(held) >= REGISTERS || !(1..=Q + 1).contains(&contents(held)) {
                        return Err(Malformed);
                    }
                    self.raise(register(held), contents(held), heap);
                }
                Ok(())
            }
            ALL if threes.len() * 4 == REGISTERS => self.merge_all(threes, heap),
            _ => Err(Malformed),
        }
    }
}

/// Sorts a list, and leaves the largest contents of each register.
fn unique(list: &mut Vec<u32>) {
    list.sort_unstable_by(|a, b| b.cmp(a));
    list.dedup_by_key(|held| register(*held));
}

fn entry(register: usize, contents: u32) -> u32 {
    ((register as u32) << BITS) | contents
}

fn register(held: u32) -> usize {
    (held >> BITS) as usize
}

fn contents(held: u32) -> u32 {
    held & MASK
}

/// Ertl's estimate, from how many registers hold each number.
fn estimate(with: &[u32; Q as usize + 2]) -> u64 {
    let m = REGISTERS as f64;
    let mut z = m * tau((m - f64::from(with[Q as usize + 1])) / m);
    for &registers in with[1..=Q as usize].iter().rev() {
        z = (z + f64::from(registers)) * 0.5;
    }
    z += m * sigma(f64::from(with[0]) / m);
    (0.5 / 2f64.ln() * m * m / z).round() as u64
}

/// σ of the paper.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

/// τ of the paper.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if before == z {
            return z / 3.0;
        }
    }
}
