//! Events as records of a Kinesis stream, one each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use bytes::Bytes;
use futures::future::{BoxFuture, try_join_all};
use tokio::time::sleep;
use watershed_clients::ClientError;
use watershed_clients::aws::{Access, Connection, Refusal, StreamName};

use super::{Batch, Manners, Refused, Retries, Target, property};

/// What one request may hold: below the 5 MiB that the service and its stand-ins took before it became 10.
const REQUEST_RECORDS: usize = 500;
const REQUEST_BYTES: usize = 4_000_000;
/// The first pause before refused records are sent again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Writes to one stream, each record under a partition key of its own, so that the shards get the same.
pub(super) struct KinesisTarget {
    connection: Arc<Connection>,
    patience: Duration,
    records: AtomicU64,
    retries: Retries,
}

impl KinesisTarget {
    /// Connects, and looks for the stream. Credentials come by the default chain.
    ///
    /// # Errors
    /// If there are no credentials, or no such stream.
    pub(super) async fn open(stream: &str, manners: &Manners) -> Result<Self, String> {
        let told = |error: ClientError| error.to_string();
        let stream = StreamName::parse(stream).map_err(told)?;
        let access = Access {
            region: property(manners, "region")?,
            endpoint: property(manners, "endpoint")?,
            endpoint_from_outside: true,
            ca: None,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            profile: None,
            role_arn: None,
        };
        access.check().map_err(told)?;
        let region = access.region_of(&stream, "").map_err(told)?;
        let connection = Connection::open(&access, &stream, region.as_deref()).await.map_err(told)?;
        match connection.summary().await {
            // Writing does without being allowed to look.
            Ok(_) | Err(Refusal::Failed(ClientError::Config { .. })) => {}
            Err(refusal) => return Err(connection.stream_error("DescribeStreamSummary", refusal).await.to_string()),
        }
        Ok(Self {
            connection: Arc::new(connection),
            patience: manners.patience,
            records: AtomicU64::new(0),
            retries: Retries::default(),
        })
    }

    fn entry(&self, event: &Bytes) -> Result<PutRecordsRequestEntry, Refused> {
        let key = format!("{:x}", self.records.fetch_add(1, Ordering::Relaxed));
        let entry = PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(event.as_ref())).build();
        entry.map_err(|error| Refused::Fatal(error.to_string()))
    }
}

impl Target for KinesisTarget {
    fn submit(&self, batch: Batch) -> BoxFuture<'static, Result<(), Refused>> {
        let mut requests: Vec<Vec<PutRecordsRequestEntry>> = Vec::new();
        for part in batch.parts(REQUEST_RECORDS, REQUEST_BYTES) {
            match part.iter().map(|event| self.entry(event)).collect::<Result<Vec<_>, _>>() {
                Ok(entries) => requests.push(entries),
                Err(refused) => return Box::pin(async { Err(refused) }),
            }
        }
        let requests = requests.into_iter().map(|entries| {
            let (connection, retries, patience) = (self.connection.clone(), self.retries.clone(), self.patience);
            put(connection, entries, patience, retries)
        });
        let requests = try_join_all(requests.collect::<Vec<_>>());
        Box::pin(async move { requests.await.map(drop) })
    }

    fn retries(&self) -> u64 {
        self.retries.count()
    }
}

/// Sends until every record is taken.
async fn put(
    connection: Arc<Connection>,
    mut entries: Vec<PutRecordsRequestEntry>,
    patience: Duration,
    retries: Retries,
) -> Result<(), Refused> {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let stream = &connection.stream;
        let request = connection.once.put_records().set_records(Some(entries.clone()));
        let request = request.set_stream_name(stream.requested_name()).set_stream_arn(stream.arn.clone());
        let trouble = match request.send().await {
            Ok(answer) => {
                let code = answer.records().iter().find_map(|record| record.error_code().map(str::to_owned));
                let Some(code) = code else { return Ok(()) };
                let refused = entries.into_iter().zip(answer.records());
                entries = refused.filter(|(_, record)| record.error_code().is_some()).map(|(entry, _)| entry).collect();
                code
            }
            Err(error) => {
                let refusal = connection.call("PutRecords").refusal(&error);
                match connection.stream_error("PutRecords", refusal).await {
                    error @ ClientError::Config { .. } => return Err(Refused::Fatal(error.to_string())),
                    error => error.to_string(),
                }
            }
        };
        if begun.elapsed() + pause >= patience {
            return Err(Refused::GaveUp(trouble));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        retries.add(1);
    }
}
