//! Whether data stays where it may be: places are asked where they lie.
//!
//! The one idea: what a region file says of a place is checked as it is read, and may be wrong; so the place itself has the last
//! word, before anything is written to it.

use std::fmt;

use watershed_sinks::SinkError;
use watershed_sinks::store::{self, Location, Patience, StoreOptions};

use super::failure::{Failure, Outcome};
use super::places::sinks;
use crate::config::{OnBad, Region};
use crate::diagnostic::Diagnostic;
use crate::plan::PlannedRegion;
use crate::run::dead_letter_sink;

/// Refuses a run that would write to, or read a table from, a place that says it lies outside, or of which nobody says where it
/// lies. One that cannot be asked now is taken at the file's word, if there is one.
pub(super) async fn check(region: &Region, planned: &PlannedRegion) -> Outcome {
    if region.residency.is_none() {
        return Ok(());
    }
    let state = &region.checkpoint;
    let mut places = vec![("state".to_owned(), state.url.clone(), state.store.clone())];
    for source in region.sources.values().filter(|source| source.on_bad == OnBad::DeadLetter) {
        let (options, _) = dead_letter_sink(region, source, &region.writers());
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
    let mut wrong = Vec::new();
    for (what, url, store) in places {
        match lies_in(region, &url, &store).await {
            Ok(Lies::Said { region, unasked: Some(error) }) => {
                tracing::warn!(place = what, %region, %error, "this place is taken to lie where the file says");
            }
            Ok(_) => {}
            Err(error @ SinkError::Config { .. }) => {
                wrong.push(Failure::wrong(Diagnostic::new(format!("{what}: {error}"))));
            }
            Err(error) => wrong.push(Failure::running(format!("{what}: {error}"))),
        }
    }
    Failure::of(wrong).map_or(Ok(()), Err)
}

/// Where a place lies, and who says so.
#[derive(Debug)]
pub(super) enum Lies {
    /// Nobody wants to know, or it is this machine.
    Here,
    /// The bucket says so itself.
    Told(String),
    /// The file says so, as the place does not tell.
    Said {
        /// The region.
        region: String,
        /// Why the place could not be asked.
        unasked: Option<SinkError>,
    },
}

impl fmt::Display for Lies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => Ok(()),
            Self::Told(region) => write!(f, "; lies in {region}"),
            Self::Said { region, unasked: None } => write!(f, "; lies in {region}, as the file says"),
            Self::Said { region, unasked: Some(error) } => write!(f, "; lies in {region}, as the file says: {error}"),
        }
    }
}

/// Where a place lies, if `[residency]` wants to know; an error if that is outside of where data may be, if the place says other
/// than the file, or if nobody says it.
pub(super) async fn lies_in(region: &Region, url: &str, options: &StoreOptions) -> Result<Lies, SinkError> {
    let (Some(residency), Location::Store(address)) = (&region.residency, Location::of(url)?) else {
        return Ok(Lies::Here);
    };
    let store = store::open(url, options, Patience::Client)?;
    let shown = &store.shown;
    let unasked = match store.region().await {
        Ok(Some(lies)) if !residency.allows(&lies) => {
            let allow = residency.allow.join(", ");
            return Err(SinkError::config(format!(
                "{shown} lies in `{lies}`, which is outside [residency]: `allow` is {allow}"
            )));
        }
        Ok(Some(lies)) => {
            return match &options.location {
                Some(location) if !location.eq_ignore_ascii_case(&lies) => Err(SinkError::config(format!(
                    "{shown} lies in `{lies}`, and not in `{location}`, as `location` says: mend that, or take it out"
                ))),
                _ => Ok(Lies::Told(lies)),
            };
        }
        Ok(None) => None,
        Err(error) => Some(error),
    };
    match (options.region(address.cloud), unasked) {
        (Some(region), unasked) => Ok(Lies::Said { region, unasked }),
        (None, Some(SinkError::Config { what })) => {
            Err(SinkError::config(format!("{what}; or say where it lies, as in location = \"europe-west3\"")))
        }
        (None, Some(error)) => Err(error),
        (None, None) => Err(SinkError::config(format!(
            "{shown} does not say in which region it lies, and there is [residency]: add it, as in location = \"eu-west-1\""
        ))),
    }
}
