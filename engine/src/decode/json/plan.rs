//! What the decoder expects next: the bytes between one value and the next, learned from the records before.
//!
//! A producer writes the same keys in the same order with the same spacing. So the way from a value to the next one is
//! compared as one piece, `,"country":`, and only a record that differs is taken apart.

/// Longest piece that is remembered, so that an absurd key costs no memory.
const LONGEST: usize = 256;
/// Most steps; then learning starts anew.
const MOST: usize = 512;
/// How many steps are looked at before a record is taken apart: enough for optional fields and for shuffled keys.
const LOOK_AHEAD: usize = 32;

/// Gaps up to this length are compared in one piece.
const SHORT: usize = 32;

/// The bytes from the end of a value (or the start of the record) to the next value.
struct Gap {
    bytes: Box<[u8]>,
    /// The same where it is short, filled up with zeros, and ones where it has bytes.
    short: Option<([u64; 4], [u64; 4])>,
}

impl Gap {
    fn new(bytes: &[u8]) -> Self {
        let short = (bytes.len() <= SHORT).then(|| {
            let (mut gap, mut mask) = ([0; SHORT], [0; SHORT]);
            gap[..bytes.len()].copy_from_slice(bytes);
            mask[..bytes.len()].fill(0xff);
            (words(&gap), words(&mask))
        });
        Self { bytes: bytes.into(), short }
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True if `text` goes on with it at `at`.
    #[inline]
    fn is_at(&self, text: &[u8], at: usize) -> bool {
        match (&self.short, text.get(at..).and_then(|rest| rest.first_chunk())) {
            (Some((gap, mask)), Some(chunk)) => {
                let chunk = words(chunk);
                (0..4).fold(0, |other, i| other | (chunk[i] ^ gap[i]) & mask[i]) == 0
            }
            _ => text.get(at..).is_some_and(|rest| rest.starts_with(&self.bytes)),
        }
    }
}

#[inline]
fn words(bytes: &[u8; SHORT]) -> [u64; 4] {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|i| u64::from_le_bytes(words[i]))
}

/// One expected way from a value to the next.
struct Step {
    gap: Gap,
    /// True if the gap opens the record.
    opens: bool,
    /// The column of the value that follows; `None` if nobody asked for it.
    column: Option<usize>,
}

/// The steps, in the order in which they are expected.
#[derive(Default)]
pub(super) struct Plan {
    steps: Vec<Step>,
    next: usize,
}

impl Plan {
    /// Begins a record.
    pub(super) fn begin(&mut self) {
        self.next = 0;
    }

    /// The column and the start of the next value, if what stands at `at` is known. The record ends at `end`; the text may
    /// go on.
    #[inline]
    pub(super) fn follow(&mut self, text: &[u8], end: usize, at: usize, opens: bool) -> Option<(Option<usize>, usize)> {
        let count = self.steps.len();
        let mut place = self.next;
        for _ in 0..count.min(LOOK_AHEAD) {
            if place >= count {
                place = 0;
            }
            let step = &self.steps[place];
            let value = at + step.gap.len();
            if step.opens == opens && step.gap.is_at(text, at) && value <= end {
                self.next = place + 1;
                return Some((step.column, value));
            }
            place += 1;
        }
        None
    }

    /// Remembers a way that was found by taking the record apart.
    pub(super) fn learn(&mut self, gap: &[u8], opens: bool, column: Option<usize>) {
        if gap.len() > LONGEST {
            return;
        }
        if self.steps.len() == MOST {
            self.steps.clear();
            self.next = 0;
        }
        let place = self.next.min(self.steps.len());
        self.steps.insert(place, Step { gap: Gap::new(gap), opens, column });
        self.next = place + 1;
    }
}
