//! Arrow's IPC messages, read from bytes that nobody vouches for.
//!
//! The one idea: what a message says of itself — lengths, rows, sizes after decompression — is checked against what its
//! bytes can pay for before the Arrow library believes it, as that allocates what it is told. What the library makes of
//! bytes that are broken all the same is caught.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{read_dictionary, read_record_batch};
use arrow::ipc::{self, CompressionType, MessageHeader, root_as_message};

mod lz4;
#[cfg(test)]
mod tests;

/// Bytes in front of a message: a mark and the length of its metadata.
pub(crate) const PREFIX: usize = 8;
/// The longest metadata of a message.
const MAX_METADATA: usize = 16 << 20;
/// What the body of one message may take when it is decompressed: a batch is held whole.
pub(crate) const MAX_BODY: u64 = 256 << 20;
/// Rows that a batch may have whatever it weighs; beyond, it has a byte for each. Columns of nulls weigh nothing.
const FREE_ROWS: u64 = 1 << 20;

const CONTINUATION: [u8; 4] = [0xff; 4];

/// Reads the messages of one stream in their order.
pub(crate) struct Messages {
    schema: Option<SchemaRef>,
    dictionaries: HashMap<i64, ArrayRef>,
    /// What all bodies together may still take; none: each is measured by itself.
    left: Option<u64>,
}

impl Messages {
    /// Of a stream of any length.
    pub(crate) fn new() -> Self {
        Self { schema: None, dictionaries: HashMap::new(), left: None }
    }

    /// Of a stream that is held whole: all of it may take as much as one batch.
    fn held() -> Self {
        Self { left: Some(MAX_BODY), ..Self::new() }
    }

    /// Takes one whole message, prefix and body included; gives the rows if it holds some. After an error nothing more can
    /// be read.
    pub(crate) fn take(&mut self, message: &Buffer, metadata: Range<usize>) -> Result<Option<RecordBatch>, String> {
        match catch_unwind(AssertUnwindSafe(|| self.read(message, metadata))) {
            Ok(read) => read.map_err(|error| match error {
                ArrowError::IpcError(what) => broken(&what),
                other => broken(&other.to_string()),
            }),
            Err(_) => Err(broken("its bytes make no sense")),
        }
    }

    fn read(&mut self, bytes: &Buffer, metadata: Range<usize>) -> Result<Option<RecordBatch>, ArrowError> {
        let body = bytes.slice(metadata.end);
        let message = root_as_message(&bytes[metadata]).map_err(|error| wrong(error.to_string()))?;
        let size = check(&message, &body)?;
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(size).ok_or_else(too_large)?;
        }
        if let Some(schema) = message.header_as_schema() {
            let schema = fb_to_schema(schema);
            schema.fields().iter().try_for_each(|field| supported(field)).map_err(wrong)?;
            self.schema = Some(Arc::new(schema));
            return Ok(None);
        }
        let schema = self.schema.clone().ok_or_else(|| wrong("a batch comes before the schema"))?;
        if let Some(batch) = message.header_as_dictionary_batch() {
            read_dictionary(&body, batch, &schema, &mut self.dictionaries, &message.version())?;
            let held: usize = self.dictionaries.values().map(|values| values.get_buffer_memory_size()).sum();
            return if held as u64 > MAX_BODY { Err(too_large()) } else { Ok(None) };
        }
        let batch = message.header_as_record_batch().ok_or_else(|| wrong("a batch is missing from its message"))?;
        read_record_batch(&body, batch, schema, &self.dictionaries, None, &message.version()).map(Some)
    }

    /// True once the schema is known.
    pub(crate) fn begun(&self) -> bool {
        self.schema.is_some()
    }
}

fn wrong(what: impl Into<String>) -> ArrowError {
    ArrowError::IpcError(what.into())
}

fn too_large() -> ArrowError {
    wrong(format!("it takes more than {MAX_BODY} bytes; write smaller batches"))
}

fn broken(what: &str) -> String {
    format!("not valid Arrow IPC: {what}")
}

/// The length of the metadata that follows a prefix; none at the end of a stream.
pub(crate) fn metadata_len(prefix: [u8; PREFIX]) -> Result<Option<usize>, String> {
    let [mark @ .., l0, l1, l2, l3] = prefix;
    if mark != CONTINUATION {
        return Err(broken("a message does not begin where it should"));
    }
    match usize::try_from(i32::from_le_bytes([l0, l1, l2, l3])) {
        Ok(0) => Ok(None),
        Ok(len) if len <= MAX_METADATA => Ok(Some(len)),
        _ => Err(broken("the length of a message's metadata is out of range")),
    }
}

