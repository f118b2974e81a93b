//! Names of the objects of a chain, and which manifests stay for ever.
//!
//! The one idea: epochs are numbered from 1 without gaps, and every [`STRIDE`]th manifest is a *milestone*: it and all
//! manifests from the last milestone on are never removed. So the newest epoch can be found by probing alone, however
//! wrong a listing is; and who creates a manifest in a hole that a sweep left, having slept through all that came after,
//! finds the next milestone standing and knows.

/// Epochs from one milestone to the next. At an epoch every 10 s that is one kept for every 3 hours, and it is what a
/// place keeps over the day that [`sweep`](super::Chain::sweep) leaves alone.
pub(super) const STRIDE: u64 = 1024;

/// The first epoch, which is a milestone.
pub(super) const FIRST: u64 = 1;

/// Folder of the manifests.
pub(super) const CHECKPOINTS: &str = "checkpoints";
/// Folder of the segments.
pub(super) const SEGMENTS: &str = "segments";

/// Digits of an epoch in a name, so that names sort as epochs do.
const DIGITS: usize = 10;

pub(super) fn manifest(epoch: u64) -> String {
    format!("{epoch:0DIGITS$}.json")
}

pub(super) fn manifest_epoch(name: &str) -> Option<u64> {
    epoch(name.strip_suffix(".json")?)
}

pub(super) fn segment(epoch: u64, nonce: u64) -> String {
    format!("{epoch:0DIGITS$}-{nonce:016x}.seg")
}

pub(super) fn segment_epoch(name: &str) -> Option<u64> {
    let (number, nonce) = name.strip_suffix(".seg")?.split_once('-')?;
    (!nonce.is_empty()).then(|| epoch(number))?
}

fn epoch(digits: &str) -> Option<u64> {
    let well_formed = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = well_formed.then(|| digits.parse().ok())??;
    (number > 0).then_some(number)
}

/// The milestone of a number: 1, `STRIDE`, 2 `STRIDE`, ...
pub(super) fn milestone(number: u64) -> u64 {
    (number * STRIDE).max(FIRST)
}

/// The number of the last milestone at or before an epoch.
pub(super) fn milestone_number(epoch: u64) -> u64 {
    epoch / STRIDE
}

/// The first milestone after an epoch.
pub(super) fn next_milestone(epoch: u64) -> u64 {
    milestone(milestone_number(epoch) + 1)
}

/// True if a manifest may go once it is old, `newest` being in the chain.
pub(super) fn may_go(epoch: u64, newest: u64) -> bool {
    let milestone_itself = milestone(milestone_number(epoch)) == epoch;
    next_milestone(epoch) <= newest && !milestone_itself
}
