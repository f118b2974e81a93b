//! A region as the program needs it: every name looked up, every default filled in, every check passed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use globset::Glob;
use url::Url;
use watershed_connectors::{
    FileOptions, GeneratorOptions, MetadataField, ReplayOptions, Secret, StdinOptions, StreamOptions, Surroundings,
};
use watershed_sinks::store::StoreOptions;
use watershed_sinks::{MessageOptions, ParquetOptions, WriterBudget};

use super::fill::Secrets;
use super::origin::SqlOrigin;
use crate::decode::Format;
use crate::diagnostic::Location;
use crate::fingerprint::short_hash;
use crate::registry::RegistryOptions;
use crate::schema::SourceSchema;

/// Everything one region file says.
#[derive(Clone)]
pub struct Region {
    /// `region`.
    pub name: Arc<str>,
    /// The file it was read from.
    pub file: PathBuf,
    /// Where state goes, and how often.
    pub checkpoint: Checkpoint,
    /// How many lanes work side by side.
    pub lanes: usize,
    /// Longest time that a record waits in a buffer.
    pub linger: Duration,
    /// Bytes that state and rows on their way may take of memory.
    pub memory: usize,
    /// How many files of all sinks may be half written at a time; none: as many as `memory` has room for.
    pub open_files: Option<usize>,
    /// Local folder for state beyond that.
    pub spill: PathBuf,
    /// Longest time that a stop may take.
    pub drain_timeout: Duration,
    /// Event streams by name.
    pub sources: BTreeMap<String, SourceConfig>,
    /// Where rows go, by name.
    pub sinks: BTreeMap<String, SinkConfig>,
    /// Reference tables by name.
    pub tables: BTreeMap<String, TableConfig>,
    /// Pipelines by name.
    pub pipelines: BTreeMap<String, PipelineConfig>,
    /// The daemon's own HTTP server, where one is wanted.
    pub http: Option<Http>,
    /// The regions in which this one may run.
    pub residency: Option<Residency>,
    /// What `${…}` stood for. Whoever prints text that may repeat a value passes it through [`Secrets::redact`].
    pub secrets: Secrets,
    pub(super) written: Written,
}

/// A table as the user wrote it. It is what `Debug` shows, so that no filled-in value does.
#[derive(Clone, Default)]
pub struct Written(pub(super) Arc<str>);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[checkpoint]`.
#[derive(Clone)]
pub struct Checkpoint {
    /// Folder or object-store URL; a relative path starts from the current folder.
    pub url: String,
    /// What its store wants to know.
    pub store: StoreOptions,
    /// Time between two checkpoints.
    pub interval: Duration,
}

/// `[http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Address and port to answer on.
    pub listen: SocketAddr,
    /// How others reach it, where that is another address.
    pub url: Option<Url>,
    /// What a request for aggregates must carry; none: there are no answers to such.
    pub query_token: Option<Secret>,
}

impl Http {
    /// Where others ask.
    pub fn address(&self) -> String {
        match &self.url {
            Some(url) => url.as_str().trim_end_matches('/').to_string(),
            None => format!("http://{}", self.listen),
        }
    }
}

/// `[residency]`.
#[derive(Clone)]
pub struct Residency {
    /// Patterns of region names; the region matches one of them, and so does that of every place.
    pub allow: Vec<String>,
}

impl Residency {
    /// True if data may be in `region`.
    pub fn allows(&self, region: &str) -> bool {
        let matches = |pattern: &String| Glob::new(pattern).is_ok_and(|glob| glob.compile_matcher().is_match(region));
        self.allow.iter().any(matches)
    }
}

