//! What of a state is refused under another region file.

use std::time::Duration;

use super::world::Outside;
use crate::checkpoint::{Behind, CutState, Manifest, PaneState};
use crate::config::{Region, SinkConfig};
use crate::plan::{PlannedRegion, plan_region};
use crate::run::outlet::Opened;
use crate::run::recover::first_epoch;

/// A region with a mirror that spills and has a standby.
fn mirrored() -> Region {
    Outside::new(1, Vec::new(), false, 1, 0).mirrored(u64::MAX, Some(Duration::from_secs(1))).region()
}

async fn planned(region: &Region) -> PlannedRegion {
    plan_region(region).await.expect("the region is right")
}

fn begin(previous: Option<&Manifest>, planned: &PlannedRegion) -> Result<Manifest, String> {
    let opened = Opened { free: 1, silent: None };
    first_epoch(previous, 1, planned, &opened, &[]).map_err(|error| error.to_string())
}

/// Rows that are spilled for a sink, or that its standby took, need the key by which they come back to it.
#[tokio::test]
async fn a_sink_that_is_behind_keeps_its_keys() {
    let region = mirrored();
    let as_it_was = planned(&region).await;
    let fresh = begin(None, &as_it_was).expect("a fresh state");
    let (mut behind, mut turned) = (fresh.clone(), fresh);
    for state in behind.pipelines.values_mut() {
        state.out.behind.insert("mirror".to_string(), Behind { from: 0, attempts: 0 });
    }
    for state in turned.pipelines.values_mut() {
        state.out.turns.insert("mirror".to_string(), vec![0]);
    }
    let without = |change: fn(&mut SinkConfig)| {
        let mut region = mirrored();
        change(region.sinks.get_mut("mirror").expect("the region has the mirror"));
        region
    };
    let no_spill = planned(&without(|mirror| mirror.spill = None)).await;
    let no_standby = planned(&without(|mirror| mirror.standby = None)).await;
    for state in [&behind, &turned] {
        begin(Some(state), &as_it_was).expect("nothing has changed");
    }
    let refused = begin(Some(&behind), &no_spill).expect_err("nobody would give the rows to it");
    assert!(refused.contains("give it on_outage = \"spill\" back"), "{refused}");
    let refused = begin(Some(&turned), &no_standby).expect_err("nobody would know whose the rows are");
    assert!(refused.contains("names none any more"), "{refused}");
}

/// A state of before there were sketches says nothing of them, and holds DataFusion's digests.
#[tokio::test]
async fn sketches_of_another_format_are_refused() {
    let mut region = mirrored();
    let plain = planned(&region).await;
    for pipeline in region.pipelines.values_mut() {
        pipeline.sql = pipeline.sql.replacen("count(*)", "approx_distinct(id)", 1);
    }
    let sketched = planned(&region).await;
    let format = |planned: &PlannedRegion| planned.pipelines.iter().map(|plan| plan.sketches).max();
    assert_eq!((format(&plain), format(&sketched)), (Some(0), Some(1)));

    let empty = begin(None, &sketched).expect("a fresh state");
    let mut held = empty.clone();
    for state in held.pipelines.values_mut() {
        let pane = PaneState { pane: 0, open_from: 0, pieces: Vec::new() };
        state.cuts = vec![CutState::Panes { closed_through: None, panes: vec![pane] }];
    }
    begin(Some(&held), &sketched).expect("nothing has changed");
    let before = |mut state: Manifest| {
        state.pipelines.values_mut().for_each(|state| state.sketches = 0);
        state
    };
    let refused = begin(Some(&before(held)), &sketched).expect_err("digests are no sketches");
    assert!(refused.contains("approximate aggregates that Watershed"), "{refused}");
    assert!(refused.contains("in format 0, in this build, which has format 1"), "{refused}");
    begin(Some(&before(empty)), &sketched).expect("there is nothing to take over");
}
