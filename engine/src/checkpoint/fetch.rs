//! State read back: each segment once, several at a time.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use super::block::Piece;
use super::error::StateError;
use super::segment;
use super::store::StateStore;

/// Segments on their way at a time: enough to fill a line, few enough to hold in memory.
const AT_A_TIME: usize = 8;

/// The rows of all pieces, in their order. `folder` holds the segments.
pub(super) async fn read_blocks(
    store: &StateStore,
    folder: &Path,
    pieces: &[Piece],
) -> Result<Vec<RecordBatch>, StateError> {
    let mut by_segment: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, piece) in pieces.iter().enumerate() {
        by_segment.entry(&piece.segment).or_default().push(number);
    }
    let read = by_segment.into_values().map(|numbers| async move {
        let wanted: Vec<&Piece> = numbers.iter().map(|number| &pieces[*number]).collect();
        // A flip on the way here is gone the second time; one at rest is not.
        let batches = match read_segment(store, folder, &wanted).await {
            Err(StateError::Damaged { .. }) => read_segment(store, folder, &wanted).await?,
            read => read?,
        };
        Ok::<_, StateError>(numbers.into_iter().zip(batches).collect::<Vec<_>>())
    });
    let read: Vec<Vec<(usize, RecordBatch)>> =
        futures::stream::iter(read).buffer_unordered(AT_A_TIME).try_collect().await?;
    let mut batches: Vec<(usize, RecordBatch)> = read.into_iter().flatten().collect();
    batches.sort_by_key(|(number, _)| *number);
    Ok(batches.into_iter().map(|(_, batch)| batch).collect())
}

/// The rows of pieces of one segment, from one request over the range that covers them.
async fn read_segment(store: &StateStore, folder: &Path, pieces: &[&Piece]) -> Result<Vec<RecordBatch>, StateError> {
    let Some(first) = pieces.first() else { return Ok(Vec::new()) };
    let path = folder.clone().join(first.segment.as_str());
    let shown = store.shown(&path);
    let end_of = |piece: &&Piece| piece.offset.saturating_add(piece.length);
    let start = pieces.iter().map(|piece| piece.offset).min().unwrap_or(0);
    let end = pieces.iter().map(end_of).max().unwrap_or(0);

    // Stores tell a range beyond the end from other trouble in ways of their own, so the size comes first.
    match store.size(&path).await? {
        None => return Err(StateError::damaged(shown, "it is missing, and the newest manifest names it")),
        Some(size) if size < end => {
            return Err(StateError::damaged(shown, format_args!("it has {size} bytes, and {end} were written")));
        }
        Some(_) => {}
    }
    let Some(bytes) = store.get(&path, Some(start..end), end - start).await? else {
        return Err(StateError::damaged(shown, "it has just been removed"));
    };
    let batches = pieces.iter().map(|piece| {
        let begin = ((piece.offset - start) as usize).min(bytes.len());
        let bytes = bytes.slice(begin..begin.saturating_add(piece.length as usize).min(bytes.len()));
        segment::decode(bytes, piece)
    });
    batches.collect::<Result<Vec<_>, _>>().map_err(|error| match error {
        StateError::Damaged { what, .. } => StateError::damaged(&shown, what),
        error => error,
    })
}