/// `[sources.<name>]`.
#[derive(Clone)]
pub struct SourceConfig {
    /// Its name in SQL.
    pub name: String,
    /// What the connector may want to know beside its options.
    pub around: Surroundings,
    /// Where the events come from.
    pub connector: ConnectorOptions,
    /// How a record is written.
    pub format: Format,
    /// The registry that has the schemas of records, where they name them by number.
    pub registry: Option<RegistryOptions>,
    /// The columns; none if they were left out and have to be inferred.
    pub schema: Option<SourceSchema>,
    /// The column that says when an event happened.
    pub event_time: Option<String>,
    /// How far the watermark stays behind the newest event.
    pub max_delay: Duration,
    /// Silence after which a split no longer holds back the watermark.
    pub idle_after: Duration,
    /// How far ahead of the clock an event time may be; none: any.
    pub max_future: Option<Duration>,
    /// How records that come twice are told.
    pub deduplicate: Option<Deduplicate>,
    /// What becomes of a bad record.
    pub on_bad: OnBad,
    /// Folder or URL that takes the dead letters; a relative path starts from the current folder.
    pub dead_letters: String,
    /// What their store wants to know.
    pub dead_letters_store: StoreOptions,
    /// Where its table starts in the region file.
    pub location: Location,
    /// Its table as written.
    pub written: Written,
}

/// A connector and its options.
#[derive(Clone)]
pub enum ConnectorOptions {
    /// Files: one path, a glob or a folder.
    File(FileOptions),
    /// Standard input.
    Stdin(StdinOptions),
    /// The built-in load generator.
    Generator(GeneratorOptions),
    /// An archive, read again.
    Replay(ReplayOptions),
    /// An event stream.
    Stream(Arc<dyn StreamOptions>),
}

/// `deduplicate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deduplicate {
    /// Columns that two equal records share.
    pub columns: Vec<String>,
    /// Longest time between the two.
    pub within: Duration,
}

/// What becomes of a record that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBad {
    /// It is kept with its position and the reason.
    DeadLetter,
    /// It is counted and dropped.
    Skip,
    /// It ends the run.
    Fail,
}

/// `[sinks.<name>]`.
#[derive(Clone)]
pub struct SinkConfig {
    /// Its name, as pipelines use it.
    pub name: String,
    /// Where the rows go.
    pub options: SinkOptions,
    /// What becomes of rows while the place does not answer; none: they wait, with everything else.
    pub spill: Option<Spill>,
    /// Who takes rows while the place is down for longer.
    pub standby: Option<Standby>,
    /// Where its table starts in the region file.
    pub location: Location,
    /// Its table as written.
    pub written: Written,
}

/// How rows wait for a sink that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spill {
    /// How many bytes of them may; then the pipeline waits, as well.
    pub limit: u64,
    /// How long a call may take before the sink counts as down.
    pub after: Duration,
}

/// A sink that takes rows in another's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standby {
    /// Its name.
    pub sink: String,
    /// How long the other is down before.
    pub after: Duration,
}

/// A sink and its options.
#[derive(Clone)]
pub enum SinkOptions {
    /// Parquet files; a relative `url` starts from the current folder.
    Parquet(Box<ParquetOptions>),
    /// A Delta table of such files.
    Delta(Box<ParquetOptions>),
    /// Messages to a place that takes such.
    Messages(Arc<dyn MessageOptions>),
    /// Standard output.
    Stdout,
    /// Nowhere.
    Null,
}

/// `[tables.<name>]`: data that a pipeline joins.
#[derive(Clone)]
pub struct TableConfig {
    /// Its name in SQL.
    pub name: String,
    /// File, folder or object-store URL; a relative path starts from the current folder.
    pub url: String,
    /// What its store wants to know.
    pub store: StoreOptions,
    /// How the data is written.
    pub format: TableFormat,
    /// Time after which it is read again; none: never.
    pub refresh: Option<Duration>,
    /// The columns; none if they are taken from the data.
    pub schema: Option<SourceSchema>,
    /// Where its table starts in the region file.
    pub location: Location,
    /// Its table as written.
    pub written: Written,
}

/// How a reference table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// Parquet.
    Parquet,
    /// CSV with a header.
    Csv,
    /// JSON lines.
    Json,
}

