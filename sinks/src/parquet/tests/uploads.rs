//! Files in an object store: uploads that are completed behind the checkpoint, and what is left of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use object_store::memory::InMemory;
use object_store::{Error, ObjectStore, ObjectStoreExt};

use super::store::{FailingStore, Step};
use super::*;
use crate::store::{MemoryUploads, Uploads};

/// A bucket that several processes have their own ways to.
pub(super) struct Shared {
    objects: Arc<dyn ObjectStore>,
    uploads: Arc<MemoryUploads>,
}

impl Shared {
    pub(super) fn new() -> Self {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        Self { uploads: Arc::new(MemoryUploads::new(Arc::clone(&objects))), objects }
    }

    pub(super) fn process(
        &self,
        context: SinkContext,
        change: impl FnOnce(&mut ParquetOptions),
    ) -> (ParquetSink, Arc<FailingStore>) {
        let store = FailingStore::beside(Arc::clone(&self.objects), Arc::clone(&self.uploads) as _);
        let mut options = ParquetOptions { partition_by: Vec::new(), ..ParquetOptions::at("mem/lake") };
        options.store.patience = Some(Duration::ZERO);
        change(&mut options);
        (ParquetSink::new(options, context, store.place("lake"), HandClock::new().clock()).unwrap(), store)
    }

    fn sink(&self, pipeline: &str) -> ParquetSink {
        self.process(context(pipeline), |_| {}).0
    }

    async fn unfinished(&self) -> Vec<String> {
        let uploads = self.uploads.unfinished(&Path::ROOT).await.unwrap();
        uploads.iter().map(|upload| upload.key.to_string()).collect()
    }

    pub(super) async fn visible(&self) -> Vec<String> {
        let files = visible_files(&*self.objects, &Path::from("lake")).await.unwrap();
        files.iter().map(|file| file.location.to_string()).collect()
    }

    async fn ids(&self) -> Vec<i64> {
        let mut seen = Vec::new();
        for file in self.visible().await {
            let bytes = self.objects.get(&Path::from(file)).await.unwrap().bytes().await.unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
            seen.extend(reader.flat_map(|batch| ids(&batch.unwrap())));
        }
        sorted(seen)
    }

    async fn staged(&self) -> usize {
        use futures::TryStreamExt;
        let listed: Vec<_> = self.objects.list(Some(&Path::from("lake/_watershed"))).try_collect().await.unwrap();
        listed.len()
    }
}

async fn prepared(sink: &mut ParquetSink, epoch: u64, ids: &[i64]) -> Prepared {
    sink.write(epoch, batch(ids)).await.unwrap();
    sink.prepare(epoch, Flush::All).await.unwrap()
}

#[tokio::test]
async fn a_large_file_travels_in_parts_while_it_is_written() {
    let bucket = Shared::new();
    let (mut sink, _) = bucket.process(context("orders"), |options| {
        options.row_group_size = ByteSize(1_000_000);
        options.compression = Compression::None;
    });
    let mut written = Vec::new();
    while bucket.unfinished().await.is_empty() {
        let number = written.len() as u64;
        let rows: Vec<i64> = (0..50_000).map(|id| id + number as i64 * 50_000).collect();
        written.push(rows.len() as i64);
        sink.write(number, batch(&rows)).await.unwrap();
    }
    assert!(bucket.visible().await.is_empty());
    let prepared = sink.prepare(7, Flush::All).await.unwrap();
    assert!(bucket.visible().await.is_empty());
    let parts = prepared.0[0]["parts"].as_array().unwrap();
    assert!(parts.len() > 1, "{prepared:?}");
    sink.commit(&prepared).await.unwrap();
    assert_eq!(bucket.ids().await, (0..written.iter().sum()).collect::<Vec<_>>());
    assert!(bucket.unfinished().await.is_empty());
    // Its name has the epoch in which it was begun, but it is not forgotten in which it was shown.
    assert!(bucket.visible().await[0].starts_with("lake/orders-00000001-"));
    assert_eq!(bucket.sink("orders").open().await.unwrap(), 8);
    assert_eq!(bucket.staged().await, 1, "one marker");
}

#[tokio::test]
async fn a_small_file_has_the_epoch_that_prepared_it_in_its_name() {
    let bucket = Shared::new();
    let mut sink = bucket.sink("orders");
    let prepared = prepared(&mut sink, 41, &[1]).await;
    sink.commit(&prepared).await.unwrap();
    let names = bucket.visible().await;
    assert!(names.len() == 1 && names[0].starts_with("lake/orders-00000041-"), "{names:?}");
}

