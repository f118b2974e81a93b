//! How many values are in each bucket: one array without gaps, of as few bytes a bucket as the largest count needs.

/// Most buckets. They span a factor of 10^17: what is nearer to zero than that, against the largest, is counted in the
/// lowest bucket there is.
pub(super) const MOST: i32 = 2048;

/// Counts of the buckets `[first, first + len)`.
#[derive(Debug, Default)]
pub(super) struct Counts {
    first: i32,
    cells: Cells,
}

#[derive(Debug)]
enum Cells {
    U8(Box<[u8]>),
    U16(Box<[u16]>),
    U32(Box<[u32]>),
    U64(Box<[u64]>),
}

impl Default for Cells {
    fn default() -> Self {
        Cells::U8(Box::default())
    }
}

/// Runs an expression with `$cells` as the slice that it is, and its type of number.
macro_rules! with_cells {
    ($of:expr, $cells:ident => $then:expr) => {
        match $of {
            Cells::U8($cells) => $then,
            Cells::U16($cells) => $then,
            Cells::U32($cells) => $then,
            Cells::U64($cells) => $then,
        }
    };
}

impl Counts {
    /// Counts one in a bucket. False if that needs room first, which [`Counts::add`] makes.
    #[inline]
    pub(super) fn count(&mut self, bucket: i32) -> bool {
        // What lies below the first bucket becomes a place far beyond the last.
        let place = bucket.wrapping_sub(self.first) as u32 as usize;
        with_cells!(&mut self.cells, cells => match cells.get_mut(place) {
            Some(count) => match count.checked_add(1) {
                Some(more) => {
                    *count = more;
                    true
                }
                None => false,
            },
            None => false,
        })
    }

    /// Counts `n` in a bucket, where `top` is the highest bucket that any value is in, this one included.
    pub(super) fn add(&mut self, bucket: i32, n: u64, top: i32) {
        self.reach(bucket, bucket, top);
        let place = (bucket.max(top - MOST + 1) - self.first) as usize;
        while !self.cells.add(place, n) {
            self.cells.widen();
        }
    }

    /// Makes room for buckets from `low` to `high`, and counts what is too far below `top` in the lowest that is not.
    pub(super) fn reach(&mut self, low: i32, high: i32, top: i32) {
        let floor = top - MOST + 1;
        let end = self.first + self.len() as i32;
        let (low, high) = (low.max(floor), high.max(floor));
        if self.first <= low && high < end && self.first >= floor {
            return;
        }
        // Some room beyond, so that a group of a hundred values does not move a hundred times.
        let margin = ((self.len() as i32).max(high - low) / 8).max(8);
        let first = if self.len() == 0 || low < self.first { low - margin } else { self.first };
        let last = if high >= end { high + margin } else { end - 1 };
        // Buckets of positive numbers begin at 1: nothing else must find a place here. What is beyond `top` is room that
        // nothing has taken.
        let first = first.max(floor).max(1);
        let last = last.min(first + MOST - 1);
        self.cells = self.cells.moved(self.first, first, (last - first + 1) as usize);
        self.first = first;
    }

    fn len(&self) -> usize {
        with_cells!(&self.cells, cells => cells.len())
    }

    /// Bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        with_cells!(&self.cells, cells => size_of_val(&**cells))
    }

    /// How many values there are.
    pub(super) fn total(&self) -> u64 {
        with_cells!(&self.cells, cells => cells.iter().map(|&count| wide(count)).sum())
    }

    /// The bucket of the value that so many are below. There is none if there are no more than that.
    pub(super) fn at(&self, rank: u64) -> Option<i32> {
        let mut seen = 0;
        let found = with_cells!(&self.cells, cells => cells.iter().position(|&count| {
            seen += wide(count);
            seen > rank
        }));
        found.map(|place| self.first + place as i32)
    }

    /// The counts from the first bucket that is not empty to the last, with that bucket.
    pub(super) fn run(&self) -> (i32, Vec<u64>) {
        let mut counts: Vec<u64> = with_cells!(&self.cells, cells => cells.iter().map(|&n| wide(n)).collect());
        counts.truncate(counts.iter().rposition(|&n| n > 0).map_or(0, |last| last + 1));
        let empty = counts.iter().take_while(|&&n| n == 0).count();
        (self.first + empty as i32, counts.split_off(empty))
    }
}

/// A count of any width.
fn wide(count: impl Into<u64>) -> u64 {
    count.into()
}

impl Cells {
    /// False if the sum does not fit.
    fn add(&mut self, place: usize, n: u64) -> bool {
        fn sum<T: Copy + Into<u64> + TryFrom<u64>>(count: &mut T, n: u64) -> bool {
            let more = (*count).into().saturating_add(n);
            T::try_from(more).map(|more| *count = more).is_ok()
        }
        with_cells!(self, cells => sum(&mut cells[place], n))
    }

    fn widen(&mut self) {
        *self = match self {
            Cells::U8(cells) => Cells::U16(cells.iter().map(|&n| n.into()).collect()),
            Cells::U16(cells) => Cells::U32(cells.iter().map(|&n| n.into()).collect()),
            Cells::U32(cells) => Cells::U64(cells.iter().map(|&n| n.into()).collect()),
            Cells::U64(cells) => Cells::U64(std::mem::take(cells)),
        }
    }

    /// The same counts in an array of `len` that begins at `to`. What is before that is counted at its begin.
    fn moved(&self, from: i32, to: i32, len: usize) -> Self {
        let below = (to - from).max(0) as usize;
        let lowest: u64 = with_cells!(self, cells => cells.iter().take(below).map(|&n| wide(n)).sum());
        fn shift<T: Copy + Default>(cells: &[T], below: usize, by: usize, len: usize) -> Box<[T]> {
            let mut moved = vec![T::default(); len];
            let kept = cells.get(below..).unwrap_or_default();
            moved.iter_mut().skip(by).zip(kept).for_each(|(to, &count)| *to = count);
            moved.into()
        }
        let by = (from - to).max(0) as usize;
        let mut moved = match self {
            Cells::U8(cells) => Cells::U8(shift(cells, below, by, len)),
            Cells::U16(cells) => Cells::U16(shift(cells, below, by, len)),
            Cells::U32(cells) => Cells::U32(shift(cells, below, by, len)),
            Cells::U64(cells) => Cells::U64(shift(cells, below, by, len)),
        };
        while !moved.add(0, lowest) {
            moved.widen();
        }
        moved
    }
}
