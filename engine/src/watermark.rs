//! How far event time has come: per split, and over all splits of a pipeline.
//!
//! All instants are microseconds since the Unix epoch; a watermark of `w` promises that every row before `w` has been
//! seen, up to rows that are then called late. Watermarks never go back.

/// Before all time: nothing is known yet.
pub const BEGINNING: i64 = i64::MIN;
/// After all time: the split has ended.
pub const END: i64 = i64::MAX;

/// The watermark of one split: its greatest event time less `max_delay`.
#[derive(Debug, Clone)]
pub struct SplitWatermark {
    max_delay: i64,
    greatest: i64,
    /// What the source knows by itself.
    promised: i64,
}

impl SplitWatermark {
    /// A split that has shown nothing yet.
    pub fn new(max_delay: i64) -> Self {
        Self { max_delay, greatest: BEGINNING, promised: BEGINNING }
    }

    /// A split whose greatest event time was `greatest` when a checkpoint left it.
    pub fn resumed(max_delay: i64, greatest: Option<i64>) -> Self {
        Self { max_delay, greatest: greatest.unwrap_or(BEGINNING), promised: BEGINNING }
    }

    /// The greatest event time, if there was any.
    pub fn greatest(&self) -> Option<i64> {
        (self.greatest != BEGINNING).then_some(self.greatest)
    }

    /// The watermark now.
    pub fn now(&self) -> i64 {
        self.behind(self.greatest)
    }

    fn behind(&self, greatest: i64) -> i64 {
        greatest.saturating_sub(self.max_delay).max(self.promised)
    }

    /// The source promises that no row before `time` is to come.
    pub fn promise(&mut self, time: i64) {
        self.promised = self.promised.max(time);
    }

    /// Takes the event times of the next rows, all valid.
    pub fn advance(&mut self, times: &[i64]) {
        if let Some(&greatest) = times.iter().max() {
            self.greatest = self.greatest.max(greatest);
        }
    }

    /// For each row, the watermark just before it: what the rows of its split before it had brought about. With it,
    /// whether a row is late does not depend on how the stream was cut into batches.
    pub fn before_each(&self, times: &[i64]) -> Vec<i64> {
        let mut greatest = self.greatest;
        times
            .iter()
            .map(|&time| {
                let before = self.behind(greatest);
                greatest = greatest.max(time);
                before
            })
            .collect()
    }
}

/// What one split adds to its pipeline's watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitTime {
    /// The split's watermark.
    pub watermark: i64,
    /// True if the split is silent and caught up with the end of its log, so that it holds nobody back.
    pub idle: bool,
}

/// The watermark over several splits: the least of those that are not idle.
///
/// | splits | result |
/// |---|---|
/// | none | [`END`]: there is nothing to wait for |
/// | some not idle and not ended | the least of those |
/// | all ended | [`END`] |
/// | all others idle | none: only the clock can say |
pub fn least(splits: impl IntoIterator<Item = SplitTime>) -> Option<i64> {
    let mut least = END;
    let mut idle = false;
    for split in splits {
        idle |= split.idle;
        if !split.idle {
            least = least.min(split.watermark);
        }
    }
    (least != END || !idle).then_some(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(watermark: i64, idle: bool) -> SplitTime {
        SplitTime { watermark, idle }
    }

    #[test]
    fn the_least_split_that_is_not_idle_decides() {
        let table = [
            (vec![], Some(END)),
            (vec![split(5, false)], Some(5)),
            (vec![split(5, false), split(3, false)], Some(3)),
            (vec![split(5, false), split(3, true)], Some(5)),
            (vec![split(5, true), split(3, true)], None),
            (vec![split(BEGINNING, false), split(3, false)], Some(BEGINNING)),
            (vec![split(END, false), split(3, false)], Some(3)),
            (vec![split(END, false), split(3, true)], None),
            (vec![split(END, false), split(END, false)], Some(END)),
        ];
        for (splits, expected) in table {
            assert_eq!(least(splits.clone()), expected, "{splits:?}");
        }
    }

    #[test]
    fn a_split_never_goes_back_and_lags_by_its_delay() {
        let mut watermark = SplitWatermark::new(10);
        assert_eq!(watermark.now(), BEGINNING);
        watermark.advance(&[100, 90]);
        assert_eq!(watermark.now(), 90);
        watermark.advance(&[50]);
        assert_eq!(watermark.now(), 90);
        assert_eq!(watermark.before_each(&[120, 95, 130]), [90, 110, 110]);
    }
}
