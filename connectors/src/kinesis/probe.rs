//! Tries everything that a run needs, taking nothing.

use watershed_clients::ClientError;
use watershed_clients::aws::{Connection, Refusal};

use super::client;
use super::fanout::find_consumer;
use super::lineage::Shard;
use super::place::Point;
use crate::error::SourceError;

/// Looks at the stream, lists its shards, and reads one record of one of them, or looks for `consumer`.
pub(super) async fn probe(connection: &Connection, consumer: Option<&str>) -> Result<String, SourceError> {
    let status = match connection.summary().await {
        Ok(answer) => answer.stream_description_summary.map(|summary| summary.stream_status.as_str().to_lowercase()),
        // Polling does without.
        Err(Refusal::Failed(ClientError::Config { .. })) if consumer.is_none() => None,
        Err(refusal) => return Err(connection.stream_error("DescribeStreamSummary", refusal).await.into()),
    };
    let shards = client::shards(connection).await?;
    let way = match consumer {
        None => poll(connection, &shards).await?,
        Some(name) => match find_consumer(connection, name).await? {
            Some((_, status)) => format!("consumer {name} is {}", status.as_str().to_lowercase()),
            None => {
                format!("consumer {name} will be registered, which takes the IAM action kinesis:RegisterStreamConsumer")
            }
        },
    };
    let (open, closed) = (shards.iter().filter(|shard| !shard.closed).count(), shards.len());
    let status = status.map(|status| format!(", {status}")).unwrap_or_default();
    let (name, region) = (&connection.stream.name, &connection.region);
    Ok(format!("stream {name} in {region}{status}: {open} open shards, {} closed; {way}", closed - open))
}

/// Reads a record, and forgets it.
async fn poll(connection: &Connection, shards: &[Shard]) -> Result<String, SourceError> {
    let Some(shard) = shards.iter().find(|shard| !shard.closed) else {
        return Err(SourceError::config(format!(
            "stream {} has no open shard: it is being made or deleted",
            connection.stream.name
        )));
    };
    let iterator = client::iterator(connection, &shard.id, &Point::Horizon).await;
    let iterator = iterator.map_err(|refusal| connection.call("GetShardIterator").error(refusal))?;
    let Some(iterator) = iterator else { return Ok(format!("shard {} is empty", shard.id)) };
    match client::records(connection, &iterator, Some(1)).await {
        Ok(_) => Ok(format!("read from {}", shard.id)),
        Err(Refusal::Throttled) => Ok(format!("{} is throttled now: others read it as well", shard.id)),
        Err(refusal) => Err(connection.call("GetRecords").error(refusal).into()),
    }
}