/// What a message is, and the length of its body.
pub(crate) fn head(metadata: &[u8]) -> Result<(MessageHeader, u64), String> {
    let message = root_as_message(metadata).map_err(|error| broken(&error.to_string()))?;
    match u64::try_from(message.bodyLength()) {
        Ok(len) if len <= MAX_BODY => Ok((message.header_type(), len)),
        _ => Err(broken(&format!("it takes more than {MAX_BODY} bytes; write smaller batches"))),
    }
}

/// All rows of one stream, batch by batch.
///
/// # Errors
/// Says why, if any of it can't be read.
pub fn batches(bytes: &[u8]) -> Result<Vec<RecordBatch>, String> {
    let mut messages = Messages::held();
    let mut batches = Vec::new();
    let mut at = 0;
    let early = || broken("it ends too early");
    while at < bytes.len() {
        let prefix = bytes[at..].first_chunk().ok_or_else(early)?;
        let Some(len) = metadata_len(*prefix)? else { break };
        let metadata = at + PREFIX..at + PREFIX + len;
        let (_, body) = head(bytes.get(metadata.clone()).ok_or_else(early)?)?;
        let end = metadata.end + body as usize;
        let message = Buffer::from(bytes.get(at..end).ok_or_else(early)?);
        batches.extend(messages.take(&message, PREFIX..PREFIX + len)?);
        at = end;
    }
    if messages.begun() { Ok(batches) } else { Err(broken("it holds no schema")) }
}

/// Refuses encodings in which a few bytes stand for any number of values.
fn supported(field: &Field) -> Result<(), String> {
    match field.data_type() {
        DataType::RunEndEncoded(..) => {
            let name = field.name();
            Err(format!("column `{name}` is run-end encoded, which is not read; write it plain or as a dictionary"))
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => supported(item),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| supported(field)),
        DataType::Union(fields, _) => fields.iter().try_for_each(|(_, field)| supported(field)),
        _ => Ok(()),
    }
}

/// Checks what a message says of its body; gives what it takes in memory.
fn check(message: &ipc::Message<'_>, body: &[u8]) -> Result<u64, ArrowError> {
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|batch| batch.data()),
        MessageHeader::Schema => return Ok(0),
        _ => return Err(wrong("a message is neither schema nor batch")),
    };
    let batch = batch.ok_or_else(|| wrong("a batch is missing from its message"))?;
    let bytes = decompressed(&batch, body).map_err(wrong)?;
    if bytes > MAX_BODY {
        return Err(too_large());
    }
    let most = FREE_ROWS.max(bytes);
    let fits = |rows: i64| u64::try_from(rows).is_ok_and(|rows| rows <= most);
    if !fits(batch.length()) || !batch.nodes().iter().flatten().all(|node| fits(node.length())) {
        return Err(wrong("a batch says that it has more rows than its bytes can hold"));
    }
    Ok(bytes)
}

/// What the buffers of a batch take in memory.
fn decompressed(batch: &ipc::RecordBatch<'_>, body: &[u8]) -> Result<u64, &'static str> {
    let mut total = 0u64;
    for buffer in batch.buffers().iter().flatten() {
        let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let range = range.and_then(|(start, len)| Some(start..start.checked_add(len)?));
        let bytes = range.and_then(|range| body.get(range)).ok_or("a buffer lies outside its message")?;
        let size = match batch.compression() {
            Some(compression) if !bytes.is_empty() => decompressed_buffer(bytes, compression.codec())?,
            _ => bytes.len() as u64,
        };
        total = total.saturating_add(size);
    }
    Ok(total)
}

fn decompressed_buffer(bytes: &[u8], codec: CompressionType) -> Result<u64, &'static str> {
    let (size, packed) = bytes.split_first_chunk().ok_or("a compressed buffer is too short")?;
    match i64::from_le_bytes(*size) {
        -1 => Ok(packed.len() as u64),
        size => {
            let size = u64::try_from(size).map_err(|_| "the size of a buffer is negative")?;
            // Zstandard is unpacked into that many bytes and no more; LZ4 into as many as there are.
            if codec == CompressionType::LZ4_FRAME && lz4::least_size(packed)? > size {
                return Err("a buffer holds more than it says");
            }
            Ok(size)
        }
    }
}
