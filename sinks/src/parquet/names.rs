//! Names of folders and files: hive's, so that lake engines read values back from them.
//!
//! | what | name |
//! |---|---|
//! | a partition's folder | `country=DE`, `note=a%2Fb`, `country=__HIVE_DEFAULT_PARTITION__` for null |
//! | a visible file | `orders-00000007-0001.parquet`: pipeline, epoch, number within the epoch |
//! | one that was uploaded | `orders-00000007-3141592653580000001.parquet`: the number has that of the process in it |
//! | one that was merged from others | `orders-00000007-13141592653580000001.parquet`: the same, with twenty digits; the epoch: the greatest of theirs |
//! | a staged file | `00000007-12-<process>.staged`: the epoch that was open, a number, the process |
//! | a process that uploads | `00000007-314159265358.process`: the epoch that was open, the process |
//!
//! A staged name does not end in `.parquet`, since `**/*.parquet` looks into `_watershed` too.

use std::collections::HashMap;

/// The folder for values that have no name: null, and the empty string (which readers would refuse).
pub(super) const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// The folder of this project's own files; readers skip names that begin with `_`.
const OWN_FOLDER: &str = "_watershed";

/// The longest name of a folder or a file on the usual file systems, in bytes.
pub(super) const LONGEST_NAME: usize = 255;

/// A file a second for four months.
const FILES_OF_A_PROCESS: u64 = 10_000_000;

/// With the files of each, they fit 64 bits.
const PROCESSES: u64 = 1_000_000_000_000;

/// Beyond those, as many as 64 bits still hold, almost: of processes that merge files.
const MERGING_PROCESSES: u64 = 800_000_000_000;

/// `value` as (part of) a folder's name: hive's set of characters is escaped as `%XX`, everything else stays.
pub(super) fn encode(value: &str) -> String {
    match value {
        "" => return NO_VALUE.to_owned(),
        // These two name other folders.
        "." => return "%2E".to_owned(),
        ".." => return "%2E%2E".to_owned(),
        _ => {}
    }
    let mut name = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\0'..='\x1f'
            | '\x7f'
            | '"'
            | '#'
            | '%'
            | '\''
            | '*'
            | '/'
            | ':'
            | '='
            | '?'
            | '\\'
            | '{'
            | '}'
            | '['
            | ']'
            | '^'
            | '<'
            | '>'
            | '|' => name.push_str(&format!("%{:02X}", u32::from(c))),
            other => name.push(other),
        }
    }
    name
}

/// What [`encode`] made a name of; none if it stands for no value.
fn decode(name: &str) -> Option<String> {
    if name == NO_VALUE {
        return None;
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The values that the folders of a key stand for, by the names of their levels.
pub(crate) fn partition_values(key: &str) -> HashMap<String, Option<String>> {
    let levels = key.split('/').filter_map(|folder| folder.split_once('='));
    levels.filter_map(|(name, value)| Some((decode(name)?, decode(value)))).collect()
}

/// One level of a partition's folder.
pub(super) fn partition(column: &str, value: Option<&str>) -> String {
    format!("{}={}", encode(column), value.map_or_else(|| NO_VALUE.to_owned(), encode))
}

/// The name of a visible file.
pub(super) fn visible(pipeline: &str, epoch: u64, n: u64) -> String {
    format!("{}-{epoch:08}-{n:04}.parquet", encode(pipeline))
}

/// The epoch of a visible file, if `pipeline` wrote it. Exact: `orders` does not claim the files of `orders_by_country`.
pub(crate) fn visible_epoch(name: &str, pipeline: &str) -> Option<u64> {
    visible_parts(name, pipeline).map(|(epoch, _)| epoch)
}

/// The number of a visible file, if `pipeline` wrote it.
pub(super) fn visible_number(name: &str, pipeline: &str) -> Option<u64> {
    visible_parts(name, pipeline).map(|(_, n)| n)
}

fn visible_parts(name: &str, pipeline: &str) -> Option<(u64, u64)> {
    let mut parts = name.strip_suffix(".parquet")?.rsplitn(3, '-');
    let (n, epoch, writer) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |digits: &str, width: usize| {
        let plain = digits.len() >= width && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<u64>().ok()).flatten()
    };
    (writer == encode(pipeline)).then(|| Some((number(epoch, 8)?, number(n, 4)?))).flatten()
}

/// The number in the name of an uploaded file. Two processes never have the same one, so that no key is used twice.
pub(super) fn uploaded(process: u64, n: u64) -> u64 {
    process * FILES_OF_A_PROCESS + n
}

/// The process whose number is in that of an uploaded file.
pub(super) fn process_of(number: u64) -> u64 {
    number / FILES_OF_A_PROCESS
}

/// The number of a process, from anything random: with a million millions of them, two that work on one epoch of one
/// pipeline do not draw the same.
pub(super) fn process(random: u64) -> u64 {
    1 + random % (PROCESSES - 1)
}

/// The number of a process that merges files: never that of one that writes epochs.
pub(super) fn merging_process(random: u64) -> u64 {
    PROCESSES + random % MERGING_PROCESSES
}

/// Whether a visible file was merged from others, if `pipeline` wrote it.
pub(super) fn is_merged(name: &str, pipeline: &str) -> bool {
    visible_number(name, pipeline).is_some_and(|number| process_of(number) >= PROCESSES)
}

/// The name of the marker that a process leaves where it uploads.
pub(super) fn marker(epoch: u64, process: u64) -> String {
    format!("{epoch:08}-{process:012}.process")
}

/// The process that left a marker.
pub(super) fn marked_process(name: &str) -> Option<u64> {
    name.strip_suffix(".process")?.split_once('-')?.1.parse().ok()
}

/// The folder in which a pipeline stages its files. Regions may share a place, so the region is part of it.
pub(super) fn staged_folder(region: &str, pipeline: &str) -> String {
    format!("{OWN_FOLDER}/staged/{}/{}", encode(region), encode(pipeline))
}

/// The folder in which a pipeline stages the files that it merges.
pub(super) fn merging_folder(region: &str, pipeline: &str) -> String {
    format!("{OWN_FOLDER}/merging/{}/{}", encode(region), encode(pipeline))
}

/// The name of a staged file.
pub(super) fn staged(epoch: u64, n: u64, process: u64) -> String {
    format!("{epoch:08}-{n}-{process:012}.staged")
}

/// The epoch that was open when a staged file, or a process, began.
pub(super) fn staged_epoch(name: &str) -> Option<u64> {
    name.split_once('-')?.0.parse().ok()
}

/// True if readers skip a name: this project's folder, and whatever else begins with `_` or `.`.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.'])
}
