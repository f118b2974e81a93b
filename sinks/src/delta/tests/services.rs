//! Tables at S3, Azure and Google, as far as there are servers that stand in for them.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use super::*;
use crate::parquet::tests::services::{azure, google, s3};
use crate::store::{self, Patience, Store, StoreOptions};

/// A crash costs hundreds of requests, as every life reads the whole log; seeds go over plain files there, and over tables on a disk.
const SEEDS: Range<u64> = 0..1;

/// A table of its own in a bucket.
struct InCloud {
    options: ParquetOptions,
    store: Store,
}

impl InCloud {
    fn new((bucket, options): (&str, StoreOptions)) -> Self {
        let url = format!("{bucket}/{:016x}", RandomState::new().hash_one(0));
        let store = store::open(&url, &options, Patience::Client).unwrap();
        Self { options: ParquetOptions { store: options, ..ParquetOptions::at(url) }, store }
    }

    fn process(&self, pipeline: &str) -> DeltaSink {
        DeltaSink::at(self.options.clone(), context(pipeline), Arc::new(Instant::now)).unwrap()
    }

    async fn ids(&self, pipeline: &str) -> Vec<i64> {
        let mut seen = self.visible(pipeline).await.unwrap();
        seen.sort_unstable();
        seen
    }
}

#[async_trait]
impl Fixture for InCloud {
    fn sink(&self, pipeline: &str) -> Box<dyn Sink> {
        Box::new(self.process(pipeline))
    }

    async fn visible(&self, pipeline: &str) -> Option<Vec<i64>> {
        Some(added_in(&*self.store.objects, &self.store.root, pipeline).await)
    }

    fn nature(&self) -> Nature {
        nature()
    }
}

#[tokio::test]
#[ignore = "needs a server: scripts/services run s3 -- cargo test … --ignored"]
async fn delta_in_s3_conforms() {
    conformance::run_with(|| InCloud::new(s3()), SEEDS).await;
}

#[tokio::test]
#[ignore = "needs a server: scripts/services run azurite -- cargo test … --ignored"]
async fn delta_in_azure_conforms() {
    conformance::run_with(|| InCloud::new(azure()), SEEDS).await;
}

#[tokio::test]
#[ignore = "needs a server: scripts/services run gcs -- cargo test … --ignored"]
async fn delta_in_google_cloud_storage_conforms() {
    conformance::run_with(|| InCloud::new(google()), SEEDS).await;
}

/// Each cloud says in its own words that an entry is there already.
#[tokio::test]
#[ignore = "needs servers: scripts/services run s3 azurite gcs -- cargo test … --ignored"]
async fn two_pipelines_add_to_one_table_of_a_store_at_a_time() {
    for cloud in [s3(), azure(), google()] {
        let table = InCloud::new(cloud);
        let url = &table.options.url;
        let writer = |pipeline: &'static str, first: i64| {
            let mut sink = table.process(pipeline);
            async move {
                sink.open().await.unwrap();
                for n in 1..=8 {
                    sink.write(n, batch(&[first + n as i64])).await.unwrap();
                    let prepared = sink.prepare(n, Flush::All).await.unwrap();
                    // The engine asks again in the same way, when others were quicker too often.
                    while let Err(error) = sink.commit(&prepared).await {
                        assert!(matches!(error, SinkError::Retry { .. }), "{url}: {error}");
                    }
                }
            }
        };
        tokio::join!(writer("orders", 0), writer("returns", 100));
        assert_eq!(table.ids("orders").await, (1..=8).collect::<Vec<_>>(), "{url}");
        assert_eq!(table.ids("returns").await, (101..=108).collect::<Vec<_>>(), "{url}");
    }
}
