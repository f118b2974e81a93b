//! What runs of a suite measured: numbers with the names, units and directions that a comparison needs.

use serde::{Deserialize, Serialize};

/// Everything that a suite measured, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The suite's name.
    pub(crate) suite: String,
    /// When it was begun.
    pub(crate) begun: String,
    /// What it ran on.
    pub(crate) machine: Machine,
    /// What `watershed --version` says.
    pub(crate) program: String,
    pub(crate) cases: Vec<Case>,
}

/// The machine, as far as it tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
}

/// One query of a suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// What has to be the same in each run: how many rows went in and came out.
    pub(crate) facts: Vec<Fact>,
    pub(crate) metrics: Vec<Metric>,
}

/// A number that does not depend on how fast a run was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fact {
    pub(crate) name: String,
    pub(crate) value: u64,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Less,
    More,
}

/// What was measured, once a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) better: Better,
    pub(crate) runs: Vec<f64>,
    /// The middle of the runs. For readers: it follows from them.
    #[serde(default)]
    pub(crate) median: f64,
}

/// One run's number, before it has a place among the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) value: f64,
}

impl Case {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), facts: Vec::new(), metrics: Vec::new() }
    }

    /// Adds what one run measured.
    pub(crate) fn add(&mut self, measured: &[Measured]) {
        for Measured { name, unit, better, value } in measured {
            let found = self.metrics.iter().position(|metric| metric.name == *name);
            let place = found.unwrap_or_else(|| {
                let runs = Vec::new();
                let (name, unit) = ((*name).to_owned(), (*unit).to_owned());
                self.metrics.push(Metric { name, unit, better: *better, runs, median: 0.0 });
                self.metrics.len() - 1
            });
            let metric = &mut self.metrics[place];
            metric.runs.push(*value);
            metric.median = median(&metric.runs);
        }
    }

    /// True if a run has measured this.
    pub(crate) fn has(&self, metric: &str) -> bool {
        self.metrics.iter().any(|known| known.name == metric)
    }

    /// Adds a fact of a run.
    ///
    /// # Errors
    /// If another run found otherwise.
    pub(crate) fn state(&mut self, name: &str, value: u64) -> Result<(), String> {
        match self.facts.iter().find(|fact| fact.name == name) {
            Some(fact) if fact.value != value => {
                Err(format!("{}: {name} was {} in one run and {value} in another", self.name, fact.value))
            }
            Some(_) => Ok(()),
            None => {
                self.facts.push(Fact { name: name.to_owned(), value });
                Ok(())
            }
        }
    }
}

/// The middle value, or the mean of both middle ones; zero of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The least and the most.
pub(crate) fn spread(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.is_empty() { (0.0, 0.0) } else { (least, most) }
}

impl Machine {
    /// Asks this one. What it does not tell is empty.
    pub(crate) fn this() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let kilobytes = value(&read("/proc/meminfo"), "MemTotal");
        let kilobytes: u64 = kilobytes.trim_end_matches(" kB").parse().unwrap_or(0);
        Self {
            processor: value(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: kilobytes * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Better, Case, Measured, median};

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn runs_gather_and_facts_must_agree() {
        let mut case = Case::new("q1");
        for value in [2.0, 1.0] {
            case.add(&[Measured { name: "wall", unit: "s", better: Better::Less, value }]);
        }
        assert_eq!(case.metrics[0].runs, [2.0, 1.0]);
        assert_eq!(case.metrics[0].median, 1.5);
        assert_eq!(case.state("rows out", 5), Ok(()));
        assert_eq!(case.state("rows out", 5), Ok(()));
        assert_eq!(case.state("rows out", 6), Err("q1: rows out was 5 in one run and 6 in another".to_owned()));
    }
}
