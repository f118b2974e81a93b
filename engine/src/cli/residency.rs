//! Whether data stays where it may be: places are asked where they lie.
//!
//! The one idea: what a region file says of a place is checked as it is read, and may be wrong; so the place itself has the last
//! word, before anything is written to it.

use watershed_sinks::SinkError;
use watershed_sinks::store::{self, Location, Patience, StoreOptions};

use super::failure::{Failure, Outcome};
use super::places::sinks;
use crate::config::{OnBad, Region};
use crate::diagnostic::Diagnostic;
use crate::plan::PlannedRegion;
use crate::run::dead_letter_sink;

/// Refuses a run that would write to, or read a table from, a place that says it lies outside. One that cannot be asked now, or
/// does not tell, is taken at the file's word.
pub(super) async fn check(region: &Region, planned: &PlannedRegion) -> Outcome {
    if region.residency.is_none() {
        return Ok(());
    }
    let state = &region.checkpoint;
    let mut places = vec![("state".to_owned(), state.url.clone(), state.store.clone())];
    for source in region.sources.values().filter(|source| source.on_bad == OnBad::DeadLetter) {
        let (options, _) = dead_letter_sink(region, source);
        places.push((format!("dead letters of `{}`", source.name), options.url, options.store));
    }
    for table in region.tables.values() {
        places.push((format!("table `{}`", table.name), table.url.clone(), table.store.clone()));
    }
    for (sink, _) in planned.pipelines.iter().flat_map(|pipeline| sinks(region, pipeline)) {
        if let Some(options) = sink.options.files() {
            // Several pipelines may write to one sink, which is asked once.
            let place = (format!("sink `{}`", sink.name), options.url.clone(), options.store.clone());
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    let mut outside = Vec::new();
    for (what, url, store) in places {
        match lies_in(region, &url, &store).await {
            Ok(_) => {}
            Err(error @ SinkError::Config { .. }) => outside.push(Diagnostic::new(format!("{what}: {error}"))),
            Err(error) => tracing::warn!(place = what, %error, "not known whether this place is inside of [residency]"),
        }
    }
    if outside.is_empty() { Ok(()) } else { Err(Failure::Wrong(outside)) }
}

/// Where a place says that it lies, in words; an error if that is outside of where data may be.
pub(super) async fn lies_in(region: &Region, url: &str, options: &StoreOptions) -> Result<String, SinkError> {
    if let Location::Folder(_) = Location::of(url)? {
        return Ok(String::new());
    }
    let store = store::open(url, options, Patience::Client)?;
    let Some(lies) = store.region().await? else { return Ok(String::new()) };
    match &region.residency {
        Some(residency) if !residency.allows(&lies) => Err(SinkError::config(format!(
            "{} lies in `{lies}`, which is outside [residency]: `allow` is {}",
            store.shown,
            residency.allow.join(", ")
        ))),
        _ => Ok(format!("; lies in {lies}")),
    }
}
