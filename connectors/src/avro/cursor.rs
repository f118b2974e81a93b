//! A place in Avro's binary encoding, from which values are read or passed by.

use super::schema::{Kind, NodeId, Schema};
use crate::varint::varint;

/// How deep values may lie in each other; beyond it, a value of a recursive type is not one that anybody wrote.
const MAX_DEPTH: usize = 128;

/// Values inside one value that need not pay with bytes: nulls and empty records take none, and nothing else bounds their
/// number.
const FREE_STEPS: usize = 1 << 16;

/// Values that each byte pays for beyond these.
const STEPS_A_BYTE: usize = 64;

/// Bytes that are no value of their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not valid Avro at byte {at}: {what}")]
pub struct Broken {
    /// Where.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Reads values one after another.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    steps: usize,
}

/// The items of an array or map that is being read: they come in blocks.
#[derive(Debug, Default)]
pub struct Blocks {
    left: u64,
    ended: bool,
}

impl<'a> Cursor<'a> {
    /// Begins at the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, steps: 0 }
    }

    /// How many bytes have been read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// True if nothing is left.
    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Says that what stands here is broken.
    pub fn broken(&self, what: &'static str) -> Broken {
        Broken { at: self.at, what }
    }

    /// Counts another value inside this one.
    #[inline]
    pub fn step(&mut self) -> Result<(), Broken> {
        self.steps += 1;
        if self.steps > FREE_STEPS + STEPS_A_BYTE * self.at {
            return Err(self.broken("it holds more values than its bytes can"));
        }
        Ok(())
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..len).ok_or(self.broken("it ends too early"))?;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let rest = &self.bytes[self.at..];
        let taken = rest.first_chunk().ok_or(self.broken("it ends too early"))?;
        self.at += N;
        Ok(*taken)
    }

    /// A zig-zag number.
    #[inline]
    pub fn long(&mut self) -> Result<i64, Broken> {
        let (value, len) = varint(&self.bytes[self.at..]).map_err(|what| self.broken(what))?;
        self.at += len;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A zig-zag number of 32 bits.
    #[inline]
    pub fn int(&mut self) -> Result<i32, Broken> {
        let start = self.at;
        let long = self.long()?;
        i32::try_from(long).map_err(|_| Broken { at: start, what: "an int has more than 32 bits" })
    }

    /// A boolean.
    pub fn boolean(&mut self) -> Result<bool, Broken> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Broken { at: self.at - 1, what: "a boolean is neither 0 nor 1" }),
        }
    }

    /// A float.
    pub fn float(&mut self) -> Result<f32, Broken> {
        self.array().map(f32::from_le_bytes)
    }

    /// A double.
    pub fn double(&mut self) -> Result<f64, Broken> {
        self.array().map(f64::from_le_bytes)
    }

    /// A length, and so many bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let start = self.at;
        let long = self.long()?;
        let len = usize::try_from(long).map_err(|_| Broken { at: start, what: "a length is negative" })?;
        self.take(len)
    }

    /// The same as text.
    pub fn string(&mut self) -> Result<&'a str, Broken> {
        let start = self.at;
        std::str::from_utf8(self.bytes()?).map_err(|_| Broken { at: start, what: "a string is not UTF-8" })
    }

    /// The place of an enum's symbol or of a union's branch, one of `count`.
    #[inline]
    pub fn place(&mut self, count: usize) -> Result<usize, Broken> {
        let start = self.at;
        let long = self.long()?;
        let place = usize::try_from(long).ok().filter(|place| *place < count);
        place.ok_or(Broken { at: start, what: "there is no such symbol or branch" })
    }

    /// True if another item of an array or map follows.
    pub fn item(&mut self, blocks: &mut Blocks) -> Result<bool, Broken> {
        self.step()?;
        if blocks.left == 0 && !blocks.ended {
            let count = self.long()?;
            if count < 0 {
                // The size of the block, for those that pass it by.
                self.long()?;
            }
            blocks.left = count.unsigned_abs();
            blocks.ended = count == 0;
        }
        if blocks.ended {
            return Ok(false);
        }
        blocks.left -= 1;
        Ok(true)
    }

    /// Passes by a value.
    pub fn skip(&mut self, schema: &Schema, id: NodeId) -> Result<(), Broken> {
        self.skip_at(schema, id, 0)
    }

    fn skip_at(&mut self, schema: &Schema, id: NodeId, depth: usize) -> Result<(), Broken> {
        if depth > MAX_DEPTH {
            return Err(self.broken("values are nested too deep"));
        }
        self.step()?;
        match &schema.node(id).kind {
            Kind::Null => {}
            Kind::Boolean => drop(self.boolean()?),
            Kind::Int => drop(self.int()?),
            Kind::Long => drop(self.long()?),
            Kind::Float => drop(self.take(4)?),
            Kind::Double => drop(self.take(8)?),
            Kind::Bytes | Kind::String => drop(self.bytes()?),
            Kind::Fixed { size, .. } => drop(self.take(*size)?),
            Kind::Enum { symbols, .. } => drop(self.place(symbols.len())?),
            Kind::Record { fields, .. } => {
                for field in fields {
                    self.skip_at(schema, field.node, depth + 1)?;
                }
            }
            Kind::Array(items) => {
                let mut blocks = Blocks::default();
                while self.item(&mut blocks)? {
                    self.skip_at(schema, *items, depth + 1)?;
                }
            }
            Kind::Map(values) => {
                let mut blocks = Blocks::default();
                while self.item(&mut blocks)? {
                    self.bytes()?;
                    self.skip_at(schema, *values, depth + 1)?;
                }
            }
            Kind::Union(branches) => {
                let branch = branches[self.place(branches.len())?];
                self.skip_at(schema, branch, depth + 1)?;
            }
        }
        Ok(())
    }
}
