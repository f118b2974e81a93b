//! Old partitions go; what is young, another's, or still looked for after a crash stays.

use chrono::{DateTime, TimeDelta, Utc};

use super::uploads::Shared;
use super::*;
use crate::upkeep::{Expired, Swept};

const DAY: i64 = 8640;

fn midnight(day: u32) -> DateTime<Utc> {
    format!("2026-03-{day:02}T00:00:00Z").parse().unwrap()
}

/// Keeps what ends after 2026-03-03, as seen from two hours from now.
fn options(options: &mut ParquetOptions) -> DateTime<Utc> {
    let now = Utc::now() + TimeDelta::hours(2);
    options.partition_by = ["region", "date"].map(str::to_owned).to_vec();
    options.retain = Some(Period((now - midnight(3)).to_std().unwrap()));
    now
}

async fn shown(sink: &mut ParquetSink, epoch: u64, ids: &[i64]) -> Prepared {
    sink.write(epoch, batch(ids)).await.unwrap();
    let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
    sink.commit(&prepared).await.unwrap();
    prepared
}

/// A sink and that of another pipeline in the same place; `days` says which dates have how many files.
async fn conforms(
    mut sink: ParquetSink,
    mut other: ParquetSink,
    now: DateTime<Utc>,
    days: impl AsyncFn() -> [usize; 3],
) {
    for sink in [&mut sink, &mut other] {
        sink.open().await.unwrap();
        shown(sink, 1, &[0, DAY, 2 * DAY]).await;
    }
    shown(&mut sink, 2, &[1, DAY + 1]).await;
    assert_eq!(days().await, [3, 3, 2]);
    let mut retention = sink.upkeep().unwrap();
    let mut swept = async |now| {
        let mut swept = Swept::default();
        retention.sweep(now, &|| false, &mut swept).await.unwrap();
        swept.expired
    };
    assert_eq!(swept(now - TimeDelta::hours(2)).await, Expired::default(), "they are young");

    let expired = swept(now).await;
    let partitions = ["region=eu-west-1/date=2026-03-01", "region=eu-west-1/date=2026-03-02"];
    assert_eq!((expired.files, expired.partitions), (2, partitions.map(str::to_owned).into()));
    assert!(expired.bytes > 0);
    assert_eq!(days().await, [2, 2, 2], "what the last commit showed is looked for after a crash");

    let last = shown(&mut sink, 3, &[2 * DAY + 1]).await;
    assert_eq!(swept(now).await.files, 2);
    assert_eq!(swept(now).await, Expired::default());
    assert_eq!(days().await, [1, 1, 3], "another pipeline's stay");
    sink.commit(&last).await.unwrap();
}

#[tokio::test]
async fn old_partitions_go_from_a_folder() {
    let lake = Lake::new();
    let mut kept = lake.options();
    let now = options(&mut kept);
    let sink = |pipeline: &str| ParquetSink::local(kept.clone(), context(pipeline), lake.clock.clock()).unwrap();
    let days = async || {
        ["01", "02", "03"].map(|day| {
            let folder = lake.path(&format!("region=eu-west-1/date=2026-03-{day}"));
            fs::read_dir(folder).map_or(0, Iterator::count)
        })
    };
    conforms(sink("orders"), sink("orders_b"), now, days).await;
}

#[tokio::test]
async fn old_partitions_go_from_a_store() {
    let bucket = Shared::new();
    let mut now = Utc::now();
    let (sink, _) = bucket.process(context("orders"), |kept| now = options(kept));
    let (other, _) = bucket.process(context("orders_b"), |kept| now = options(kept));
    let days = async || {
        let visible = bucket.visible().await;
        ["01", "02", "03"].map(|day| visible.iter().filter(|key| key.contains(&format!("date=2026-03-{day}/"))).count())
    };
    conforms(sink, other, now, days).await;
}

#[test]
fn only_what_is_dated_by_its_folders_can_be_kept_for_a_time() {
    let lake = Lake::new();
    let check = |levels: &[&str]| {
        let partition_by = levels.iter().map(ToString::to_string).collect();
        let retain = Some(Period(Duration::from_secs(86_400)));
        ParquetOptions { partition_by, retain, ..lake.options() }.check(&context("orders"))
    };
    assert!(check(&["date"]).is_ok() && check(&["region", "date", "hour"]).is_ok());
    for levels in [&[][..], &["region"], &["hour"]] {
        let error = check(levels).unwrap_err().to_string();
        assert!(error.contains("retain: ") && error.contains("\"date\""), "{error}");
    }
    assert!(ParquetSink::local(lake.options(), context("orders"), lake.clock.clock()).unwrap().upkeep().is_none());
}
