//! Opens what the Kinesis Producer Library packs: many records of the user in one of Kinesis.
//!
//! Layout: four magic bytes, a protobuf message, and the MD5 of that message. Whatever only looks like it — the magic
//! bytes by chance, a digest or a table index that is wrong — is a plain record: nothing is thrown away.

use aws_sdk_kinesis::types::Record;
use md5::{Digest, Md5};
use prost::Message;
use prost::bytes::Bytes;

#[cfg(test)]
mod tests;

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const DIGEST_BYTES: usize = 16;

/// The message between magic bytes and digest.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Aggregate {
    #[prost(string, repeated, tag = "1")]
    pub(super) partition_keys: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) explicit_hash_keys: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    pub(super) records: Vec<Packed>,
}

/// One record of an aggregate.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Packed {
    #[prost(uint64, tag = "1")]
    pub(super) partition_key: u64,
    #[prost(uint64, optional, tag = "2")]
    pub(super) explicit_hash_key: Option<u64>,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) data: Bytes,
}

/// A record of Kinesis, opened.
#[derive(Debug)]
pub(super) enum Opened {
    /// It was one record.
    Plain,
    /// It was an aggregate of these.
    Aggregate(Aggregate),
}

/// Looks whether `record` is an aggregate.
pub(super) fn open(record: &Record) -> Opened {
    match unpack(record.data.as_ref()) {
        Some(aggregate) => Opened::Aggregate(aggregate),
        None => Opened::Plain,
    }
}

fn unpack(data: &[u8]) -> Option<Aggregate> {
    let body = data.strip_prefix(&MAGIC)?;
    let (message, digest) = body.split_at_checked(body.len().checked_sub(DIGEST_BYTES)?)?;
    if Md5::digest(message).as_slice() != digest {
        return None;
    }
    let aggregate = Aggregate::decode(Bytes::copy_from_slice(message)).ok()?;
    let keys = aggregate.partition_keys.len() as u64;
    aggregate.records.iter().all(|packed| packed.partition_key < keys).then_some(aggregate)
}

impl Aggregate {
    /// The partition key of a record in it; [`open`] has checked the table's bounds.
    pub(super) fn key(&self, packed: &Packed) -> &str {
        let at = usize::try_from(packed.partition_key).ok();
        at.and_then(|at| self.partition_keys.get(at)).map_or("", String::as_str)
    }
}
