//! `[sources.<name>]`.

use std::time::Duration;

use arrow::datatypes::DataType;
use serde_spanned::Spanned as At;
use watershed_connectors::{
    FileOptions, GeneratorOptions, MetadataField, ReplayOptions, StdinOptions, Surroundings, profile_schema,
};
use watershed_sinks::store::StoreOptions;

use super::columns;
use super::format;
use super::keys::KeySet;
use super::place;
use super::read::{fields_of, read_foreign, without_unknown};
use super::region::{ConnectorOptions, Deduplicate, OnBad, SourceConfig};
use super::residency::check_inside;
use super::resolve::{Context, split};
use super::streams::{SECRET_KEYS, STREAMS, find};
use super::tree::{Entry, Node, Value};
use super::written::{DeduplicateKeys, MaxFuture, OnBadKey, SourceKeys};
use crate::connect;
use crate::decode::{AvroSchemas, Format};
use crate::diagnostic::nearest;
use crate::schema::{SourceField, SourceSchema};

/// Connectors of every build.
const LOCAL: [&str; 4] = ["file", "stdin", "generator", "replay"];

/// Connectors that a build may lack.
const ELSEWHERE: [&str; 6] = ["kinesis", "kafka", "eventhubs", "pubsub", "http", "sse"];

/// Connectors of this build.
pub(super) fn built() -> Vec<&'static str> {
    LOCAL.into_iter().chain(STREAMS.iter().map(|stream| stream.name)).collect()
}

/// A clock that is off by more than an hour is wrong; one that is off by less only delays.
const MAX_FUTURE: Duration = Duration::from_secs(3600);

/// Resolves a source of the region called `region`, which makes a checkpoint every `interval`.
pub(super) fn resolve(
    entry: &Entry,
    title: &str,
    region: &str,
    interval: Duration,
    context: &Context<'_>,
) -> Option<SourceConfig> {
    hide_secrets(&entry.node, false, context);
    let common: Vec<&str> = SourceKeys::KEYS.iter().map(|key| key.name).collect();
    let (own, rest) = split(&entry.node, &common);
    let keys: Option<SourceKeys> = context.read(&own, title);
    let schema_file = keys.as_ref().and_then(|keys| keys.schema_file.as_ref());
    let declared = columns::resolve(&entry.node, title, schema_file, context);
    let resolved = format::resolve(&entry.node, title, context);
    let (format, registry) = resolved.map_or((None, None), |resolved| (Some(resolved.format), resolved.registry));
    let keys = keys?;
    let kind = connector_kind(&keys.connector, &built(), &ELSEWHERE, "connector", context)?;
    let known: Vec<&str> = common.iter().chain(fields(kind)).copied().collect();
    let rest = without_unknown(&rest, title, &known, &context.document, &context.findings);
    let connector = connector(kind, &rest, title, context);

    let idle_after = context.positive("idle_after", &keys.idle_after);
    let (dead_letters, dead_letters_store) = match entry.node.get("dead_letters") {
        Some(node) => place::inside(node, "dead_letters", context)?,
        None => (format!("var/{region}/dead_letters/{}", entry.key), StoreOptions::default()),
    };
    let connector = connector?;
    let (schema, default_time) = match &connector {
        ConnectorOptions::Generator(options) => {
            refuse_own_schema(&entry.node, format.as_ref(), context);
            let (schema, event_time) = brought_along(options);
            (Some(schema), Some(event_time))
        }
        ConnectorOptions::File(_) | ConnectorOptions::Stdin(_) | ConnectorOptions::Replay(_) => (declared, None),
        ConnectorOptions::Stream(_) => {
            if declared.is_none() && entry.node.get("schema").is_none() && keys.schema_file.is_none() {
                let help = "write schema = { ts = \"timestamp\", amount = \"double\" }";
                let message = format!("a source with connector = \"{kind}\" declares its columns");
                context.refuse(keys.connector.span(), message, help);
            }
            (declared, None)
        }
    };
    let schema = with_metadata(schema, keys.metadata.as_ref(), &connector, context);
    let read = check_format(&entry.node, kind, format.as_ref(), context)
        & check_raw(&entry.node, schema.as_ref(), format.as_ref(), context);
    if connector.range().is_some() && keys.event_time.is_none() {
        refuse_range(&rest, context);
    }
    if let (Some(event_time), Some(schema)) = (&keys.event_time, &schema) {
        check_event_time(event_time, schema, context);
    }
    let max_future = match keys.max_future.as_ref().map(|max_future| *max_future.get_ref()) {
        Some(MaxFuture::Off) => None,
        Some(MaxFuture::Ahead(ahead)) => Some(ahead),
        None if looks_back(&connector) => None,
        None => Some(MAX_FUTURE),
    };
    let deduplicate = deduplicate(&entry.node, title, schema.as_ref(), context);
    let config = SourceConfig {
        name: entry.key.clone(),
        around: Surroundings {
            region: region.into(),
            source: entry.key.as_str().into(),
            checkpoint_interval: interval,
        },
        connector,
        format: format?,
        registry,
        schema,
        event_time: keys.event_time.map(At::into_inner).or(default_time),
        max_delay: keys.max_delay.get_ref().0,
        idle_after,
        max_future,
        deduplicate,
        on_bad: match keys.on_bad {
            OnBadKey::DeadLetter => OnBad::DeadLetter,
            OnBadKey::Skip => OnBad::Skip,
            OnBadKey::Fail => OnBad::Fail,
        },
        dead_letters,
        dead_letters_store,
        location: context.document.location(entry.node.span.clone()),
        written: context.as_written(&entry.node),
    };
    if read {
        check_options(&config, &rest, context);
        check_residency(&config, &rest, context);
    }
    Some(config)
}

