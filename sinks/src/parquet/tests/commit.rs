use super::store::{FailingStore, Step};
use super::*;

fn one_folder(lake: &Lake) -> ParquetOptions {
    ParquetOptions { partition_by: Vec::new(), ..lake.options() }
}

/// A lake with rows 1 to 3 prepared but not committed.
async fn prepared() -> (Lake, ParquetSink, Prepared) {
    let lake = Lake::new();
    let mut sink = lake.sink(one_folder(&lake), context("orders"));
    let epoch = sink.open().await.unwrap();
    sink.write(0, batch(&[1, 2, 3])).await.unwrap();
    let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
    (lake, sink, prepared)
}

const VISIBLE: &str = "orders-00000001-0001.parquet";

fn staged_path(lake: &Lake, prepared: &Prepared) -> PathBuf {
    lake.path(prepared.0[0]["staged"].as_str().unwrap())
}

fn fatal(result: Result<Committed, SinkError>) -> String {
    match result {
        Err(error @ SinkError::Fatal { .. }) => error.to_string(),
        other => panic!("expected a fatal error, got {other:?}"),
    }
}

#[tokio::test]
async fn a_commit_cut_short_between_link_and_removal_is_finished_by_the_next() {
    let (lake, mut sink, prepared) = prepared().await;
    fs::hard_link(staged_path(&lake, &prepared), lake.path(VISIBLE)).unwrap();
    let committed = sink.commit(&prepared).await.unwrap();
    assert_eq!(committed, Committed { files: 1, bytes: fs::metadata(lake.path(VISIBLE)).unwrap().len() });
    assert_eq!(lake.all_files(), [VISIBLE]);
}

#[tokio::test]
async fn a_copy_of_the_same_content_counts_as_done() {
    let (lake, mut sink, prepared) = prepared().await;
    fs::copy(staged_path(&lake, &prepared), lake.path(VISIBLE)).unwrap();
    sink.commit(&prepared).await.unwrap();
    assert_eq!(lake.all_files(), [VISIBLE]);
}

#[tokio::test]
async fn a_file_of_another_writer_is_never_replaced() {
    let (lake, mut sink, prepared) = prepared().await;
    let staged = fs::read(staged_path(&lake, &prepared)).unwrap();
    let mut same_size = staged.clone();
    same_size[10] ^= 1;
    for content in [b"short".to_vec(), same_size] {
        fs::write(lake.path(VISIBLE), &content).unwrap();
        let error = fatal(sink.commit(&prepared).await);
        assert!(error.contains("another watershed wrote") && error.contains(VISIBLE), "{error}");
        assert_eq!(fs::read(lake.path(VISIBLE)).unwrap(), content);
    }
    assert_eq!(fs::read(staged_path(&lake, &prepared)).unwrap(), staged, "the rows are kept for who mends it");
    fs::remove_file(staged_path(&lake, &prepared)).unwrap();
    fs::write(lake.path(VISIBLE), b"short").unwrap();
    let error = fatal(sink.commit(&prepared).await);
    assert!(error.contains("another watershed wrote"), "{error}");
}

#[tokio::test]
async fn a_lost_file_is_said_to_be_lost() {
    let (lake, mut sink, prepared) = prepared().await;
    fs::remove_file(staged_path(&lake, &prepared)).unwrap();
    let error = fatal(sink.commit(&prepared).await);
    assert!(error.contains("prepared file lost") && error.contains("3 rows"), "{error}");
}

#[tokio::test]
async fn what_another_sink_prepared_is_refused() {
    let (_lake, mut sink, _) = prepared().await;
    let error = fatal(sink.commit(&Prepared(serde_json::json!({ "epoch": 1 }))).await);
    assert!(error.contains("\"orders\"") && error.contains("cannot be read"), "{error}");
}

#[tokio::test]
async fn a_new_process_elsewhere_commits_by_keys_below_the_root() {
    let (lake, sink, prepared) = prepared().await;
    drop(sink);
    let moved = Lake::new();
    fs::rename(lake.path(""), moved.path("")).unwrap();
    let mut sink = moved.sink(one_folder(&moved), context("orders"));
    sink.commit(&prepared).await.unwrap();
    assert_eq!(moved.ids().await[VISIBLE], [1, 2, 3]);
}

#[tokio::test]
async fn leftovers_go_with_the_first_own_commit_and_nobody_elses() {
    let lake = Lake::new();
    let staging = lake.path("_watershed/staged/eu-west-1/orders");
    let others = lake.path("_watershed/staged/eu-west-1/orders_by_country");
    for folder in [&staging, &others] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("00000003-1-dead.staged"), b"x").unwrap();
        // Half of an upload, as a killed process leaves it.
        fs::write(folder.join("00000003-2-dead.staged#1"), b"x").unwrap();
    }
    let mut sink = lake.sink(one_folder(&lake), context("orders"));
    let epoch = sink.open().await.unwrap();
    assert_eq!(epoch, 4, "greater than what was staged");
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 2, "opening alone removes nothing");
    sink.commit(&Prepared::nothing()).await.unwrap();
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 2, "neither does committing what a checkpoint held");

    sink.write(0, batch(&[1])).await.unwrap();
    let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 3);
    sink.commit(&prepared).await.unwrap();
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&others).unwrap().count(), 2);
}