#[tokio::test]
async fn what_a_dead_process_left_is_aborted_and_nothing_else() {
    let bucket = Shared::new();
    // Two that are alive: another pipeline, and the same pipeline of another region in the same folder.
    let mut other = bucket.sink("orders_by_country");
    let of_other = prepared(&mut other, 1, &[1]).await;
    let abroad = SinkContext { region: "us-east-1".into(), ..context("orders") };
    let (mut abroad, _) = bucket.process(abroad, |_| {});
    let of_abroad = prepared(&mut abroad, 1, &[2]).await;
    // Two that die: one whose epoch was durable, and one whose was not.
    let mut dead = bucket.sink("orders");
    dead.open().await.unwrap();
    let durable = prepared(&mut dead, 1, &[3]).await;
    prepared(&mut dead, 2, &[999]).await;
    let mut younger = bucket.sink("orders");
    younger.open().await.unwrap();
    prepared(&mut younger, 2, &[999]).await;
    drop((dead, younger));
    assert_eq!(bucket.unfinished().await.len(), 5);

    let mut heir = bucket.sink("orders");
    heir.open().await.unwrap();
    heir.commit(&durable).await.unwrap();
    assert_eq!(bucket.unfinished().await.len(), 4, "nothing is swept before this process owns the place");
    let own = prepared(&mut heir, 3, &[4]).await;
    heir.commit(&own).await.unwrap();
    assert_eq!(bucket.unfinished().await.len(), 2, "only those that are alive");
    other.commit(&of_other).await.unwrap();
    abroad.commit(&of_abroad).await.unwrap();
    assert_eq!(bucket.ids().await, [1, 2, 3, 4]);
    assert!(bucket.unfinished().await.is_empty());
    assert_eq!(bucket.staged().await, 5, "one marker for each process of the last day");
}

#[tokio::test]
async fn what_a_zombie_begins_when_it_wakes_up_is_found_by_the_next_start() {
    let bucket = Shared::new();
    let mut zombie = bucket.sink("orders");
    zombie.open().await.unwrap();
    let shown = prepared(&mut zombie, 1, &[1]).await;
    zombie.commit(&shown).await.unwrap();
    for life in 2..4 {
        let mut heir = bucket.sink("orders");
        heir.open().await.unwrap();
        let own = prepared(&mut heir, life, &[life as i64]).await;
        heir.commit(&own).await.unwrap();
        if life == 2 {
            // Its epoch will never be durable.
            prepared(&mut zombie, 2, &[999]).await;
        }
        assert_eq!(bucket.unfinished().await.len(), if life == 2 { 1 } else { 0 });
    }
    assert_eq!(bucket.ids().await, [1, 2, 3]);
}

#[tokio::test]
async fn what_could_not_be_shown_yet_is_no_leftover() {
    let bucket = Shared::new();
    let mut dead = bucket.sink("orders");
    let durable = prepared(&mut dead, 1, &[1]).await;
    drop(dead);
    let (mut heir, store) = bucket.process(context("orders"), |_| {});
    heir.open().await.unwrap();
    store.fail(Step::Complete, std::io::ErrorKind::TimedOut);
    assert!(matches!(heir.commit(&durable).await, Err(SinkError::Retry { .. })));
    let own = prepared(&mut heir, 2, &[2]).await;
    store.fail_with(move |step, path| {
        let first = step == Step::Complete && path.contains("orders-00000001-");
        first.then(|| Error::Generic { store: "test", source: "reset".into() })
    });
    heir.commit(&own).await.unwrap();
    store.heal();
    heir.commit(&durable).await.unwrap();
    assert_eq!(bucket.ids().await, [1, 2]);
}

#[tokio::test]
async fn a_store_that_keeps_its_list_of_uploads_to_itself_costs_space_only() {
    let bucket = Shared::new();
    let mut dead = bucket.sink("orders");
    prepared(&mut dead, 1, &[999]).await;
    let (mut heir, store) = bucket.process(context("orders"), |_| {});
    heir.open().await.unwrap();
    store.fail_with(|step, path| {
        (step == Step::ListUploads).then(|| Error::PermissionDenied { path: path.to_owned(), source: "403".into() })
    });
    let own = prepared(&mut heir, 2, &[1]).await;
    heir.commit(&own).await.unwrap();
    assert_eq!(bucket.ids().await, [1]);
    assert_eq!(bucket.unfinished().await.len(), 1);
    // The marker stays, so that whoever may list them finds them.
    let mut third = bucket.sink("orders");
    third.open().await.unwrap();
    let own = prepared(&mut third, 3, &[2]).await;
    third.commit(&own).await.unwrap();
    assert!(bucket.unfinished().await.is_empty());
}

#[tokio::test]
async fn a_first_upload_that_is_refused_for_a_moment_is_begun_again() {
    let bucket = Shared::new();
    let patient = |options: &mut ParquetOptions| options.store.patience = Some(Duration::from_secs(60));
    let (mut sink, store) = bucket.process(context("orders"), patient);
    sink.open().await.unwrap();
    let asked = AtomicUsize::new(0);
    store.fail_with(move |step, path| {
        let refused = step == Step::Begin && asked.fetch_add(1, Ordering::Relaxed) < 2;
        refused.then(|| Error::PermissionDenied { path: path.to_owned(), source: "403".into() })
    });
    let own = prepared(&mut sink, 1, &[1]).await;
    sink.commit(&own).await.unwrap();
    assert_eq!(bucket.ids().await, [1]);
}

