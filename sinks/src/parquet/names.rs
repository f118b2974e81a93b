//! Names of folders and files: hive's, so that lake engines read values back from them.
//!
//! | what | name |
//! |---|---|
//! | a partition's folder | `country=DE`, `note=a%2Fb`, `country=__HIVE_DEFAULT_PARTITION__` for null |
//! | a visible file | `orders-00000007-0001.parquet`: pipeline, epoch, number within the epoch |
//! | a staged file | `00000007-12-<nonce>.staged`: the epoch that was open, a number, the process |
//!
//! A staged name does not end in `.parquet`, since `**/*.parquet` looks into `_watershed` too.

/// The folder for values that have no name: null, and the empty string (which readers would refuse).
pub(super) const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// The folder of this project's own files; readers skip names that begin with `_`.
const OWN_FOLDER: &str = "_watershed";

/// The longest name of a folder or a file on the usual file systems, in bytes.
pub(super) const LONGEST_NAME: usize = 255;

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

/// One level of a partition's folder.
pub(super) fn partition(column: &str, value: Option<&str>) -> String {
    format!("{}={}", encode(column), value.map_or_else(|| NO_VALUE.to_owned(), encode))
}

/// The name of a visible file.
pub(super) fn visible(pipeline: &str, epoch: u64, n: u64) -> String {
    format!("{}-{epoch:08}-{n:04}.parquet", encode(pipeline))
}

/// The epoch of a visible file, if `pipeline` wrote it. Exact: `orders` does not claim the files of `orders_by_country`.
pub(super) fn visible_epoch(name: &str, pipeline: &str) -> Option<u64> {
    let mut parts = name.strip_suffix(".parquet")?.rsplitn(3, '-');
    let (n, epoch, writer) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |digits: &str, width: usize| {
        let plain = digits.len() >= width && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<u64>().ok()).flatten()
    };
    number(n, 4)?;
    (writer == encode(pipeline)).then(|| number(epoch, 8)).flatten()
}

/// The folder in which a pipeline stages its files. Regions may share a place, so the region is part of it.
pub(super) fn staged_folder(region: &str, pipeline: &str) -> String {
    format!("{OWN_FOLDER}/staged/{}/{}", encode(region), encode(pipeline))
}

/// The name of a staged file.
pub(super) fn staged(epoch: u64, n: u64, nonce: &str) -> String {
    format!("{epoch:08}-{n}-{nonce}.staged")
}

/// The epoch that was open when a staged file was begun.
pub(super) fn staged_epoch(name: &str) -> Option<u64> {
    name.split_once('-')?.0.parse().ok()
}

/// True if readers skip a name: this project's folder, and whatever else begins with `_` or `.`.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.'])
}
