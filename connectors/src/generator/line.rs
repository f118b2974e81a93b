//! Writes one event's text, fast: into an array on the spot, by copies whose length the compiler knows.

use std::fmt;

use super::dice::Dice;

/// The longest piece.
const PIECE: usize = 64;
/// More than the longest event: Nexmark's auctions have up to 830 bytes.
const LINE: usize = 1024;

/// Text that was put together beforehand. It is copied whole, padding and all, and the next piece overwrites the padding.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    bytes: [u8; PIECE],
    len: usize,
}

impl Piece {
    /// What does not fit is cut off; pieces are made of short constants only.
    pub(super) fn new(text: &str) -> Self {
        let len = text.len().min(PIECE);
        debug_assert_eq!(len, text.len());
        let mut bytes = [0; PIECE];
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        Self { bytes, len }
    }

    pub(super) fn len(&self) -> u64 {
        self.len as u64
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.bytes[..self.len]).fmt(f)
    }
}

/// The event being written.
#[derive(Debug)]
pub(super) struct Line {
    bytes: [u8; LINE],
    len: usize,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { bytes: [0; LINE], len: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    #[inline]
    pub(super) fn piece(&mut self, piece: &Piece) {
        self.bytes[self.len..self.len + PIECE].copy_from_slice(&piece.bytes);
        self.len += piece.len;
    }

    #[inline(always)]
    pub(super) fn text<const N: usize>(&mut self, text: &[u8; N]) {
        self.bytes[self.len..self.len + N].copy_from_slice(text);
        self.len += N;
    }

    /// Writes a number in decimal.
    #[inline]
    pub(super) fn number(&mut self, n: u64) {
        if n >= 100_000_000 {
            self.number(n / 100_000_000);
            return self.eight(digits(n % 100_000_000), 0);
        }
        let digits = digits(n);
        self.eight(digits, (digits.trailing_zeros() / 8).min(7));
    }

    /// Writes `n` hundredths as a number with two decimals.
    #[inline]
    pub(super) fn hundredths(&mut self, n: i64) {
        if n < 0 {
            self.text(b"-");
        }
        let n = n.unsigned_abs();
        self.number(n / 100);
        let digits = (digits(n % 100) >> 48) | 0x3030;
        self.text(&[b'.', digits as u8, (digits >> 8) as u8]);
    }

    /// Writes a number below 10,000 with all four digits.
    #[inline]
    pub(super) fn four_digits(&mut self, n: u64) {
        let [.., a, b, c, d] = (digits(n) | 0x3030_3030_3030_3030).to_le_bytes();
        self.text(&[a, b, c, d]);
    }

    /// Writes `len` letters, nearly all as often: one of 256 values more or less stands for each.
    #[inline]
    pub(super) fn letters(&mut self, len: u64, dice: &mut Dice) {
        let end = self.len + len as usize;
        while self.len < end {
            self.text(&dice.roll().to_le_bytes().map(|byte| b'a' + ((u16::from(byte) * 26) >> 8) as u8));
        }
        self.len = end;
    }

    /// Writes sixteen hexadecimal digits.
    #[inline]
    pub(super) fn hex(&mut self, n: u64) {
        let nibbles = |half: u32| {
            let mut x = u64::from(half);
            x = (x | (x << 16)) & 0x0000_ffff_0000_ffff;
            x = (x | (x << 8)) & 0x00ff_00ff_00ff_00ff;
            x = (x | (x << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
            // One in each byte above 9, which then becomes a letter: 'a' is 39 above '9' + 1.
            let letters = ((x + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
            (x + 0x3030_3030_3030_3030 + letters * 39).to_be_bytes()
        };
        self.text(&nibbles((n >> 32) as u32));
        self.text(&nibbles(n as u32));
    }

    /// Writes eight digits less the first `skip` of them.
    #[inline]
    fn eight(&mut self, digits: u64, skip: u32) {
        let text = (digits | 0x3030_3030_3030_3030) >> (8 * skip);
        self.text(&text.to_le_bytes());
        self.len -= skip as usize;
    }
}

/// The eight decimal digits of a number below 10^8, one a byte, the first in the lowest. Divides all halves, then all
/// quarters at once by multiplying with a reciprocal (after Paul Khuong, "How to print integers really fast", 2017).
#[inline]
fn digits(n: u64) -> u64 {
    let halves = (n / 10_000) | ((n % 10_000) << 32);
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let quarters = hundreds | ((halves - 100 * hundreds) << 16);
    let tens = ((quarters * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((quarters - 10 * tens) << 8)
}
