use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use super::*;
use crate::source::{Known, SplitId};

fn parse(text: &str) -> Result<Start, Error> {
    let text: StrDeserializer<'_, Error> = text.into_deserializer();
    Start::deserialize(text)
}

fn splits(names: &[&str]) -> Vec<SplitId> {
    names.iter().map(|name| SplitId::new(*name)).collect()
}

#[test]
fn a_start_is_a_word_or_a_moment() {
    assert_eq!(parse("earliest"), Ok(Start::Earliest));
    assert_eq!(parse("latest"), Ok(Start::Latest));
    assert!(matches!(parse("2026-03-01T00:00:00+01:00"), Ok(Start::At(moment)) if moment.timestamp() == 1_772_319_600));
    assert!(parse("newest").is_err_and(|error| error.to_string().contains("\"earliest\", \"latest\" or a moment")));
}

#[test]
fn splits_that_appear_later_are_read_whole() {
    let beginning = Beginning::new(Start::Latest);
    beginning.listed(&[]);
    beginning.listed(&splits(&["0", "1"]));
    beginning.listed(&splits(&["0", "1", "2"]));
    let starts: Vec<_> = splits(&["0", "1", "2"]).iter().map(|split| beginning.of(split)).collect();
    assert_eq!(starts, [Start::Latest, Start::Latest, Start::Earliest]);
}

#[test]
fn splits_that_the_checkpoint_does_not_know_appeared_meanwhile() {
    let beginning = Beginning::new(Start::Latest);
    beginning.restore(&[(SplitId::new("0"), Known { position: None, ended: false, left: false })]);
    beginning.listed(&splits(&["0", "1"]));
    assert_eq!(beginning.of(&SplitId::new("1")), Start::Earliest);
}