/// Resolves `deduplicate`.
fn deduplicate(
    source: &Node,
    title: &str,
    schema: Option<&SourceSchema>,
    context: &Context<'_>,
) -> Option<Deduplicate> {
    let node = source.get("deduplicate")?;
    let title = format!("{title}.deduplicate");
    if !context.is_table(node, &title) {
        return None;
    }
    let keys: DeduplicateKeys = context.read(node, &title)?;
    let within = context.positive("within", &keys.within);
    let span = keys.key.span();
    let columns = keys.key.into_inner().into_vec();
    if columns.is_empty() {
        context.refuse(span.clone(), "`key` is empty", "name the column that two equal records share");
    }
    for column in
        schema.iter().flat_map(|schema| columns.iter().filter(|c| schema.fields.iter().all(|f| f.name != **c)))
    {
        let names: Vec<&str> = schema.iter().flat_map(|s| &s.fields).map(|field| field.name.as_str()).collect();
        let help = match nearest(column, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the columns are {}", names.join(", ")),
        };
        let column = context.filler.borrow().secrets.redact(column);
        context.refuse(span.clone(), format!("there is no column `{column}` to deduplicate on"), help);
    }
    Some(Deduplicate { columns, within })
}

/// The connector that a table names, if this build has it.
pub(super) fn connector_kind(
    named: &At<String>,
    built: &[&'static str],
    elsewhere: &[&str],
    what: &str,
    context: &Context<'_>,
) -> Option<&'static str> {
    if let Some(kind) = built.iter().find(|kind| *kind == named.get_ref()) {
        return Some(kind);
    }
    let written = context.written(&named.span());
    let have = format!("this build has {}", built.join(", "));
    if elsewhere.contains(&named.get_ref().as_str()) {
        context.refuse(named.span(), format!("{what} `{written}` is not part of this build"), have);
        return None;
    }
    let help = match nearest(&written, built.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => have,
    };
    context.refuse(named.span(), format!("unknown {what} `{written}`"), help);
    None
}

/// The keys of a connector, beside those of every source.
pub(super) fn fields(kind: &str) -> &'static [&'static str] {
    match kind {
        "file" => fields_of::<FileOptions>(),
        "stdin" => fields_of::<StdinOptions>(),
        "replay" => fields_of::<ReplayOptions>(),
        "generator" => fields_of::<GeneratorOptions>(),
        other => find(other).map_or(&[], |stream| (stream.fields)()),
    }
}

/// Takes note of every secret in a table, so that nothing shows it.
pub(super) fn hide_secrets(node: &Node, secret: bool, context: &Context<'_>) {
    match &node.value {
        Value::String(text) if secret => context.filler.borrow_mut().secrets.hide(&text.text),
        Value::Table(entries) => {
            for entry in entries {
                hide_secrets(&entry.node, secret || SECRET_KEYS.contains(&entry.key.as_str()), context);
            }
        }
        _ => {}
    }
}