#[tokio::test]
async fn an_object_with_other_content_is_left_alone() {
    for spoil in [|bytes: &mut Vec<u8>| bytes.push(0), |bytes: &mut Vec<u8>| bytes[9] ^= 1] {
        let bucket = Shared::new();
        let mut sink = bucket.sink("orders");
        let prepared = prepared(&mut sink, 1, &[1]).await;
        sink.commit(&prepared).await.unwrap();
        let key = Path::from(bucket.visible().await.remove(0));
        let mut bytes = bucket.objects.get(&key).await.unwrap().bytes().await.unwrap().to_vec();
        spoil(&mut bytes);
        bucket.objects.put(&key, bytes.clone().into()).await.unwrap();
        let error = sink.commit(&prepared).await.unwrap_err();
        assert!(matches!(&error, SinkError::Fatal { .. }), "{error}");
        assert!(error.to_string().contains("another watershed wrote mem/lake/orders-00000001-"), "{error}");
        assert_eq!(bucket.objects.get(&key).await.unwrap().bytes().await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn an_upload_that_somebody_aborted_is_told_as_lost() {
    let bucket = Shared::new();
    let mut sink = bucket.sink("orders");
    let prepared = prepared(&mut sink, 1, &[1]).await;
    for upload in bucket.uploads.unfinished(&Path::ROOT).await.unwrap() {
        bucket.uploads.abort(&upload.key, &upload.id).await.unwrap();
    }
    let error = sink.commit(&prepared).await.unwrap_err();
    assert!(matches!(&error, SinkError::Fatal { .. }), "{error}");
    assert!(error.to_string().contains("prepared file lost: mem/lake/orders-"), "{error}");
}

#[tokio::test]
async fn what_was_prepared_elsewhere_is_not_mistaken() {
    let (bucket, lake) = (Shared::new(), Lake::new());
    let mut here = bucket.sink("orders");
    let uploaded = prepared(&mut here, 1, &[1]).await;
    let mut there = lake.sink(lake.options(), context("orders"));
    let staged = prepared(&mut there, 1, &[1]).await;
    for error in [there.commit(&uploaded).await, here.commit(&staged).await] {
        assert!(config_error(error).contains("was prepared at another url"));
    }
}

/// One request in sixteen fails, in one way or another.
fn faults(seed: u64) -> impl Fn(Step, &str) -> Option<Error> + Send + Sync + 'static {
    let random = Mutex::new(seed);
    move |_, path| {
        let mut random = random.lock().unwrap();
        // Knuth's generator, of which the upper bits are good.
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (path, source) = (path.to_owned(), "fault".into());
        match *random >> 33 & 63 {
            0 | 1 => Some(Error::Generic { store: "test", source }),
            2 => Some(Error::AlreadyExists { path, source }),
            3 => Some(Error::Precondition { path, source }),
            _ => None,
        }
    }
}

/// Requests fail now and then, before or after they did what they were asked for; answers contradict each other.
#[tokio::test]
async fn a_store_that_fails_now_and_then_gets_each_row_once() {
    for seed in 0..24_u64 {
        let bucket = Shared::new();
        let (mut epoch, mut durable, mut expected) = (1, None, Vec::new());
        // Each life begins where the last durable epoch stands, and may end in any step.
        for life in 0..6 {
            let (mut sink, store) = bucket.process(context("orders"), |options| {
                options.store.patience = Some(Duration::from_millis(if seed % 2 == 0 { 0 } else { 5_000 }));
            });
            store.fail_with(faults(seed * 1_000 + life));
            store.lose_with(faults(seed * 1_000 + 500 + life));
            let lived = async {
                epoch = epoch.max(sink.open().await?);
                if let Some(durable) = &durable {
                    sink.commit(durable).await?;
                }
                for _ in 0..3 {
                    let id = epoch as i64;
                    sink.write(epoch, batch(&[id])).await?;
                    let prepared = sink.prepare(epoch, Flush::All).await?;
                    // The commit point.
                    expected.push(id);
                    durable = Some(prepared.clone());
                    epoch += 1;
                    sink.commit(&prepared).await?;
                }
                Ok::<(), SinkError>(())
            };
            if let Err(error) = lived.await {
                let text = error.to_string();
                assert!(!text.contains("another watershed") && !text.contains("prepared file lost"), "{seed}: {text}");
            }
        }
        let mut last = bucket.sink("orders");
        last.open().await.unwrap();
        if let Some(durable) = &durable {
            last.commit(durable).await.unwrap();
        }
        let own = prepared(&mut last, epoch + 1, &[1_000_000]).await;
        last.commit(&own).await.unwrap();
        expected.push(1_000_000);
        assert_eq!(bucket.ids().await, expected, "seed {seed}");
        assert!(bucket.unfinished().await.is_empty(), "seed {seed}");
    }
}