/// `[pipelines.<name>]`.
#[derive(Clone)]
pub struct PipelineConfig {
    /// Its name: part of file names, and the table that `watershed query` knows it by.
    pub name: String,
    /// The statement.
    pub sql: String,
    /// Where the statement stands, to show errors in it.
    pub origin: SqlOrigin,
    /// The sinks that take its rows, at least one; behind them their standbys.
    pub sinks: Vec<String>,
    /// How long a window stays open for events behind the watermark.
    pub allowed_lateness: Duration,
    /// Puts out windows without rows, too.
    pub emit_empty: bool,
    /// The sink that takes late rows.
    pub late: Option<String>,
    /// Where its table starts in the region file.
    pub location: Location,
    /// Its table as written.
    pub written: Written,
}

impl Region {
    /// A budget for all sinks with files that write at the same time. Each call makes another.
    pub fn writers(&self) -> Arc<WriterBudget> {
        WriterBudget::of_memory(self.memory, self.open_files)
    }

    /// A hash of the file as written, without what secrets it was filled with.
    pub fn hash(&self) -> String {
        short_hash(&self.written.to_string())
    }
}

impl ConnectorOptions {
    /// The value of `connector`.
    pub fn connector(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Stdin(_) => "stdin",
            Self::Generator(_) => "generator",
            Self::Replay(_) => "replay",
            Self::Stream(options) => options.connector(),
        }
    }

    /// What positions belong to. Files are told by their names; what a generator or a replay gives depends on all its
    /// options.
    pub fn identity(&self) -> String {
        let all = |options: &dyn fmt::Debug| short_hash(&format!("{options:?}"));
        match self {
            Self::File(_) | Self::Stdin(_) => self.connector().to_string(),
            Self::Generator(options) => format!("generator {}", all(options)),
            Self::Replay(options) => format!("replay {}", all(options)),
            Self::Stream(options) => options.identity(),
        }
    }

    /// The event times that are asked for, in microseconds; none if all are.
    pub fn range(&self) -> Option<Range<i64>> {
        match self {
            Self::Replay(options) => options.range(),
            Self::File(_) | Self::Stdin(_) | Self::Generator(_) | Self::Stream(_) => None,
        }
    }

    /// The columns that come beside the payload on request.
    pub fn metadata(&self) -> &'static [MetadataField] {
        match self {
            Self::Stream(options) => options.metadata(),
            Self::File(_) | Self::Stdin(_) | Self::Generator(_) | Self::Replay(_) => &[],
        }
    }
}

impl SinkOptions {
    /// The value of `connector`.
    pub fn connector(&self) -> &'static str {
        match self {
            Self::Parquet(_) => "parquet",
            Self::Delta(_) => "delta",
            Self::Messages(options) => options.connector(),
            Self::Stdout => "stdout",
            Self::Null => "null",
        }
    }

    /// Where it writes files, and how; none if it writes none.
    pub fn files(&self) -> Option<&ParquetOptions> {
        match self {
            Self::Parquet(options) | Self::Delta(options) => Some(options),
            Self::Messages(_) | Self::Stdout | Self::Null => None,
        }
    }
}

/// Only which one: options may hold filled-in values.
impl fmt::Debug for ConnectorOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.connector())
    }
}

/// Only which one: options may hold filled-in values.
impl fmt::Debug for SinkOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.connector())
    }
}

/// Without the URL, which may hold filled-in values.
impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint").field("interval", &self.interval).finish_non_exhaustive()
    }
}

/// How many patterns; they may hold filled-in values.
impl fmt::Debug for Residency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Residency({})", self.allow.len())
    }
}

macro_rules! debug_as_written {
    ($($type:ident)+) => {$(
        /// The table as written: filled-in values are never shown.
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), " {}"), self.written)
            }
        }
    )+};
}

debug_as_written!(Region SourceConfig SinkConfig TableConfig PipelineConfig);
