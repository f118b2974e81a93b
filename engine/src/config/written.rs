//! The region file as written: every table of it with its keys, their defaults and their docs.
//!
//! Nothing here is checked beyond its type; [`super::resolve`] turns it into what the program needs.

use std::fmt;
use std::time::Duration;

use serde::de::{IgnoredAny, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_spanned::Spanned as At;
use watershed_sinks::ByteSize;

use super::keys::keys;

/// Longest duration that means anything here.
const MAX_DURATION: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// Tables at the top of the file, which are read one by one.
pub(super) const SECTIONS: [&str; 7] = ["checkpoint", "http", "residency", "sources", "sinks", "tables", "pipelines"];

keys! {
    pub(super) struct RegionKeys {
        /// Name of the region: part of every path that is written, and what [residency] is about.
        region: At<String> = required,
        /// How many lanes work side by side, 1 to 1024.
        lanes: Option<At<i64>> = words "one for each core",
        /// Longest time that a record waits for others to be worked on together with it.
        linger: At<Period> = value "\"5ms\"",
        /// What state and rows on their way may take of memory, as in "4GB": beyond it state goes to the local disk, and
        /// sources wait.
        memory: At<ByteSize> = value "\"2GB\"",
        /// How many files of all sinks may be half written at a time, 1 to 65536; beyond it the least recently used is closed.
        open_files: Option<At<i64>> = words "one for each 20 MiB of `memory`, 16 to 256",
        /// Folder on a local disk for state that is beyond `memory`.
        spill: Option<At<String>> = words "var/<region>/spill",
        /// How long a stop may take: what was read is finished and committed in this time, or left to the next run.
        drain_timeout: At<Period> = value "\"30s\"",
    }
}

keys! {
    pub(super) struct CheckpointKeys {
        /// Folder or object-store URL that takes the state.
        url: Option<At<String>> = words "var/<region>/state",
        /// Time between two checkpoints: what a crash costs at most in work done again.
        interval: At<Period> = value "\"10s\"",
    }
}

keys! {
    pub(super) struct StoreKeys {
        /// The server to ask in place of the cloud's, as in "https://minio.example:9000"; http:// goes without TLS.
        endpoint: Option<String> = words "AWS_ENDPOINT_URL, AZURE_STORAGE_ENDPOINT or GOOGLE_BASE_URL, else the cloud's own",
        /// S3: the bucket's region.
        aws_region: Option<String> = words "AWS_REGION, else us-east-1",
        /// Where the place lies, which [residency] wants to know where neither its address nor the store tells: required for
        /// Azure.
        location: Option<String> = words "by the address, or the bucket",
        /// S3: who asks.
        access_key_id: Option<String> = words "the environment's, else those of the machine's role",
        /// S3: belongs to `access_key_id`.
        secret_access_key: Option<String> = words "none",
        /// S3: belongs to `access_key_id`, for temporary credentials.
        session_token: Option<String> = words "none",
        /// S3: who asks, by a profile of AWS's configuration files.
        profile: Option<String> = words "none; AWS_PROFILE is not read",
        /// S3: a role to assume, by keys that are found otherwise.
        role_arn: Option<String> = words "none",
        /// Azure: the storage account, where the URL does not name it.
        account: Option<String> = words "AZURE_STORAGE_ACCOUNT_NAME",
        /// Azure: a key of the account.
        account_key: Option<String> = words "the environment's, else the machine's identity",
        /// Azure: a shared access signature, in place of a key.
        sas_token: Option<String> = words "none",
        /// Azure: the connection string of the account, in place of the three.
        connection_string: Option<String> = words "none",
        /// Azure: the tenant of `client_id`.
        tenant_id: Option<String> = words "AZURE_STORAGE_TENANT_ID",
        /// Azure: an application of Entra; without `client_secret`, a managed identity.
        client_id: Option<String> = words "AZURE_STORAGE_CLIENT_ID",
        /// Azure: belongs to `client_id`.
        client_secret: Option<String> = words "none",
        /// Google: a file with the key of a service account.
        credentials: Option<String> = words "the environment's, else those of the machine",
        /// S3: who encrypts what is written: "AES256", "aws:kms", "aws:kms:dsse", or "customer".
        sse: Option<EncryptionKey> = words "the bucket's default",
        /// The key to encrypt with: of S3 with sse = "aws:kms"; of Google whatever is written, state and logs included.
        kms_key: Option<String> = words "the bucket's default",
        /// S3: the key of sse = "customer", 32 bytes in base64; readers need it, too.
        customer_key: Option<String> = words "none",
        /// S3 and Google: the storage class of a lake's files, such as "STANDARD_IA" or "NEARLINE". State and logs have none.
        storage_class: Option<String> = words "the bucket's default",
        /// S3: whoever asks pays for it, not the bucket's owner.
        request_payer: Option<bool> = words "false",
        /// A proxy to go through, as in "http://proxy:3128".
        proxy: Option<String> = words "HTTPS_PROXY",
        /// What a request may take, beside the time that its bytes take at 512 KiB a second.
        timeout: Option<Period> = words "\"30s\"",
        /// How often the client itself asks again at once.
        retries: Option<u32> = words "2 for what is written, 10 for what is read",
        /// How long what is written is tried again, with pauses that grow, before the run ends.
        patience: Option<Period> = words "\"10m\"",
        /// How many parts of files are on their way at a time; each takes 5 MiB of memory or more.
        max_uploads: Option<u32> = words "8",
    }
}

keys! {
    pub(super) struct HttpKeys {
        /// Address and port that the daemon answers on.
        listen: At<String> = required,
        /// How others reach it, as in "https://watershed-eu.acme.internal"; `watershed query --all` asks there.
        url: Option<At<String>> = words "http:// and `listen`",
        /// Bearer token of whoever may ask for aggregates of what the pipelines wrote, at /query.
        query_token: Option<At<String>> = words "nobody may ask",
    }
}

keys! {
    pub(super) struct ResidencyKeys {
        /// Patterns of region names; this file's region must match one of them, and the region of every place that data goes to.
        allow: At<Vec<At<String>>> = required,
    }
}

keys! {
    #[expect(dead_code, reason = "what has places inside it is read from the tree")]
    pub(super) struct SourceKeys {
        /// Where the events come from.
        connector: At<String> = required,
        /// How a record is written: "json" (one object a record), "csv", "avro", "protobuf", "arrow", "raw" (the record as it
        /// is), or "parquet" (replays only), or a table such as { type = "csv", delimiter = ";" }.
        format: Option<IgnoredAny> = words "\"json\"",
        /// The columns: name = "type", or name = { type = "timestamp", format = "epoch_ms" }.
        schema: Option<IgnoredAny> = words "inferred by `watershed check`, which prints it for you to paste",
        /// A TOML file with the columns, for schemas that several regions share; its path starts from this file's folder.
        schema_file: Option<At<String>> = words "no file",
        /// Columns of the message beside its payload, such as ["_partition", "_ingest_time"]; each connector has its own.
        metadata: Option<At<Vec<At<String>>>> = words "none",
        /// The column that says when an event happened, a timestamp or date. Windows need it.
        event_time: Option<At<String>> = words "none; a generator brings its own",
        /// How far out of order events may come: the watermark stays this far behind the newest event.
        max_delay: At<Period> = value "\"0s\"",
        /// Silence after which a split no longer holds back the watermark.
        idle_after: At<Period> = value "\"10s\"",
        /// How far ahead of the clock an event time may be before the record is bad; "off" takes any.
        max_future: Option<At<MaxFuture>> = words "\"1h\"; \"off\" for files, standard input, replays and bounded generators",
        /// Records that come twice are taken once: { key = "event_id", within = "10m" }. `key` is a column or several,
        /// `within` the event time that may lie between the first and the second.
        deduplicate: Option<IgnoredAny> = words "every record is taken",
        /// What becomes of a record that cannot be read.
        on_bad: OnBadKey = value "\"dead_letter\"",
        /// Folder or URL that takes the dead letters, or a table such as { url = "s3://…", aws_region = "…" } with keys of its
        /// store.
        dead_letters: Option<IgnoredAny> = words "var/<region>/dead_letters/<source>",
    }
}

keys! {
    pub(super) struct DeduplicateKeys {
        /// The column, or columns, that two records share if they are the same.
        key: At<OneOrMore> = required,
        /// Longest time between the first and the second, in event time; in time of arrival where there is no event time.
        within: At<Period> = required,
    }
}

keys! {
    pub(super) struct FormatKeys {
        /// "json", "csv", "avro", "protobuf", "arrow", "raw" or "parquet".
        r#type: At<String> = required,
        /// CSV: the character between fields.
        delimiter: Option<At<String>> = words "\",\"",
        /// CSV: the character around fields that hold a delimiter.
        quote: Option<At<String>> = words "a double quote",
        /// CSV: true if the first line names the columns.
        header: Option<At<bool>> = words "true",
        /// CSV: the text that stands for null, beside nothing at all.
        null: Option<At<String>> = words "an empty field",
        /// Avro: the file, or a list of files, with the schemas that messages were written with. A message that does not name
        /// its schema was written with the first.
        schema_file: Option<At<OneOrMore>> = words "none; files bring theirs along",
        /// Protobuf: a file with a FileDescriptorSet, as compilers write it.
        descriptor: Option<At<String>> = words "none",
        /// Protobuf: a .proto file; what it imports is looked for from its folder.
        proto: Option<At<String>> = words "none",
        /// Protobuf: the full name of the message.
        message: Option<At<String>> = words "the only one of the file; with a registry, the one that each message names",
        /// Avro and protobuf: the URL of a schema registry, where messages name their schemas by number.
        registry: Option<At<String>> = words "none",
        /// Of the registry: the user.
        username: Option<At<String>> = words "none",
        /// Of the registry: the password.
        password: Option<At<String>> = words "none",
        /// Of the registry: a bearer token, in place of user and password.
        token: Option<At<String>> = words "none",
        /// Of the registry: { ca = "ca.pem" }, a file with the certificates to trust.
        tls: Option<RegistryTls> = words "the system's roots",
    }
}

keys! {
    #[expect(dead_code, reason = "what has places inside it is read from the tree")]
    pub(super) struct FieldKeys {
        /// The column's SQL type.
        r#type: At<String> = required,
        /// How a timestamp is spelled: epoch_s, epoch_ms, epoch_us, epoch_ns or a strptime pattern.
        format: Option<At<String>> = words "RFC 3339",
    }
}

keys! {
    pub(super) struct SinkKeys {
        /// Where the rows go.
        connector: At<String> = required,
        /// What becomes of the rows while the place does not answer: "wait" for it, with everything else, or "spill" them to
        /// the local disk and go on.
        on_outage: At<OnOutageKey> = value "\"wait\"",
        /// With on_outage = "spill": how many bytes of rows may wait for the place before the pipeline does, as well.
        spill_limit: Option<At<ByteSize>> = words "\"10GB\"",
        /// With on_outage = "spill": another sink, which takes the rows of epochs that come while this one is down for longer.
        standby: Option<At<String>> = words "none",
        /// How long this one is down before `standby` takes over.
        standby_after: Option<At<Period>> = words "\"5m\"",
    }
}

keys! {
    #[expect(dead_code, reason = "what has places inside it is read from the tree")]
    pub(super) struct TableKeys {
        /// File, folder or object-store URL of the data.
        url: At<String> = required,
        /// "parquet", "csv" or "json".
        format: Option<At<TableFormatKey>> = words "by the extension of `url`",
        /// Time after which the table is read again.
        refresh: Option<At<Period>> = words "never",
        /// The columns, as for a source.
        schema: Option<IgnoredAny> = words "inferred from the data",
        /// A TOML file with the columns; its path starts from this file's folder.
        schema_file: Option<At<String>> = words "no file",
    }
}

keys! {
    pub(super) struct PipelineKeys {
        /// The SQL itself.
        sql: Option<At<String>> = words "from `sql_file`",
        /// A file with the SQL; its path starts from this file's folder.
        sql_file: Option<At<String>> = words "none, where `sql` is given",
        /// The sink that takes the rows.
        sink: Option<At<String>> = words "none, where `sinks` is given",
        /// Several sinks that all take the rows.
        sinks: Option<At<Vec<At<String>>>> = words "none, where `sink` is given",
        /// How long a window stays open for events behind the watermark.
        allowed_lateness: At<Period> = value "\"0s\"",
        /// Puts out windows without rows, too: each that lies between two windows with rows. For aggregates that have no
        /// keys beside the window.
        emit_empty: At<bool> = value "false",
        /// A sink that takes the rows that came too late.
        late: Option<At<String>> = words "they are counted and dropped",
    }
}

impl FormatKeys {
    /// A format of which nothing but its name is written.
    pub(super) fn named(name: At<String>) -> Self {
        Self {
            r#type: name,
            delimiter: None,
            quote: None,
            header: None,
            null: None,
            schema_file: None,
            descriptor: None,
            proto: None,
            message: None,
            registry: None,
            username: None,
            password: None,
            token: None,
            tls: None,
        }
    }
}

/// `tls` of a registry.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistryTls {
    pub(super) ca: String,
}

