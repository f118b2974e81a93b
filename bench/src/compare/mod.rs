//! Two results of one suite side by side: what became slower, and what only looks like it.
//!
//! The one idea: a change counts if runs as different as these would come of one program in at most one of twenty cases, and
//! if the medians differ by more than a threshold. Three runs a side are the least that can show that much, and only if no
//! run of one lies among those of the other.

mod rank;
#[cfg(test)]
mod tests;

use crate::numbers::short;
use crate::results::{Better, Case, Metric, Results, median, spread};

/// How often a change that is none may be taken for one, of a hundred metrics.
const CHANCE: f64 = 0.05;

/// What can be said of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Slower,
    Faster,
    /// No difference that is more than noise, or than the threshold.
    Same,
    /// Too few runs to tell.
    TooFew,
}

/// A metric in both results.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) case: String,
    pub(crate) metric: String,
    pub(crate) unit: String,
    pub(crate) before: Vec<f64>,
    pub(crate) after: Vec<f64>,
    pub(crate) verdict: Verdict,
}

/// Everything that is to be said of two results.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) changes: Vec<Change>,
    /// What makes the comparison weaker, or no comparison at all.
    pub(crate) remarks: Vec<String>,
}

/// Compares; medians that differ by less than `threshold`, a share, are the same.
pub(crate) fn compare(before: &Results, after: &Results, threshold: f64) -> Comparison {
    let mut comparison = Comparison::default();
    if before.suite != after.suite {
        comparison.remarks.push(format!("the suites are \"{}\" and \"{}\"", before.suite, after.suite));
    }
    if before.machine != after.machine {
        comparison.remarks.push("the machines are not the same".to_owned());
    }
    for case in &before.cases {
        match after.cases.iter().find(|other| other.name == case.name) {
            Some(other) => compare_cases(case, other, threshold, &mut comparison),
            None => comparison.remarks.push(format!("{} is in the first only", case.name)),
        }
    }
    for case in after.cases.iter().filter(|case| before.cases.iter().all(|other| other.name != case.name)) {
        comparison.remarks.push(format!("{} is in the second only", case.name));
    }
    comparison
}

fn compare_cases(before: &Case, after: &Case, threshold: f64, comparison: &mut Comparison) {
    for fact in &before.facts {
        match after.facts.iter().find(|other| other.name == fact.name) {
            Some(other) if other.value != fact.value => comparison.remarks.push(format!(
                "{}: {} was {} and is {}: they did not do the same",
                before.name, fact.name, fact.value, other.value
            )),
            _ => {}
        }
    }
    for metric in &before.metrics {
        if let Some(other) = after.metrics.iter().find(|other| other.name == metric.name) {
            comparison.changes.push(Change {
                case: before.name.clone(),
                metric: metric.name.clone(),
                unit: metric.unit.clone(),
                before: metric.runs.clone(),
                after: other.runs.clone(),
                verdict: judge(metric, other, threshold),
            });
        }
    }
}

fn judge(before: &Metric, after: &Metric, threshold: f64) -> Verdict {
    let (old, new) = (median(&before.runs), median(&after.runs));
    let grew = new > old;
    let likely = |lesser: &[f64], greater: &[f64]| rank::chance(lesser, greater) <= CHANCE;
    // As different as samples of this size can be.
    let apart = |n: usize, m: usize| {
        let numbers = |from: usize, count: usize| (from..from + count).map(|i| i as f64).collect::<Vec<_>>();
        likely(&numbers(0, n), &numbers(n, m))
    };
    if !apart(before.runs.len(), after.runs.len()) {
        return Verdict::TooFew;
    }
    let differs = if grew { likely(&before.runs, &after.runs) } else { likely(&after.runs, &before.runs) };
    if !differs || (new - old).abs() <= threshold * old.abs() {
        return Verdict::Same;
    }
    let worse = match before.better {
        Better::Less => grew,
        Better::More => !grew,
    };
    if worse { Verdict::Slower } else { Verdict::Faster }
}

impl Comparison {
    /// True if something became slower.
    pub(crate) fn slower(&self) -> bool {
        self.changes.iter().any(|change| change.verdict == Verdict::Slower)
    }

    /// A table, and what has to be said beside it.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let rows: Vec<[String; 6]> = self.changes.iter().map(Change::row).collect();
        let head = ["", "metric", "before", "after", "change", ""].map(str::to_owned);
        let width =
            |column: usize| rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..6).map(width).collect();
        for row in [&head].into_iter().chain(&rows) {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        for remark in &self.remarks {
            text.push_str(&format!("note: {remark}\n"));
        }
        text
    }
}

impl Change {
    fn row(&self) -> [String; 6] {
        let (old, new) = (median(&self.before), median(&self.after));
        let shown = |runs: &[f64]| {
            let (least, most) = spread(runs);
            format!("{} ({} to {}) {}", short(median(runs)), short(least), short(most), self.unit)
        };
        let change = if old == 0.0 { "-".to_owned() } else { format!("{:+.1} %", (new / old - 1.0) * 100.0) };
        let verdict = match self.verdict {
            Verdict::Slower => "SLOWER",
            Verdict::Faster => "faster",
            Verdict::Same => "",
            Verdict::TooFew => "too few runs",
        };
        [self.case.clone(), self.metric.clone(), shown(&self.before), shown(&self.after), change, verdict.to_owned()]
    }
}
