//! A sketch as bytes: the same bytes for the same numbers.
//!
//! | first byte | then |
//! |---|---|
//! | none at all | nothing: there are no numbers |
//! | 1 | the numbers, sorted, 8 bytes each |
//! | 2 | the least and the greatest, 8 bytes each; the run of positive buckets; and if there are others: how many zeros, infinities below and above, and not numbers; the run of negative buckets |
//!
//! A run is its first bucket and its length, then counts. Behind a count of zero stands how many zeros there are. Bytes of a
//! number are little-endian; other numbers are LEB128. If this changes, so must
//! [`FORMAT`](super::super::functions::FORMAT).

use super::super::sketches::{self, Malformed};
use super::counts::{Counts, MOST};
use super::{Bounds, EXACT, Kept, Rest, Sketch, bucket};

const VALUES: u8 = 1;
const BUCKETS: u8 = 2;

impl sketches::Sketch for Sketch {
    fn heap(&self) -> usize {
        Sketch::heap(self)
    }

    fn write(&mut self, to: &mut Vec<u8>) {
        match &mut self.kept {
            Kept::Values(values) => {
                values.sort_unstable_by(f64::total_cmp);
                if !values.is_empty() {
                    to.push(VALUES);
                }
                values.iter().for_each(|value| to.extend(value.to_le_bytes()));
            }
            Kept::Buckets(counts, rest) => {
                to.push(BUCKETS);
                to.extend(self.bounds.least.to_le_bytes());
                to.extend(self.bounds.greatest.to_le_bytes());
                write_run(counts, to);
                if let Some(rest) = rest {
                    for count in [rest.zero, rest.below, rest.above, rest.not_numbers] {
                        write_number(count, to);
                    }
                    write_run(&rest.negative, to);
                }
            }
        }
    }

    fn merge(&mut self, mut bytes: &[u8], heap: &mut usize) -> Result<(), Malformed> {
        let before = self.heap();
        let merged = match read_byte(&mut bytes) {
            None => Ok(()),
            Some(VALUES) => self.merge_values(bytes),
            Some(BUCKETS) => self.merge_buckets(bytes),
            Some(_) => Err(Malformed),
        };
        *heap = (*heap + self.heap()).saturating_sub(before);
        merged
    }
}

impl Sketch {
    fn merge_values(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let (values, []) = bytes.as_chunks() else { return Err(Malformed) };
        let values = values.iter().map(|&value| f64::from_le_bytes(value));
        if let Kept::Values(own) = &mut self.kept
            && own.len() + values.len() <= EXACT
        {
            own.extend(values);
            return Ok(());
        }
        self.go_over();
        values.for_each(|value| self.count(value, bucket(value)));
        Ok(())
    }

    fn merge_buckets(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        self.go_over();
        let least = read_float(&mut bytes)?;
        let greatest = read_float(&mut bytes)?;
        let (first, run) = read_run(&mut bytes)?;
        // Bounds first: they say which buckets there can be.
        self.bounds.join(Bounds { least, greatest });
        let (top, lowest) = (self.top(), self.lowest());
        let Kept::Buckets(counts, rest) = &mut self.kept else { return Ok(()) };
        merge_run(counts, first, &run, top)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let rest: &mut Rest = rest.get_or_insert_default();
        for count in [&mut rest.zero, &mut rest.below, &mut rest.above, &mut rest.not_numbers] {
            *count = count.saturating_add(read_number(&mut bytes)?);
        }
        let (first, run) = read_run(&mut bytes)?;
        merge_run(&mut rest.negative, first, &run, lowest)?;
        if bytes.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

fn merge_run(into: &mut Counts, first: i32, run: &[u64], top: i32) -> Result<(), Malformed> {
    let end = first + run.len() as i32;
    if run.is_empty() {
        return Ok(());
    }
    if first < 1 || end - 1 > top {
        return Err(Malformed);
    }
    into.reach(first, end - 1, top);
    let counted = (first..).zip(run).filter(|(_, count)| **count > 0);
    counted.for_each(|(bucket, &count)| into.add(bucket, count, top));
    Ok(())
}

fn write_run(counts: &Counts, to: &mut Vec<u8>) {
    let (first, run) = counts.run();
    write_number(first as u64, to);
    write_number(run.len() as u64, to);
    let mut counts = run.iter().peekable();
    while let Some(&count) = counts.next() {
        write_number(count, to);
        if count == 0 {
            let mut zeros = 1;
            while counts.next_if(|next| **next == 0).is_some() {
                zeros += 1;
            }
            write_number(zeros, to);
        }
    }
}

fn read_run(bytes: &mut &[u8]) -> Result<(i32, Vec<u64>), Malformed> {
    let first = i32::try_from(read_number(bytes)?).map_err(|_| Malformed)?;
    let len = read_number(bytes)?;
    if len > MOST as u64 || first > i32::MAX - MOST {
        return Err(Malformed);
    }
    let mut run = Vec::with_capacity(len as usize);
    while (run.len() as u64) < len {
        match read_number(bytes)? {
            0 => {
                let zeros = read_number(bytes)?;
                if zeros > len - run.len() as u64 {
                    return Err(Malformed);
                }
                run.resize(run.len() + zeros as usize, 0);
            }
            count => run.push(count),
        }
    }
    Ok((first, run))
}

fn write_number(mut n: u64, to: &mut Vec<u8>) {
    while n >= 0x80 {
        to.push(n as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}

fn read_number(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let byte = read_byte(bytes).ok_or(Malformed)?;
        n |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(n);
        }
    }
    Err(Malformed)
}

fn read_float(bytes: &mut &[u8]) -> Result<f64, Malformed> {
    let (float, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
    *bytes = rest;
    Ok(f64::from_le_bytes(*float))
}

fn read_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}
