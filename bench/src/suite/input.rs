//! The file that a suite reads: made once, and kept.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use super::spec::EventsSpec;
use crate::generate::{EventTime, Events, Load, Progress, name_of, send};
use crate::target::{self, Address, Manners};

/// As many events tell whether a profile makes others than it used to.
const SAMPLE: u64 = 1000;

/// Events as a file holds them.
pub(super) fn events(spec: &EventsSpec) -> Events {
    let start = spec.start.map_or(0, |start| start.timestamp_millis());
    Events {
        seed: spec.seed,
        disorder: spec.disorder,
        time: EventTime::From(start),
        rate: spec.event_rate,
        ..Events::new(spec.profile)
    }
}

/// The file with the events of `spec`, in `cache`; made if it is not there.
///
/// # Errors
/// Says what can't be written.
pub(super) async fn file(
    spec: &EventsSpec,
    cache: &Path,
    stop: watch::Receiver<bool>,
    watch: impl FnMut(Progress),
) -> Result<PathBuf, String> {
    let told = |path: &Path, error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let events = events(spec);
    let name = format!("{}-{}-{:016x}", name_of(spec.profile), spec.count, sample(&events));
    let path = cache.join(format!("{name}.ndjson"));
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(cache).map_err(|error| told(cache, error))?;
    // Whoever is stopped, or runs beside another, leaves no half file under the name that counts.
    let part = cache.join(format!("{name}.{}.part", std::process::id()));
    let manners = Manners::default();
    let target = target::open(&Address::File(part.clone()), &manners).await?;
    let load = Load { events_at_most: Some(spec.count), ..Load::flat_out(events) };
    let report = send(load, target, stop, watch).await;
    if report.acknowledged != spec.count {
        let _ = fs::remove_file(&part);
        return Err(report.trouble.unwrap_or_else(|| "stopped".to_owned()));
    }
    fs::rename(&part, &path).map_err(|error| told(&path, error))?;
    Ok(path)
}

/// A number that changes with the first events, whatever made them change.
fn sample(events: &Events) -> u64 {
    let mut maker = events.maker();
    let mut bytes = Vec::new();
    for number in 0..SAMPLE {
        maker.write(number, maker.time(number), &mut bytes);
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    hasher.finish()
}
