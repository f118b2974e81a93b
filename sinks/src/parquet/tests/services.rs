//! The sink at S3, Azure and Google, as far as there are servers that stand in for them. Their addresses are those of
//! `scripts/services`.

use std::env;
use std::hash::{BuildHasher, RandomState};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, PutPayload};

use super::*;
use crate::store::{self, Encryption, Patience, Store, StoreOptions};

/// The well-known account of Azurite.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/services"))
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(crate) fn s3() -> (&'static str, StoreOptions) {
    let options = StoreOptions {
        endpoint: Some(variable("WATERSHED_S3")),
        aws_region: some("eu-west-1"),
        access_key_id: some("test"),
        secret_access_key: some("test"),
        ..StoreOptions::default()
    };
    ("s3://lake", options)
}

pub(crate) fn azure() -> (&'static str, StoreOptions) {
    let options = StoreOptions {
        endpoint: Some(variable("WATERSHED_AZURITE")),
        account: some(ACCOUNT),
        account_key: some(KEY),
        ..StoreOptions::default()
    };
    ("az://lake", options)
}

pub(crate) fn google() -> (&'static str, StoreOptions) {
    ("gs://lake", StoreOptions { credentials: Some(variable("WATERSHED_GCS_CREDENTIALS")), ..StoreOptions::default() })
}

fn clouds() -> [(&'static str, StoreOptions); 3] {
    [s3(), azure(), google()]
}

/// A folder of its own in a bucket.
struct Bucket {
    options: ParquetOptions,
    store: Store,
}

impl Bucket {
    fn new((bucket, options): (&str, StoreOptions)) -> Self {
        let url = format!("{bucket}/{:016x}", RandomState::new().hash_one(0));
        let store = store::open(&url, &options, Patience::Client).unwrap();
        Self { options: ParquetOptions { store: options, ..ParquetOptions::at(url) }, store }
    }

    fn process(&self) -> ParquetSink {
        self.changed(|_| {})
    }

    fn changed(&self, change: impl FnOnce(&mut ParquetOptions)) -> ParquetSink {
        let mut options = self.options.clone();
        change(&mut options);
        ParquetSink::at(options, context("orders"), HandClock::new().clock()).unwrap()
    }

    async fn unfinished(&self) -> usize {
        self.store.uploads.unfinished(&self.store.root).await.unwrap().len()
    }

    async fn ids(&self) -> Vec<i64> {
        sorted(self.visible("orders").await.unwrap())
    }
}

#[async_trait]
impl Fixture for Bucket {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        let clock = HandClock::new().clock();
        Box::new(ParquetSink::at(self.options.clone(), context(pipeline), clock).unwrap())
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        let files = visible_files(&*self.store.objects, &self.store.root).await.unwrap();
        let own = |name: &str| names::visible_epoch(name, pipeline).is_some();
        let own = files.into_iter().filter(|file| own(file.location.filename().unwrap()));
        let reading: Vec<_> = own
            .map(|file| {
                let store = Arc::clone(&self.store.objects);
                async move {
                    let bytes = store.get(&file.location).await.unwrap().bytes().await.unwrap();
                    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
                    reader.flat_map(|batch| ids(&batch.unwrap())).collect::<Vec<_>>()
                }
            })
            .collect();
        Some(stream::iter(reading).buffered(8).concat().await)
    }

    fn nature(&self) -> Nature {
        Nature { shows_at_write: false, holds_back: true, remembers_epochs: true }
    }
}

#[tokio::test]
#[ignore = "needs a server: scripts/services run s3 -- cargo test … --ignored"]
async fn parquet_in_s3_conforms() {
    conformance::run(|| Bucket::new(s3())).await;
}

#[tokio::test]
#[ignore = "needs a server: scripts/services run azurite -- cargo test … --ignored"]
async fn parquet_in_azure_conforms() {
    conformance::run(|| Bucket::new(azure())).await;
}

#[tokio::test]
#[ignore = "needs a server: scripts/services run gcs -- cargo test … --ignored"]
async fn parquet_in_google_cloud_storage_conforms() {
    conformance::run(|| Bucket::new(google())).await;
}

#[tokio::test]
#[ignore = "needs servers: scripts/services run s3 azurite gcs -- cargo test … --ignored"]
async fn a_large_file_is_shown_whole_and_once() {
    for cloud in clouds() {
        let bucket = Bucket::new(cloud);
        let mut sink = bucket.changed(|options| {
            options.compression = Compression::None;
            options.row_group_size = ByteSize(2_000_000);
            options.partition_by = Vec::new();
        });
        let epoch = sink.open().await.unwrap();
        for number in 0..12 {
            let rows: Vec<i64> = (0..50_000).map(|id| id + number * 50_000).collect();
            sink.write(number as u64, batch(&rows)).await.unwrap();
        }
        let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
        assert!(prepared.0[0]["parts"].as_array().unwrap().len() > 1, "{}", bucket.store.shown);
        assert!(bucket.ids().await.is_empty());
        for _ in 0..3 {
            sink.commit(&prepared).await.unwrap();
            let mut zombie = bucket.process();
            zombie.commit(&prepared).await.unwrap();
            assert_eq!(bucket.ids().await, (0..600_000).collect::<Vec<_>>(), "{}", bucket.store.shown);
        }
        assert_eq!(bucket.unfinished().await, 0);
    }
}

