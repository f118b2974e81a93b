//! Which rate is the highest that keeps a promise: doubled while it is kept, then halved into what is between.

/// A search between two rates. Tries are asked for one after the other, as each takes a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Search {
    /// The highest rate that kept the promise.
    kept: Option<f64>,
    /// The lowest that did not.
    broken: Option<f64>,
    from: f64,
    most: f64,
    precision: f64,
}

impl Search {
    /// From one rate on up to another, to a share of `precision` of what is found.
    pub(crate) fn new(from: f64, most: f64, precision: f64) -> Self {
        Self { kept: None, broken: None, from: from.min(most), most, precision }
    }

    /// The rate to try next; none if it is found, or if there is none.
    pub(crate) fn next(&self) -> Option<f64> {
        match (self.kept, self.broken) {
            (None, None) => Some(self.from),
            (Some(kept), None) => (kept < self.most).then_some((kept * 2.0).min(self.most)),
            (None, Some(broken)) => {
                // Far below where it began nothing is to be found.
                let half = broken / 2.0;
                (half >= self.from / 64.0).then_some(half)
            }
            (Some(kept), Some(broken)) => {
                (broken - kept > self.precision * kept).then_some(f64::midpoint(kept, broken))
            }
        }
    }

    /// Tells whether `rate`, the one that was to be tried, kept the promise.
    pub(crate) fn tell(&mut self, rate: f64, kept: bool) {
        if kept {
            self.kept = Some(rate);
        } else {
            self.broken = Some(rate);
        }
    }

    /// The highest rate that kept the promise.
    pub(crate) fn found(&self) -> Option<f64> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::Search;

    fn search(limit: f64) -> (Option<f64>, usize) {
        let mut search = Search::new(1000.0, 1_000_000.0, 0.05);
        let mut tries = 0;
        while let Some(rate) = search.next() {
            search.tell(rate, rate <= limit);
            tries += 1;
        }
        (search.found(), tries)
    }

    #[test]
    fn the_limit_is_found_to_the_precision() {
        for limit in [100.0, 999.0, 1000.0, 1001.0, 77_777.0, 999_999.0] {
            let (found, tries) = search(limit);
            let found = found.unwrap_or_default();
            assert!(found <= limit && found > limit * 0.94, "{found} for {limit}");
            assert!(tries < 20, "{tries} tries for {limit}");
        }
    }

    #[test]
    fn there_may_be_no_limit_and_no_rate() {
        assert_eq!(search(f64::INFINITY).0, Some(1_000_000.0));
        assert_eq!(search(0.0).0, None);
    }
}
