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

/// One expected way from a value to the next.
struct Step {
    /// The bytes from the end of a value (or the start of the record) to the next value.
    gap: Box<[u8]>,
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

    /// The column and the start of the next value, if what stands at `at` is known.
    #[inline]
    pub(super) fn follow(&mut self, bytes: &[u8], at: usize, opens: bool) -> Option<(Option<usize>, usize)> {
        let rest = &bytes[at..];
        let count = self.steps.len();
        let mut place = self.next;
        for _ in 0..count.min(LOOK_AHEAD) {
            if place >= count {
                place = 0;
            }
            let step = &self.steps[place];
            if step.opens == opens && rest.starts_with(&step.gap) {
                self.next = place + 1;
                return Some((step.column, at + step.gap.len()));
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
        self.steps.insert(place, Step { gap: gap.into(), opens, column });
        self.next = place + 1;
    }
}