/// The declared columns, and behind them those of `metadata`.
fn with_metadata(
    schema: Option<SourceSchema>,
    wanted: Option<&At<Vec<At<String>>>>,
    connector: &ConnectorOptions,
    context: &Context<'_>,
) -> Option<SourceSchema> {
    let Some(wanted) = wanted else { return schema };
    let mut schema = schema?;
    let list = connector.metadata();
    for name in wanted.get_ref() {
        let written = context.written(&name.span());
        let Some(field) = list.iter().find(|field| field.name == *name.get_ref()) else {
            let names: Vec<&str> = list.iter().map(|field| field.name).collect();
            let help = match nearest(&written, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.is_empty() => "remove it".to_string(),
                None => format!("there are {}", names.join(", ")),
            };
            let kind = connector.connector();
            context.refuse(name.span(), format!("connector \"{kind}\" gives no metadata `{written}`"), help);
            continue;
        };
        if schema.fields.iter().any(|declared| declared.name == field.name) {
            context.refuse(name.span(), format!("there is a column `{written}` already"), "remove one of them");
            continue;
        }
        schema.fields.push(metadata_field(field));
    }
    Some(schema)
}

fn metadata_field(field: &MetadataField) -> SourceField {
    SourceField {
        name: field.name.to_string(),
        data_type: field.kind.arrow(),
        timestamp: None,
        json: false,
        metadata: true,
    }
}

fn connector(kind: &str, table: &Node, title: &str, context: &Context<'_>) -> Option<ConnectorOptions> {
    let (document, findings) = (&context.document, &context.findings);
    Some(match kind {
        "file" => ConnectorOptions::File(read_foreign(table, title, document, findings)?),
        "stdin" => ConnectorOptions::Stdin(read_foreign(table, title, document, findings)?),
        "replay" => ConnectorOptions::Replay(read_foreign(table, title, document, findings)?),
        "generator" => ConnectorOptions::Generator(read_foreign(table, title, document, findings)?),
        other => ConnectorOptions::Stream((find(other)?.read)(table, title, document, findings)?),
    })
}

/// Reports options that are well-typed but make no sense together. The connector's own words name the key; the error is
/// shown there.
fn check_options(config: &SourceConfig, table: &Node, context: &Context<'_>) {
    let Err(error) = connect::source(config) else { return };
    let message = context.filler.borrow().secrets.redact(&error.to_string());
    let named = table.entries().iter().find(|entry| message.contains(entry.key.as_str()));
    let span = named.map_or(&table.span, |entry| &entry.node.span);
    context.add(context.document.error(span.clone(), message));
}

/// Events that come from elsewhere have left their region already, and this one is not to help with that.
fn check_residency(config: &SourceConfig, table: &Node, context: &Context<'_>) {
    let ConnectorOptions::Stream(options) = &config.connector else { return };
    let Some(region) = options.lies_in() else { return };
    let node = ["aws_region", "stream"].iter().find_map(|key| table.get(key)).unwrap_or(table);
    check_inside(&region, node, context);
}

/// True for sources of events that happened long ago, or at a time of their own: no clock to compare with.
fn looks_back(connector: &ConnectorOptions) -> bool {
    match connector {
        ConnectorOptions::File(options) => !options.follow,
        ConnectorOptions::Stdin(_) | ConnectorOptions::Replay(_) => true,
        ConnectorOptions::Generator(options) => options.events.is_some() || options.start.is_some(),
        ConnectorOptions::Stream(_) => false,
    }
}

/// The columns and the event time of a generator's profile.
fn brought_along(options: &GeneratorOptions) -> (SourceSchema, String) {
    let profile = profile_schema(options.profile);
    let fields = profile.fields.iter().filter_map(|(name, sql_type)| SourceField::parse(*name, sql_type, None).ok());
    (SourceSchema { fields: fields.collect() }, profile.event_time.to_string())
}