#[tokio::test]
async fn what_the_checkpoint_held_survives_a_second_process_that_opens_first() {
    let (lake, sink, prepared) = prepared().await;
    drop(sink);
    // A look at the sink, such as a check of the config makes, must not cost rows.
    lake.sink(one_folder(&lake), context("orders")).open().await.unwrap();
    let mut next = lake.sink(one_folder(&lake), context("orders"));
    let epoch = next.open().await.unwrap();
    next.commit(&prepared).await.unwrap();
    next.write(0, batch(&[4])).await.unwrap();
    let own = next.prepare(epoch, Flush::All).await.unwrap();
    next.commit(&own).await.unwrap();
    assert_eq!(sorted(lake.ids().await.into_values().flatten()), [1, 2, 3, 4]);
}

#[tokio::test]
async fn the_sweep_spares_what_a_commit_named_and_could_not_show_yet() {
    let (lake, dead, recovered) = prepared().await;
    drop(dead);
    for opens_first in [true, false] {
        let mut store = None;
        let mut sink = ParquetSink::local_with(one_folder(&lake), context("orders"), lake.clock.clock(), |inner| {
            Arc::clone(store.insert(FailingStore::over(inner))) as _
        })
        .unwrap();
        let store = store.unwrap();
        let epoch = if opens_first { sink.open().await.unwrap() } else { 5 };
        store.fail(Step::Copy, std::io::ErrorKind::TimedOut);
        assert!(matches!(sink.commit(&recovered).await, Err(SinkError::Retry { .. })));
        if !opens_first {
            sink.open().await.unwrap();
        }
        store.heal();
        sink.write(0, batch(&[4])).await.unwrap();
        let own = sink.prepare(epoch, Flush::All).await.unwrap();
        sink.commit(&own).await.unwrap();
        assert!(staged_path(&lake, &recovered).exists(), "opened first: {opens_first}");
    }
    lake.sink(one_folder(&lake), context("orders")).commit(&recovered).await.unwrap();
    assert_eq!(sorted(lake.ids().await.into_values().flatten()), [1, 2, 3, 4, 4]);
}

#[tokio::test]
async fn epochs_are_those_of_this_pipeline_and_region() {
    let lake = Lake::new();
    fs::create_dir_all(lake.path("region=eu-west-1/date=x")).unwrap();
    fs::create_dir_all(lake.path("region=us-east-1")).unwrap();
    for key in [
        "region=eu-west-1/date=x/orders-00000007-0001.parquet",
        "region=eu-west-1/date=x/orders-100000000-10000.parquet",
        "region=eu-west-1/date=x/orders_by_country-999999999-0001.parquet",
        "region=eu-west-1/date=x/orders-00000001-999999999-0001.parquet",
        "region=eu-west-1/date=x/orders-999999999-0001.parquet.bak",
        "region=eu-west-1/date=x/orders-999999999-1.parquet",
        "region=eu-west-1/date=x/orders-+99999999-0001.parquet",
        "region=us-east-1/orders-999999999-0001.parquet",
    ] {
        fs::write(lake.path(key), b"x").unwrap();
    }
    assert_eq!(lake.sink(lake.options(), context("orders")).open().await.unwrap(), 100_000_001);
    // Where folders do not begin with the region, every file of that name counts.
    assert_eq!(lake.sink(one_folder(&lake), context("orders")).open().await.unwrap(), 1_000_000_000);
}

#[test]
fn names_of_files_are_read_exactly() {
    for (name, pipeline, epoch) in [
        ("orders-00000007-0001.parquet", "orders", Some(7)),
        ("orders-00000007-12345.parquet", "orders", Some(7)),
        ("orders-123456789-0001.parquet", "orders", Some(123_456_789)),
        ("orders-00000007-0001.parquet", "order", None),
        ("orders_by_country-00000007-0001.parquet", "orders", None),
        ("orders-eu-00000007-0001.parquet", "orders", None),
        ("orders-eu-00000007-0001.parquet", "orders-eu", Some(7)),
        ("orders-00000009-00000007-0001.parquet", "orders-00000009", Some(7)),
        ("orders-7-0001.parquet", "orders", None),
        ("orders-00000007-1.parquet", "orders", None),
        ("orders-99999999999999999999-0001.parquet", "orders", None),
        ("a%2Fb-00000007-0001.parquet", "a/b", Some(7)),
        ("00000007-0001.parquet", "", None),
    ] {
        assert_eq!(names::visible_epoch(name, pipeline), epoch, "{name} of {pipeline}");
    }
    assert_eq!(names::visible_epoch(&names::visible("a-b/c", 12, 3), "a-b/c"), Some(12));
}

#[tokio::test]
async fn regions_share_a_folder() {
    let lake = Lake::new();
    let context_in = |region: &str| SinkContext { region: region.into(), ..context("orders") };
    let mut sinks = ["eu-west-1", "us-east-1"].map(|region| lake.sink(lake.options(), context_in(region)));
    let mut prepared = Vec::new();
    for (sink, id) in sinks.iter_mut().zip(1..) {
        assert_eq!(sink.open().await.unwrap(), 1);
        sink.write(0, batch(&[id])).await.unwrap();
        prepared.push(sink.prepare(1, Flush::All).await.unwrap());
    }
    // A restart in one region sweeps nothing of the other.
    sinks[0].commit(&prepared[0]).await.unwrap();
    let mut restarted = lake.sink(lake.options(), context_in("eu-west-1"));
    let epoch = restarted.open().await.unwrap();
    restarted.write(0, batch(&[3])).await.unwrap();
    let own = restarted.prepare(epoch, Flush::All).await.unwrap();
    restarted.commit(&own).await.unwrap();
    sinks[1].commit(&prepared[1]).await.unwrap();
    assert_eq!(sorted(lake.ids().await.into_values().flatten()), [1, 2, 3]);
}