/// A name, or a list of names.
#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "a name, or a list of names")]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::More(names) => names,
        }
    }
}

/// `sse`.
#[derive(Clone, Copy, Deserialize)]
pub(super) enum EncryptionKey {
    #[serde(rename = "AES256")]
    S3,
    #[serde(rename = "aws:kms")]
    Kms,
    #[serde(rename = "aws:kms:dsse")]
    KmsTwice,
    #[serde(rename = "customer")]
    Customer,
}

/// `on_outage`.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnOutageKey {
    Wait,
    Spill,
}

/// `on_bad`.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnBadKey {
    DeadLetter,
    Skip,
    Fail,
}

/// `format` of a reference table.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TableFormatKey {
    Parquet,
    Csv,
    Json,
}

/// A duration such as "10s".
#[derive(Clone, Copy)]
pub(super) struct Period(pub(super) Duration);

/// `max_future`.
#[derive(Clone, Copy)]
pub(super) enum MaxFuture {
    Off,
    Ahead(Duration),
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(PeriodVisitor { or_off: false }).map(|period| Self(period.unwrap_or_default()))
    }
}

impl<'de> Deserialize<'de> for MaxFuture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let period = deserializer.deserialize_str(PeriodVisitor { or_off: true })?;
        Ok(period.map_or(Self::Off, Self::Ahead))
    }
}

/// Reads a duration, or none for "off" where that is allowed.
struct PeriodVisitor {
    or_off: bool,
}

impl Visitor<'_> for PeriodVisitor {
    type Value = Option<Duration>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_off = if self.or_off { ", or \"off\"" } else { "" };
        write!(f, "a duration of at most ten years such as \"10s\" or \"5m\"{or_off}")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if self.or_off && text.trim() == "off" {
            return Ok(None);
        }
        match humantime::parse_duration(text.trim()) {
            Ok(duration) if duration <= MAX_DURATION => Ok(Some(duration)),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}