/// Reports a format that the connector does not read; false if it does not.
fn check_format(table: &Node, kind: &str, format: Option<&Format>, context: &Context<'_>) -> bool {
    let (Some(node), Some(format)) = (table.get("format"), format) else { return true };
    let (message, help) = match (kind, format) {
        // What a generator writes is said beside its schema.
        ("generator", _) => return true,
        (kind, Format::Parquet) if kind != "replay" => {
            (format!("connector \"{kind}\" does not read Parquet"), "read Parquet files by connector = \"replay\"")
        }
        ("replay", Format::Csv(_)) => (
            "a replay does not read CSV".to_string(),
            "write \"parquet\" or \"json\", or read CSV by connector = \"file\"",
        ),
        ("replay", Format::Avro(_) | Format::Arrow | Format::Raw) => (
            "a replay reads Parquet and JSON only".to_string(),
            "write \"parquet\" or \"json\", or read the files by connector = \"file\"",
        ),
        ("stdin", Format::Avro(_) | Format::Arrow) => (
            "standard input is not read block by block".to_string(),
            "write it to a file, and read that by connector = \"file\"",
        ),
        ("replay", Format::Protobuf(_)) => (
            "a replay reads Parquet and JSON only".to_string(),
            "write \"parquet\" or \"json\": a pipeline without windows archives messages as Parquet",
        ),
        ("file" | "stdin", Format::Protobuf(_)) => (
            "nothing says where a protobuf message ends in a file".to_string(),
            "read messages from a stream, or write the file as Avro, Arrow or JSON",
        ),
        ("file", Format::Avro(AvroSchemas::Known(_) | AvroSchemas::Registry)) => {
            ("an Avro file brings its schema along".to_string(), "write format = \"avro\"")
        }
        (_, Format::Avro(AvroSchemas::Container)) if kind != "file" => (
            "an Avro message does not say by itself what it means".to_string(),
            "write { type = \"avro\", schema_file = \"order.avsc\" }, or name a `registry`",
        ),
        _ => return true,
    };
    context.refuse(node.span.clone(), message, help);
    false
}

/// Reports a schema that raw records can't have; false if it is one.
fn check_raw(table: &Node, schema: Option<&SourceSchema>, format: Option<&Format>, context: &Context<'_>) -> bool {
    let (Some(node), Some(schema), Some(Format::Raw)) = (table.get("format"), schema, format) else { return true };
    let mut declared = schema.fields.iter().filter(|field| !field.metadata);
    let fits =
        |field: &SourceField| !field.json && matches!(field.data_type, DataType::BinaryView | DataType::Utf8View);
    if let (Some(only), None) = (declared.next(), declared.next())
        && fits(only)
    {
        return true;
    }
    let help = "declare it alone, as in schema = { payload = \"bytes\" }";
    context.refuse(node.span.clone(), "a raw record is one column of type bytes or string", help);
    false
}

/// Reports a time range where nothing says which column is the time.
fn refuse_range(table: &Node, context: &Context<'_>) {
    for entry in table.entries().iter().filter(|entry| entry.key == "from" || entry.key == "to") {
        let message = format!("`{}` is an event time, and the source names none", entry.key);
        context.refuse(entry.key_span.clone(), message, "add event_time = \"COLUMN\"");
    }
}

fn refuse_own_schema(table: &Node, format: Option<&Format>, context: &Context<'_>) {
    for entry in table.entries().iter().filter(|entry| entry.key == "schema" || entry.key == "schema_file") {
        let message = format!("a generator brings its own schema; `{}` has no place here", entry.key);
        context.refuse(entry.key_span.clone(), message, "remove it");
    }
    if let (Some(node), Some(format)) = (table.get("format"), format)
        && *format != Format::Json
    {
        context.refuse(node.span.clone(), "a generator writes JSON", "remove `format`");
    }
}

fn check_event_time(event_time: &At<String>, schema: &SourceSchema, context: &Context<'_>) {
    let written = context.written(&event_time.span());
    let Some(field) = schema.fields.iter().find(|field| field.name == *event_time.get_ref()) else {
        let names: Vec<&str> = schema.fields.iter().map(|field| field.name.as_str()).collect();
        let help = match nearest(&written, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the columns are {}", names.join(", ")),
        };
        context.refuse(event_time.span(), format!("there is no column `{written}` to be the event time"), help);
        return;
    };
    if !matches!(field.data_type, DataType::Timestamp(..) | DataType::Date32) {
        let message = format!("column `{written}` is a {}, not a timestamp or date", field.type_name());
        let help = format!(
            "declare it so: {written} = \"timestamp\", or with its format, as in \
                            {{ type = \"timestamp\", format = \"epoch_ms\" }}"
        );
        context.refuse(event_time.span(), message, help);
    }
}
