//! A part as one request, of which the service may refuse some records.
//!
//! The one idea: whoever repeats sees to pace and order, so each request is sent once here, and every answer is told.

use std::fmt;

use async_trait::async_trait;
use aws_sdk_kinesis::operation::put_records::PutRecordsOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use watershed_clients::ClientError;
use watershed_clients::aws::{Connection, Refusal, StreamName};

use super::options::KinesisOptions;
use super::record::{data, partition_key};
use crate::error::SinkError;
use crate::messages::{Broker, Outgoing, Refused};

/// What a record may have, with its key, in a stream of which nobody raised it; and what none may have.
const USUAL_RECORD: usize = 1 << 20;
const LARGEST_RECORD: usize = 10 << 20;

const PUT_RECORDS: &str = "PutRecords";

/// Writes to a stream.
pub(super) struct KinesisBroker {
    options: KinesisOptions,
    stream: StreamName,
    region: Option<String>,
    place: String,
    connection: Option<Connection>,
    /// It was said that the service refuses some records.
    told: bool,
}

impl fmt::Debug for KinesisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KinesisBroker").field("place", &self.place).finish_non_exhaustive()
    }
}

impl KinesisBroker {
    pub(super) fn new(options: KinesisOptions, stream: StreamName, region: Option<String>) -> Self {
        let place = format!("kinesis stream \"{}\"", stream.name);
        Self { options, stream, region, place, connection: None, told: false }
    }

    async fn connected(&mut self) -> Result<&Connection, SinkError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.options.access(), &self.stream, self.region.as_deref()).await?,
        };
        Ok(self.connection.insert(connection))
    }

    fn entry(&self, message: &Outgoing<'_>) -> Result<(PutRecordsRequestEntry, usize), SinkError> {
        let (key, data) = (partition_key(message), data(message, self.options.id_field.as_deref()));
        let bytes = key.len() + data.len();
        if bytes > LARGEST_RECORD {
            return Err(self.too_large(bytes));
        }
        let entry = PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data.into_owned()));
        Ok((entry.build().map_err(|error| SinkError::fatal(&self.place, error))?, bytes))
    }

    fn too_large(&self, bytes: usize) -> SinkError {
        SinkError::config(format!(
            "{}: a row is larger than is taken: {bytes} bytes, with its key; raise the largest record of the stream \
             (UpdateMaxRecordSize, up to 10 MiB), which is 1 MiB otherwise, and start again",
            self.place
        ))
    }

    /// Those that were not taken.
    fn refused(&mut self, answer: &PutRecordsOutput) -> Vec<Refused> {
        let results = answer.records().iter().enumerate();
        let refused: Vec<Refused> = results
            .filter_map(|(at, result)| {
                let code = result.error_code()?;
                let said = match code {
                    "ProvisionedThroughputExceededException" => "throttled: more is written than its shards take",
                    // Its words name the account and the shard, and say no more.
                    code => code,
                };
                Some(Refused { at, why: SinkError::retry(&self.place, said) })
            })
            .collect();
        let throttled = answer
            .records()
            .iter()
            .any(|result| result.error_code().is_some_and(|code| code == "ProvisionedThroughputExceededException"));
        if throttled && !std::mem::replace(&mut self.told, true) {
            tracing::info!(
                place = self.place,
                "throttled by the service: writing slower; add shards, or a `key` that spreads rows over them"
            );
        }
        refused
    }
}

#[async_trait]
impl Broker for KinesisBroker {
    fn place(&self) -> &str {
        &self.place
    }

    async fn open(&mut self) -> Result<(), SinkError> {
        let connection = self.connected().await?;
        match connection.summary().await {
            // Writing does without.
            Ok(_) | Err(Refusal::Failed(ClientError::Config { .. })) => Ok(()),
            Err(refusal) => Err(connection.stream_error("DescribeStreamSummary", refusal).await.into()),
        }
    }

    async fn probe(&mut self) -> Result<String, SinkError> {
        let connection = self.connected().await?;
        let (name, region) = (&connection.stream.name, &connection.region);
        let summary = match connection.summary().await {
            Ok(answer) => answer.stream_description_summary,
            Err(refusal) => return Err(connection.stream_error("DescribeStreamSummary", refusal).await.into()),
        };
        let found = summary.map_or_else(String::new, |summary| {
            let (status, shards) = (summary.stream_status.as_str().to_lowercase(), summary.open_shard_count);
            format!(", {status}: {shards} open shards")
        });
        Ok(format!("kinesis stream {name} in {region}{found}; nothing was written"))
    }

    async fn send(&mut self, part: &[&Outgoing<'_>]) -> Result<Vec<Refused>, SinkError> {
        let made: Result<Vec<_>, SinkError> = part.iter().map(|message| self.entry(message)).collect();
        let (entries, sizes): (Vec<_>, Vec<_>) = made?.into_iter().unzip();
        let largest = sizes.into_iter().max().unwrap_or(0);
        let connection = self.connected().await?;
        let stream = &connection.stream;
        let request = connection.once.put_records().set_records(Some(entries));
        let request = request.set_stream_name(stream.requested_name()).set_stream_arn(stream.arn.clone());
        match request.send().await {
            Ok(answer) => Ok(self.refused(&answer)),
            Err(error) => match connection.call(PUT_RECORDS).refusal(&error) {
                Refusal::Invalid(_) if largest > USUAL_RECORD => Err(self.too_large(largest)),
                refusal => Err(connection.stream_error(PUT_RECORDS, refusal).await.into()),
            },
        }
    }
}
