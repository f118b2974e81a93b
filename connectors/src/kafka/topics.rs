//! Which topics are read, and how their partitions are called.

use std::collections::BTreeSet;

use rdkafka::error::RDKafkaErrorCode;
use regex::Regex;

use crate::error::SourceError;
use crate::source::SplitId;

/// The longest name that Kafka takes.
const LONGEST_NAME: usize = 249;

/// Topics by name or by pattern.
#[derive(Debug, Clone)]
pub(crate) enum Topics {
    Named(BTreeSet<String>),
    Matching(Regex),
}

/// What the brokers say of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) name: String,
    /// How many partitions it has: 0, 1 and so on.
    pub(super) partitions: i32,
    pub(super) error: Option<RDKafkaErrorCode>,
}

impl Topics {
    /// These.
    pub(crate) fn named(names: impl IntoIterator<Item = String>) -> Result<Self, SourceError> {
        let names: BTreeSet<String> = names.into_iter().collect();
        if names.is_empty() {
            return Err(SourceError::config("`topics` is empty: name the topics to read"));
        }
        match names.iter().find(|name| !is_name(name)) {
            Some(name) => Err(SourceError::config(format!(
                "\"{name}\" is no name of a topic: those have letters, digits, dots, underscores and hyphens; for a \
                 pattern write `topic_pattern`"
            ))),
            None => Ok(Self::Named(names)),
        }
    }

    /// Those whose whole name matches.
    pub(crate) fn matching(pattern: &str) -> Result<Self, SourceError> {
        match Regex::new(&format!("^(?:{pattern})$")) {
            Ok(regex) => Ok(Self::Matching(regex)),
            Err(error) => Err(SourceError::config(format!("`topic_pattern` is no regular expression: {error}"))),
        }
    }

    /// True if a topic of this name is read. Kafka's own are only read where they are named.
    pub(super) fn contains(&self, name: &str) -> bool {
        match self {
            Self::Named(names) => names.contains(name),
            Self::Matching(regex) => !name.starts_with("__") && regex.is_match(name),
        }
    }
}

/// The splits of `topics`, in order.
pub(super) fn splits(topics: &[Topic]) -> Vec<SplitId> {
    let mut topics: Vec<&Topic> = topics.iter().filter(|topic| topic.error.is_none()).collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let partitions = |topic: &Topic| (0..topic.partitions).map(|number| split(&topic.name, number)).collect::<Vec<_>>();
    topics.into_iter().flat_map(partitions).collect()
}

/// The name of a partition.
pub(super) fn split(topic: &str, partition: i32) -> SplitId {
    SplitId::new(format!("{topic}/{partition}"))
}

/// Topic and partition of a split.
pub(super) fn parse(split: &SplitId) -> Result<(&str, i32), SourceError> {
    let parts = split.as_str().rsplit_once('/');
    let parsed = parts.and_then(|(topic, partition)| Some((topic, partition.parse().ok()?)));
    match parsed {
        Some((topic, partition)) if partition >= 0 && is_name(topic) => Ok((topic, partition)),
        _ => Err(SourceError::config(format!("split {split} is no partition of a topic, such as orders/3"))),
    }
}

fn is_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !text.is_empty() && text.len() <= LONGEST_NAME && text.bytes().all(legal)
}

/// Up to three of `names` that somebody may have meant by `name`: those with the fewest letters to change, at most a third.
pub(super) fn near<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let most = name.len().div_ceil(3);
    let mut near: Vec<(usize, &str)> = names
        .into_iter()
        .map(|other| (distance(&name.to_lowercase(), &other.to_lowercase()), other))
        .filter(|(changes, _)| *changes <= most)
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, other)| other).collect()
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
