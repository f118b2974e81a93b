use std::io::ErrorKind;

use object_store::{Error, ObjectStoreExt};

use super::store::{FailingStore, Step};
use super::*;

fn sink_in(store: &Arc<FailingStore>, change: impl FnOnce(&mut ParquetOptions)) -> ParquetSink {
    let mut options = ParquetOptions { partition_by: Vec::new(), ..ParquetOptions::at("mem/lake") };
    options.store.patience = Some(Duration::ZERO);
    change(&mut options);
    ParquetSink::new(options, context("orders"), store.place("some/root"), HandClock::new().clock()).unwrap()
}

/// A place in an object store, below a root of its own.
pub(super) struct Bucket {
    store: Arc<FailingStore>,
    options: fn(ParquetOptions) -> ParquetOptions,
}

impl Bucket {
    pub(super) fn new(options: fn(ParquetOptions) -> ParquetOptions) -> Self {
        Self { store: FailingStore::new(), options }
    }
}

#[async_trait]
impl Fixture for Bucket {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        let options = (self.options)(ParquetOptions::at("mem/lake"));
        let place = self.store.place("some/root");
        Box::new(ParquetSink::new(options, context(pipeline), place, HandClock::new().clock()).unwrap())
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        let mut seen = Vec::new();
        for file in visible_files(&*self.store, &Path::from("some/root")).await.unwrap() {
            if names::visible_epoch(file.location.filename().unwrap(), pipeline).is_some() {
                let bytes = self.store.get(&file.location).await.unwrap().bytes().await.unwrap();
                let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
                seen.extend(reader.flat_map(|batch| ids(&batch.unwrap())));
            }
        }
        Some(seen)
    }

    fn nature(&self) -> Nature {
        Nature { shows_at_write: false, holds_back: true, remembers_epochs: true }
    }
}

#[tokio::test]
async fn parquet_in_an_object_store_conforms() {
    conformance::run(|| Bucket::new(|options| options)).await;
}

#[tokio::test]
async fn what_the_machine_causes_is_named_at_open() {
    for (kind, part) in [
        (ErrorKind::PermissionDenied, "permission denied"),
        (ErrorKind::ReadOnlyFilesystem, "read-only"),
        (ErrorKind::StorageFull, "disk full"),
        (ErrorKind::QuotaExceeded, "quota"),
        (ErrorKind::NotADirectory, "is a file, not a folder"),
    ] {
        let store = FailingStore::new();
        store.fail(Step::Put, kind);
        let error = config_error(sink_in(&store, |_| {}).open().await);
        assert!(error.contains("mem/lake") && error.contains(part), "{error}");
    }
    let store = FailingStore::new();
    store.fail_with(|_, path| Some(Error::PermissionDenied { path: path.to_owned(), source: "403".into() }));
    config_error(sink_in(&store, |_| {}).open().await);
}

#[tokio::test]
async fn passing_trouble_at_open_and_commit_is_tried_again() {
    let store = FailingStore::new();
    let mut sink = sink_in(&store, |_| {});
    for step in [Step::Put, Step::Delete, Step::List] {
        store.fail(step, ErrorKind::ConnectionReset);
        assert!(matches!(sink.open().await, Err(SinkError::Retry { .. })), "{step:?}");
    }
    store.heal();
    let epoch = sink.open().await.unwrap();
    sink.write(0, batch(&[1])).await.unwrap();
    let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
    store.fail(Step::Complete, ErrorKind::TimedOut);
    let error = sink.commit(&prepared).await.unwrap_err();
    assert!(
        matches!(&error, SinkError::Retry { .. }) && error.to_string().contains("publish mem/lake/orders-"),
        "{error}"
    );
    store.fail(Step::Complete, ErrorKind::StorageFull);
    assert!(config_error(sink.commit(&prepared).await).contains("disk full"));
    store.heal();
    assert_eq!(sink.commit(&prepared).await.unwrap().files, 1);
}

#[tokio::test]
async fn a_conflict_where_nothing_landed_is_tried_again() {
    let store = FailingStore::new();
    let mut sink = sink_in(&store, |_| {});
    sink.write(0, batch(&[1])).await.unwrap();
    let prepared = sink.prepare(1, Flush::All).await.unwrap();
    for conflict in [
        |path: &str| Error::AlreadyExists { path: path.to_owned(), source: "409".into() },
        |path: &str| Error::Precondition { path: path.to_owned(), source: "412".into() },
    ] {
        store.fail_with(move |step, path| (step == Step::Complete).then(|| conflict(path)));
        let error = sink.commit(&prepared).await.unwrap_err();
        assert!(matches!(error, SinkError::Retry { .. }), "{error}");
    }
    store.heal();
    sink.commit(&prepared).await.unwrap();
    // The answer to the first commit got lost: the second one finds all done.
    store.fail_with(|step, path| {
        (step == Step::Complete).then(|| Error::Precondition { path: path.to_owned(), source: "412".into() })
    });
    sink.commit(&prepared).await.unwrap();
}

