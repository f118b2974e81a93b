//! The calls of the service that reading takes.

use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;
use watershed_clients::aws::{Connection, Refusal};

use super::lineage::Shard;
use super::place::Point;
use crate::error::SourceError;
use crate::source::SplitId;

/// The most records that one read may bring.
const RECORDS_PER_READ: i32 = 10_000;
/// The most shards that one page may list.
const SHARDS_PER_PAGE: i32 = 1_000;
/// Pages of a list after which something is wrong: no stream has a million shards.
const MOST_PAGES: usize = 1_000;

/// All shards of the stream, oldest first.
pub(super) async fn shards(connection: &Connection) -> Result<Vec<Shard>, SourceError> {
    let mut shards = Vec::new();
    let mut token: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let request = connection.patient.list_shards().max_results(SHARDS_PER_PAGE);
        let request = match token {
            // A token says which stream; both are refused.
            Some(token) => request.next_token(token),
            None => request
                .set_stream_name(connection.stream.requested_name())
                .set_stream_arn(connection.stream.arn.clone()),
        };
        let page = match request.send().await {
            Ok(page) => page,
            Err(error) => {
                let refusal = connection.call("ListShards").refusal(&error);
                return Err(connection.stream_error("ListShards", refusal).await.into());
            }
        };
        shards.extend(page.shards().iter().map(shard));
        token = page.next_token().map(str::to_string);
        if token.is_none() {
            return Ok(shards);
        }
    }
    Err(connection.call("ListShards").error(Refusal::Invalid("the list does not end".to_string())).into())
}

/// An iterator that stands at `point`.
pub(super) async fn iterator(
    connection: &Connection,
    shard: &SplitId,
    point: &Point,
) -> Result<Option<String>, Refusal> {
    let request = connection.once.get_shard_iterator().shard_id(shard.as_str());
    let request =
        request.set_stream_name(connection.stream.requested_name()).set_stream_arn(connection.stream.arn.clone());
    let request = match point {
        Point::Horizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
        Point::Moment(millis) => {
            request.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(*millis))
        }
        Point::At(sequence) => {
            request.shard_iterator_type(ShardIteratorType::AtSequenceNumber).starting_sequence_number(&**sequence)
        }
        Point::After(sequence) => {
            request.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).starting_sequence_number(&**sequence)
        }
    };
    let answer = request.send().await.map_err(|error| connection.call("GetShardIterator").refusal(&error))?;
    Ok(answer.shard_iterator)
}

/// The records behind an iterator.
pub(super) async fn records(
    connection: &Connection,
    iterator: &str,
    limit: Option<i32>,
) -> Result<GetRecordsOutput, Refusal> {
    let request = connection.once.get_records().shard_iterator(iterator).limit(limit.unwrap_or(RECORDS_PER_READ));
    // An iterator alone does not say in which region an ARN lies.
    let request = request.set_stream_arn(connection.stream.arn.clone());
    request.send().await.map_err(|error| connection.call("GetRecords").refusal(&error))
}

fn shard(listed: &aws_sdk_kinesis::types::Shard) -> Shard {
    let parents = [listed.parent_shard_id(), listed.adjacent_parent_shard_id()];
    let ending = listed.sequence_number_range().and_then(|range| range.ending_sequence_number());
    Shard {
        id: SplitId::new(listed.shard_id()),
        parents: parents.into_iter().flatten().map(SplitId::new).collect(),
        closed: ending.is_some(),
        hash_keys: listed
            .hash_key_range()
            .map(|range| (range.starting_hash_key().into(), range.ending_hash_key().into())),
    }
}
