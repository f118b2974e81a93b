use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::super::checkpoint::Checkpoint;
use super::super::rows::missing;
use crate::kinesis::lineage::Shard;
use crate::source::SplitId;
use crate::start::Start;

/// Shards by id, with parents; an exclamation mark says that it is closed.
fn shards(text: &str) -> Vec<Shard> {
    let shard = |word: &str| {
        let (id, parents) = word.split_once('<').unwrap_or((word, ""));
        Shard {
            id: SplitId::new(id.trim_end_matches('!')),
            parents: parents.split('+').filter(|parent| !parent.is_empty()).map(SplitId::new).collect(),
            closed: id.ends_with('!'),
            hash_keys: None,
        }
    };
    text.split_whitespace().map(shard).collect()
}

#[test]
fn every_shard_that_is_to_be_read_gets_a_row_once() {
    let moment = Start::At(DateTime::<Utc>::from_timestamp_millis(5_000).unwrap());
    let table = [
        // All, parents first, in whatever order they are listed.
        ("c<b b!<a a!", "", Start::Earliest, "a TRIM_HORIZON, b TRIM_HORIZON, c TRIM_HORIZON"),
        ("c<b b!<a a!", "", moment, "a AT_TIMESTAMP, b AT_TIMESTAMP, c AT_TIMESTAMP"),
        // What is closed is past.
        ("a! b<a c<a d", "", Start::Latest, "d LATEST, b LATEST, c LATEST"),
        // What continues a shard that is read is read from its beginning, however often it was split meanwhile.
        ("a! b!<a c<a d<b", "a", Start::Latest, "b TRIM_HORIZON, c TRIM_HORIZON, d TRIM_HORIZON"),
        ("a! b! c<a+b", "a b", Start::Latest, "c TRIM_HORIZON"),
        ("a! b! c<a+b", "b", Start::Latest, "c TRIM_HORIZON"),
        // A daemon died while it added rows.
        ("a b c", "a", Start::Latest, "b LATEST, c LATEST"),
        ("a b c", "a", Start::Earliest, "b TRIM_HORIZON, c TRIM_HORIZON"),
        // Rows of finished shards may be removed: they do not come back.
        ("a! b!<a c<b d<b", "c d", Start::Earliest, ""),
        ("a! b!<a c<b d<b", "c d", moment, ""),
        ("a! b c<a", "a b c", Start::Earliest, ""),
        // The parent is not listed any more.
        ("b<a", "", Start::Earliest, "b TRIM_HORIZON"),
        ("b<a", "a", Start::Latest, "b TRIM_HORIZON"),
    ];
    for (listed, rows, start, expected) in table {
        let rows: BTreeSet<&str> = rows.split_whitespace().collect();
        let added = missing(&shards(listed), &rows, start, 1_000);
        let text: Vec<String> = added.iter().map(|lease| format!("{} {}", lease.shard, lease.checkpoint)).collect();
        assert_eq!(text.join(", "), expected, "{listed} beside {rows:?} from {start:?}");
        for lease in added {
            let since = match lease.checkpoint {
                Checkpoint::Latest => Some(1_000),
                Checkpoint::AtTimestamp => Some(5_000),
                _ => None,
            };
            assert_eq!(lease.since, since);
        }
    }
}

#[test]
fn a_row_names_parents_and_children() {
    let added = missing(&shards("a! b! c<a+b"), &BTreeSet::new(), Start::Earliest, 0);
    assert_eq!(added[0].children, ["c"]);
    assert_eq!(added[2].parents, ["a", "b"]);
}