#[tokio::test]
async fn a_failed_upload_ends_the_sink_loudly() {
    let kinds = [(ErrorKind::StorageFull, true), (ErrorKind::ConnectionReset, false)];
    let steps = [Step::Put, Step::Begin, Step::Part];
    for ((kind, is_config), step) in kinds.into_iter().flat_map(|kind| steps.map(|step| (kind, step))) {
        let store = FailingStore::new();
        let mut sink = sink_in(&store, |_| {});
        sink.write(0, batch(&[1])).await.unwrap();
        store.fail(step, kind);
        let error = sink.prepare(1, Flush::All).await.unwrap_err();
        assert_eq!(matches!(error, SinkError::Config { .. }), is_config, "{error}");
        assert_eq!(matches!(error, SinkError::Fatal { .. }), !is_config, "{error}");
        let place = if step == Step::Put { "mem/lake/_watershed/staged/eu-west-1/orders/" } else { "mem/lake/orders-" };
        assert!(error.to_string().contains(place), "{error}");

        // From here on rows are missing, so nothing may look like success.
        store.heal();
        for error in [sink.write(1, batch(&[2])).await.unwrap_err(), sink.prepare(2, Flush::All).await.unwrap_err()] {
            assert!(matches!(&error, SinkError::Fatal { .. }), "{error}");
            assert!(error.to_string().contains("lost rows; restart"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_in_the_middle_of_a_file_is_named() {
    let store = FailingStore::new();
    store.fail(Step::Part, ErrorKind::StorageFull);
    let mut sink = sink_in(&store, |options| {
        options.row_group_size = ByteSize(1_000_000);
        options.compression = Compression::None;
    });
    let ids: Vec<i64> = (0..50_000).collect();
    let mut result = Ok(());
    for round in 0..20 {
        // Names never repeat, so that nothing is small by a dictionary.
        let ids: Vec<i64> = ids.iter().map(|id| id + round * 50_000).collect();
        result = sink.write(round as u64, batch(&ids)).await;
        if result.is_err() {
            break;
        }
    }
    let error = config_error(result);
    assert!(error.contains("cannot write mem/lake/orders-") && error.contains("disk full"), "{error}");
}

#[tokio::test]
async fn a_write_that_was_cut_short_is_not_forgotten() {
    let lake = Lake::new();
    let options = ParquetOptions { partition_by: Vec::new(), row_group_size: ByteSize(1_000), ..lake.options() };
    let mut sink = lake.sink(options, context("orders"));
    let ids: Vec<i64> = (0..10_000).collect();
    let mut write = sink.write(0, batch(&ids));
    assert!(futures::poll!(&mut write).is_pending(), "it waits for the encoder");
    drop(write);
    let error = sink.prepare(1, Flush::All).await.unwrap_err();
    assert!(error.to_string().contains("cut short"), "{error}");
}

#[tokio::test]
async fn a_file_in_place_of_the_folder_is_named() {
    let lake = Lake::new();
    fs::write(lake.path(""), b"a file").unwrap_err();
    fs::write(lake.folder.path().join("lake"), b"a file").unwrap();
    for url in [lake.url(), format!("{}/below", lake.url())] {
        let result = ParquetSink::local(ParquetOptions::at(&url), context("orders"), lake.clock.clock());
        let error = match result {
            Err(SinkError::Config { what }) => what,
            other => panic!("{other:?}"),
        };
        assert!(error.contains(&url), "{error}");
    }
}

/// Permissions bind everybody but root, who runs many build containers; there, the store that fails stands in.
#[cfg(unix)]
#[tokio::test]
async fn a_read_only_folder_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let lake = Lake::new();
    fs::create_dir(lake.path("")).unwrap();
    fs::set_permissions(lake.path(""), fs::Permissions::from_mode(0o555)).unwrap();
    let is_root = fs::write(lake.path("probe"), b"").is_ok();
    let below = ParquetOptions::at(format!("{}/below", lake.url()));
    let made = ParquetSink::local(below, context("orders"), lake.clock.clock());
    let opened = lake.sink(lake.options(), context("orders")).open().await;
    fs::set_permissions(lake.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    if is_root {
        let store = FailingStore::new();
        store.fail(Step::Put, ErrorKind::PermissionDenied);
        assert!(config_error(sink_in(&store, |_| {}).open().await).contains("permission denied"));
    } else {
        let error = config_error(made);
        assert!(error.contains("permission denied") && error.contains("/lake/below"), "{error}");
        let error = config_error(opened);
        assert!(error.contains("permission denied") && error.contains("/lake"), "{error}");
    }
}