/// An answer of Azure's to a second completion is an error, too, and its uploads are in no list.
#[tokio::test]
#[ignore = "needs servers: scripts/services run s3 azurite gcs -- cargo test … --ignored"]
async fn uploads_of_dead_processes_are_aborted() {
    for cloud in clouds() {
        let bucket = Bucket::new(cloud);
        let mut durable = None;
        for life in 1..4 {
            let mut dead = bucket.process();
            dead.open().await.unwrap();
            dead.write(0, batch(&[life])).await.unwrap();
            let prepared = dead.prepare(life as u64, Flush::All).await.unwrap();
            durable = durable.or(Some(prepared));
        }
        let keeps_a_list = bucket.options.url.starts_with("s3") || bucket.options.url.starts_with("gs");
        assert_eq!(bucket.unfinished().await, if keeps_a_list { 3 } else { 0 });
        let mut heir = bucket.process();
        heir.open().await.unwrap();
        heir.commit(&durable.unwrap()).await.unwrap();
        heir.write(0, batch(&[4])).await.unwrap();
        let own = heir.prepare(9, Flush::All).await.unwrap();
        heir.commit(&own).await.unwrap();
        assert_eq!(bucket.ids().await, [1, 4], "{}", bucket.store.shown);
        assert_eq!(bucket.unfinished().await, 0, "{}", bucket.store.shown);
    }
}

#[tokio::test]
#[ignore = "needs servers: scripts/services run s3 azurite gcs -- cargo test … --ignored"]
async fn what_is_wrong_with_a_place_is_named() {
    for (bucket, options) in clouds() {
        let url = bucket.replace("lake", "missing");
        let mut missing = Bucket::new((&url, options.clone())).process();
        let error = config_error(missing.open().await);
        assert!(error.contains(&format!("cannot write to {url}")) && error.contains("there is no such"), "{error}");
        let found = Bucket::new((bucket, options)).process().probe().await.unwrap();
        assert_eq!(found, "wrote, read, listed and removed a probe; began and aborted an upload", "{bucket}");
    }
    let (bucket, options) = azure();
    let other = "AAAAvdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    let mut refused = Bucket::new((bucket, StoreOptions { account_key: some(other), ..options })).process();
    let error = config_error(refused.open().await);
    assert!(error.contains("permission denied (AuthorizationFailure)") && error.contains("blobs/write"), "{error}");
    assert!(!error.contains("AAAAvdM02"), "{error}");
}

#[tokio::test]
#[ignore = "needs servers: scripts/services run s3 gcs -- cargo test … --ignored"]
async fn a_bucket_says_where_it_lies() {
    for (cloud, region) in [(s3(), "eu-west-1"), (google(), "europe-west3")] {
        assert_eq!(Bucket::new(cloud).store.region().await.unwrap().as_deref(), Some(region));
    }
}

#[tokio::test]
#[ignore = "needs servers: scripts/services run s3 gcs -- cargo test … --ignored"]
async fn uploads_begin_with_classes_and_keys() {
    let (bucket, options) = s3();
    let encrypted = StoreOptions { sse: Some(Encryption::Kms), kms_key: some("alias/lake"), ..options };
    let classed = StoreOptions { storage_class: some("STANDARD_IA"), ..encrypted.clone() };
    let (google, key) = google();
    let nearline = StoreOptions { storage_class: some("NEARLINE"), kms_key: some("projects/p/k"), ..key };
    for place in [(bucket, encrypted), (bucket, classed), (google, nearline)] {
        let bucket = Bucket::new(place);
        let mut sink = bucket.process();
        let epoch = sink.open().await.unwrap();
        sink.write(0, batch(&[1])).await.unwrap();
        let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
        sink.commit(&prepared).await.unwrap();
        assert_eq!(bucket.ids().await, [1]);
    }
}

/// Writes rows that do not repeat, in one file; gives its size, and how long that took.
async fn timed(mut sink: ParquetSink) -> (f64, Duration) {
    let of =
        |number: i64| batch(&(0..50_000).map(|id| (id + number * 50_000) * 7_919 % 1_000_000_007).collect::<Vec<_>>());
    let batches: Vec<_> = (0..40).map(of).collect();
    let epoch = sink.open().await.unwrap();
    let start = Instant::now();
    for (number, batch) in (0..).zip(batches) {
        sink.write(number, batch).await.unwrap();
    }
    let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
    let committed = sink.commit(&prepared).await.unwrap();
    (committed.bytes as f64 / f64::from(1 << 20), start.elapsed())
}

/// How fast the sink writes to each store and to a local folder, and how fast the store takes bytes from eight at a time.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: scripts/services run s3 azurite gcs -- cargo test … --ignored speed --nocapture"]
async fn speed() {
    let plain = |options: &mut ParquetOptions| {
        options.partition_by = Vec::new();
        options.compression = Compression::None;
    };
    let lake = Lake::new();
    let mut options = lake.options();
    plain(&mut options);
    let (size, took) = timed(lake.sink(options, context("orders"))).await;
    println!("a local folder: {size:.0} MiB, {:.0} MiB/s", size / took.as_secs_f64());
    for cloud in clouds() {
        let bucket = Bucket::new(cloud);
        let (size, took) = timed(bucket.changed(plain)).await;
        let payload = PutPayload::from(vec![7_u8; 5 << 20]);
        let parts = (size / 5.0).ceil() as u64;
        let start = Instant::now();
        let put = |number| {
            let (payload, path) = (payload.clone(), bucket.store.root.clone().join(format!("raw-{number}")));
            let store = Arc::clone(&bucket.store.objects);
            async move { store.put(&path, payload).await.map(drop) }
        };
        stream::iter(0..parts).map(put).buffer_unordered(8).try_collect::<()>().await.unwrap();
        let (rate, limit) = (size / took.as_secs_f64(), (parts * 5) as f64 / start.elapsed().as_secs_f64());
        println!("{}: {size:.0} MiB, {rate:.0} MiB/s; the store alone {limit:.0} MiB/s", bucket.options.url);
    }
}
