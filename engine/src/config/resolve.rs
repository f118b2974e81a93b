//! From the file as written to the region as needed: each section in turn, every error collected.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use globset::{Glob, GlobMatcher};
use serde_spanned::Spanned as At;
use url::Url;
use watershed_connectors::Secret;
use watershed_sinks::store::{Location, StoreOptions};

use super::document::{Document, MAX_FILE_BYTES, Span, read_limited, shorten};
use super::fill::Filler;
use super::keys::KeySet;
use super::place::{self, Purpose};
use super::read::{Findings, read, without_unknown};
use super::region::{Checkpoint, Http, PipelineConfig, Region, Residency, SinkConfig, Written};
use super::residency::is_inside;
use super::source::hide_secrets;
use super::tree::{Entry, Node, Value};
use super::written::{CheckpointKeys, HttpKeys, Period, RegionKeys, ResidencyKeys, SECTIONS};
use super::{pipeline, sink, source, streams, table};
use crate::diagnostic::Diagnostic;

/// Longest name of a region, source, sink, table or pipeline: they end up in file names.
const MAX_NAME: usize = 64;

/// More lanes than any machine has cores.
const MAX_LANES: i64 = 1024;

/// More files than this no process has open.
const MAX_OPEN_FILES: i64 = 65_536;

/// Less memory than this is all chunks and no state.
const LEAST_MEMORY: usize = 64_000_000;

/// What every part of the resolution needs.
pub(super) struct Context<'a> {
    pub(super) document: Arc<Document>,
    /// Folder of the region file.
    pub(super) folder: PathBuf,
    pub(super) findings: Findings,
    pub(super) filler: RefCell<Filler<'a>>,
    /// The regions in which data may be; none: anywhere.
    pub(super) allowed: RefCell<Option<Vec<GlobMatcher>>>,
    /// Lanes where the file names none.
    pub(super) cores: usize,
}

impl Context<'_> {
    /// Reports an error at `span`, with what to do.
    pub(super) fn refuse(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.findings.add(self.document.error(span, message).help(help));
    }

    pub(super) fn add(&self, diagnostic: Diagnostic) {
        self.findings.add(diagnostic);
    }

    /// What is written at `span`, for messages.
    pub(super) fn written(&self, span: &Span) -> String {
        self.document.written(span)
    }

    pub(super) fn read<T: KeySet>(&self, table: &Node, title: &str) -> Option<T> {
        read(table, title, &self.document, &self.findings)
    }

    /// Reads a table that holds nothing but the keys of `T`.
    fn read_section<T: KeySet>(&self, table: &Node, title: &str) -> Option<T> {
        if !self.is_table(table, title) {
            return None;
        }
        self.read(table, title)
    }

    pub(super) fn is_table(&self, node: &Node, title: &str) -> bool {
        let is_table = matches!(node.value, Value::Table(_));
        if !is_table && !matches!(node.value, Value::Broken) {
            self.refuse(node.span.clone(), format!("`{title}` is a table"), format!("write [{title}]"));
        }
        is_table
    }

    /// The tables of a section whose names will do, with their titles.
    fn named<'n>(&self, root: &'n Node, section: &str) -> Vec<(&'n Entry, String)> {
        let Some(node) = root.get(section) else { return Vec::new() };
        if !matches!(node.value, Value::Table(_)) {
            let message = format!("`{section}` is a table of tables");
            self.refuse(node.span.clone(), message, format!("write [{section}.NAME]"));
            return Vec::new();
        }
        let named = node.entries().iter().map(|entry| (entry, format!("{section}.{}", entry.key)));
        named
            .filter(|(entry, title)| {
                let shown = shorten(&entry.key);
                let named_well = self.check_name(&entry.key, &shown, &entry.key_span, "name");
                named_well & self.is_table(&entry.node, title)
            })
            .collect()
    }

    /// Reports a name that could not stand in a file name. `shown` is the name as written.
    pub(super) fn check_name(&self, name: &str, shown: &str, span: &Span, what: &str) -> bool {
        let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if starts_well && plain && name.len() <= MAX_NAME {
            return true;
        }
        let help = format!(
            "a {what} is made of a-z, 0-9, `_` and `-`, starts with a letter or digit, and has at most {MAX_NAME} characters"
        );
        self.refuse(span.clone(), format!("`{shown}` is no {what}"), help);
        false
    }

    /// A duration that must not be zero.
    pub(super) fn positive(&self, key: &str, period: &At<Period>) -> Duration {
        let duration = period.get_ref().0;
        if duration.is_zero() {
            self.refuse(period.span(), format!("`{key}` cannot be zero"), "write a duration such as \"10s\"");
        }
        duration
    }

    /// Opens a file that the region file names; its path starts from the region file's folder.
    pub(super) fn open(&self, file: &At<String>, what: &str) -> Option<Document> {
        let opened = read_limited(&self.folder.join(file.get_ref()), MAX_FILE_BYTES);
        // A filled-in path is shown as written.
        let document = match opened {
            Ok(bytes) => Document::from_bytes(self.folder.join(self.document.raw(&file.span())), bytes),
            Err(error) => {
                let message = format!("cannot read the {what} file `{}`: {error}", self.written(&file.span()));
                let help = "its path starts from the folder of the region file";
                Err(self.document.error(file.span(), message).help(help))
            }
        };
        document.map_err(|diagnostic| self.add(diagnostic)).ok()
    }

    pub(super) fn as_written(&self, node: &Node) -> Written {
        Written(self.filler.borrow().secrets.redact(&node.written(&self.document)).into())
    }
}

/// Resolves the whole file. None if anything was reported.
pub(super) fn region(root: &Node, context: &Context<'_>) -> Option<Region> {
    let mut known: Vec<&str> = RegionKeys::KEYS.iter().map(|key| key.name).collect();
    known.extend(SECTIONS);
    let top = without_unknown(root, "", &known, &context.document, &context.findings);
    let (_, plain) = split(&top, &SECTIONS);
    let keys: Option<RegionKeys> = context.read(&plain, "");
    let name = keys.as_ref().map_or("", |keys| keys.region.get_ref().as_str());
    if let Some(keys) = &keys {
        context.check_name(name, &context.written(&keys.region.span()), &keys.region.span(), "region name");
    }

    // First, as it is about every place.
    let residency = top.get("residency").and_then(|node| residency(node, keys.as_ref(), context));
    let checkpoint = checkpoint(&top, name, context);
    let interval = checkpoint.as_ref().map_or(Duration::ZERO, |checkpoint| checkpoint.interval);
    let http = top.get("http").and_then(|node| http(node, context));
    let sources =
        named(&top, "sources", context, |entry, title| source::resolve(entry, title, name, interval, context));
    let sinks = named(&top, "sinks", context, |entry, title| sink::resolve(entry, title, context));
    let tables = named(&top, "tables", context, |entry, title| table::resolve(entry, title, context));
    let declared: Vec<&str> = declared(&top, "sinks");
    let mut pipelines =
        named(&top, "pipelines", context, |entry, title| pipeline::resolve(entry, title, &declared, context));
    add_standbys(&top, &sinks, &mut pipelines, context);
    check_shared_names(&top, context);
    check_shared_places(&top, &sinks, &pipelines, context);
    if top.get("http").is_none() {
        check_pushed(&top, context);
    }
    let keys = keys.as_ref()?;
    let lanes = lanes(keys, context);
    let open_files = open_files(keys, context);
    let memory = memory(keys, context);
    let spill = keys.spill.as_ref().and_then(|spill| spill_folder(spill, context));
    if !context.findings.is_empty() {
        return None;
    }
    Some(Region {
        name: name.into(),
        file: context.document.path().to_path_buf(),
        checkpoint: checkpoint?,
        lanes,
        open_files,
        linger: keys.linger.get_ref().0,
        memory,
        spill: spill.unwrap_or_else(|| format!("var/{name}/spill").into()),
        drain_timeout: keys.drain_timeout.get_ref().0,
        sources,
        sinks,
        tables,
        pipelines,
        http,
        residency,
        secrets: context.filler.borrow().secrets.clone(),
        written: context.as_written(root),
    })
}

/// Parts a table into the entries whose keys are among `keys` and the others.
pub(super) fn split(table: &Node, keys: &[&str]) -> (Node, Node) {
    let (inside, outside) = table.entries().iter().cloned().partition(|entry| keys.contains(&entry.key.as_str()));
    let node = |entries| Node { span: table.span.clone(), value: Value::Table(entries) };
    (node(inside), node(outside))
}

/// Resolves every table of a section by name.
fn named<T>(
    root: &Node,
    section: &str,
    context: &Context<'_>,
    resolve: impl Fn(&Entry, &str) -> Option<T>,
) -> BTreeMap<String, T> {
    let tables = context.named(root, section).into_iter();
    tables.filter_map(|(entry, title)| Some((entry.key.clone(), resolve(entry, &title)?))).collect()
}

/// Names in a section, whether or not their tables are right.
fn declared<'n>(root: &'n Node, section: &str) -> Vec<&'n str> {
    root.get(section).map_or(&[][..], Node::entries).iter().map(|entry| entry.key.as_str()).collect()
}

fn lanes(keys: &RegionKeys, context: &Context<'_>) -> usize {
    match &keys.lanes {
        None => context.cores,
        Some(lanes) if (1..=MAX_LANES).contains(lanes.get_ref()) => *lanes.get_ref() as usize,
        Some(lanes) => {
            let help = "leave it out for one lane for each core";
            context.refuse(lanes.span(), format!("`lanes` is a number from 1 to {MAX_LANES}"), help);
            1
        }
    }
}

fn open_files(keys: &RegionKeys, context: &Context<'_>) -> Option<usize> {
    let files = keys.open_files.as_ref()?;
    if !(1..=MAX_OPEN_FILES).contains(files.get_ref()) {
        let help = "leave it out for as many as `memory` has room for";
        context.refuse(files.span(), format!("`open_files` is a number from 1 to {MAX_OPEN_FILES}"), help);
    }
    usize::try_from(*files.get_ref()).ok()
}

fn memory(keys: &RegionKeys, context: &Context<'_>) -> usize {
    let memory = keys.memory.get_ref().as_usize();
    if memory < LEAST_MEMORY {
        context.refuse(keys.memory.span(), "`memory` is less than 64MB", "give it some room, as in \"1GB\"");
    }
    memory
}

fn checkpoint(root: &Node, region: &str, context: &Context<'_>) -> Option<Checkpoint> {
    let empty = Node { span: 0..0, value: Value::Table(Vec::new()) };
    let table = root.get("checkpoint").unwrap_or(&empty);
    if !context.is_table(table, "checkpoint") {
        return None;
    }
    let own: Vec<&str> = CheckpointKeys::KEYS.iter().map(|key| key.name).collect();
    let (own, store) = place::part(table, "checkpoint", &own, context);
    let keys: CheckpointKeys = context.read(&own, "checkpoint")?;
    let interval = context.positive("interval", &keys.interval);
    let url = keys.url.unwrap_or_else(|| At::new(table.span.clone(), format!("var/{region}/state")));
    let store = place::resolve(&store, "checkpoint", &url, Purpose::State, context)?;
    Some(Checkpoint { url: url.into_inner(), store, interval })
}

/// True for a folder or URL that is written at all; reports one that is not.
pub(super) fn is_given(url: &At<String>, key: &str, context: &Context<'_>) -> bool {
    let given = !url.get_ref().trim().is_empty();
    if !given {
        context.refuse(url.span(), format!("`{key}` is empty"), "write a folder or an object-store URL");
    }
    given
}

/// The folder of `spill`, which is on this machine.
fn spill_folder(spill: &At<String>, context: &Context<'_>) -> Option<PathBuf> {
    if !is_given(spill, "spill", context) {
        return None;
    }
    match Location::of(spill.get_ref()) {
        Ok(Location::Folder(folder)) => Some(folder),
        Ok(Location::Store(_)) | Err(_) => {
            let message = format!("`spill` is a folder on this machine, not \"{}\"", context.written(&spill.span()));
            context.refuse(spill.span(), message, "write it as \"/mnt/disk/spill\"");
            None
        }
    }
}

fn http(node: &Node, context: &Context<'_>) -> Option<Http> {
    hide_secrets(node, false, context);
    let keys: HttpKeys = context.read_section(node, "http")?;
    let Ok(listen) = keys.listen.get_ref().parse() else {
        let written = context.written(&keys.listen.span());
        let message = format!("`listen` takes an address and a port, not \"{written}\"");
        context.refuse(keys.listen.span(), message, "write it as \"127.0.0.1:8080\" or \"[::1]:8080\"");
        return None;
    };
    let url = keys.url.as_ref().and_then(|url| reached_at(url, context));
    if let Some(token) = keys.query_token.as_ref().filter(|token| token.get_ref().trim().is_empty()) {
        context.refuse(token.span(), "`query_token` is empty", "give it a value, or leave it out: then nobody may ask");
    }
    let query_token = keys.query_token.map(|token| Secret::new(token.into_inner()));
    Some(Http { listen, url, query_token })
}

fn reached_at(url: &At<String>, context: &Context<'_>) -> Option<Url> {
    let parsed = Url::parse(url.get_ref().trim()).ok();
    let parsed = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none());
    if parsed.is_none() {
        let message = format!("`url` takes an address of HTTP, not \"{}\"", context.written(&url.span()));
        context.refuse(url.span(), message, "write it as \"https://watershed-eu.acme.internal\"");
    }
    parsed
}

fn residency(node: &Node, region: Option<&RegionKeys>, context: &Context<'_>) -> Option<Residency> {
    let keys: ResidencyKeys = context.read_section(node, "residency")?;
    let mut allowed = Vec::new();
    let mut valid = true;
    for pattern in keys.allow.get_ref() {
        match Glob::new(pattern.get_ref()) {
            Ok(glob) => allowed.push(glob.compile_matcher()),
            Err(error) => {
                valid = false;
                let message = format!("\"{}\" is no pattern: {}", context.written(&pattern.span()), error.kind());
                context.refuse(pattern.span(), message, "`*` stands for any characters, as in \"eu-*\"");
            }
        }
    }
    if let Some(region) = region
        && valid
        && !is_inside(&allowed, region.region.get_ref())
    {
        let message = format!("region `{}` is outside [residency]", context.written(&region.region.span()));
        let help = format!("`allow` is {}", context.written(&keys.allow.span()));
        context.refuse(region.region.span(), message, help);
    }
    if valid {
        *context.allowed.borrow_mut() = Some(allowed);
    }
    Some(Residency { allow: keys.allow.into_inner().into_iter().map(At::into_inner).collect() })
}

/// Records that are sent to the daemon need a server there.
fn check_pushed(root: &Node, context: &Context<'_>) {
    for entry in root.get("sources").map_or(&[][..], Node::entries) {
        let Some(connector) = entry.node.get("connector") else { continue };
        if matches!(&connector.value, Value::String(text) if streams::is_pushed(&text.text)) {
            let message = format!("`{}` is sent to this daemon, which has no HTTP server", shorten(&entry.key));
            context.refuse(connector.span.clone(), message, "add [http] with listen = \"127.0.0.1:8080\"");
        }
    }
}

/// Gives pipelines the standbys of their sinks, behind those.
fn add_standbys(
    root: &Node,
    sinks: &BTreeMap<String, SinkConfig>,
    pipelines: &mut BTreeMap<String, PipelineConfig>,
    context: &Context<'_>,
) {
    let section =
        |name: &str, of: &str| root.get(name).and_then(|node| node.entries().iter().find(|entry| entry.key == of));
    for sink in sinks.values() {
        let Some(standby) = &sink.standby else { continue };
        let span =
            section("sinks", &sink.name).and_then(|entry| entry.node.get("standby")).map(|node| node.span.clone());
        let fits = |other: &SinkConfig| other.options.files().is_some() && other.standby.is_none();
        // One that is wrong in itself has been reported.
        let broken = section("sinks", &standby.sink).is_some() && !sinks.contains_key(&standby.sink);
        if !broken && !sinks.get(&standby.sink).is_some_and(fits) {
            let help = "a standby is another sink of this file, parquet or delta, that has no standby itself";
            let message = format!("`{}` can't stand by for `{}`", shorten(&standby.sink), sink.name);
            context.refuse(span.unwrap_or_default(), message, help);
        }
    }
    for pipeline in pipelines.values_mut() {
        let Some(entry) = section("pipelines", &pipeline.name) else { continue };
        let refuse = |key: &str, message: String, help: &str| {
            context.refuse(entry.node.get(key).unwrap_or(&entry.node).span.clone(), message, help);
        };
        let standby = |name: &String| sinks.get(name)?.standby.as_ref();
        if let Some(late) = pipeline.late.as_ref().filter(|late| standby(late).is_some()) {
            refuse("late", format!("`{late}` has a standby"), "late rows have none: give them a sink without");
        }
        for of in pipeline.sinks.clone() {
            let Some(standby) = standby(&of) else { continue };
            if pipeline.sinks.contains(&standby.sink) || pipeline.late.as_ref() == Some(&standby.sink) {
                let message =
                    format!("`{}`, which stands by for `{of}`, takes rows of this pipeline already", standby.sink);
                refuse("sinks", message, "remove one: it would get rows twice");
            }
            pipeline.sinks.push(standby.sink.clone());
        }
    }
}

/// Two sinks of one pipeline at one place would take each other's files for their own; that of its late rows is one of them.
fn check_shared_places(
    root: &Node,
    sinks: &BTreeMap<String, SinkConfig>,
    pipelines: &BTreeMap<String, PipelineConfig>,
    context: &Context<'_>,
) {
    for entry in root.get("pipelines").map_or(&[][..], Node::entries) {
        let Some(pipeline) = pipelines.get(&entry.key) else { continue };
        let mut seen: Vec<(&str, Location, &StoreOptions)> = Vec::new();
        let sinks_of = pipeline.sinks.iter().map(|name| ("sinks", name));
        for (key, name) in sinks_of.chain(pipeline.late.iter().map(|name| ("late", name))) {
            let Some(files) = sinks.get(name).and_then(|sink| sink.options.files()) else { continue };
            // One that leads nowhere has been reported.
            let Ok(place) = Location::of(&files.url) else { continue };
            let shares = |(other, of, options): &&(&str, Location, &StoreOptions)| {
                other != name && of.is_same(options, &place, &files.store)
            };
            if let Some((other, ..)) = seen.iter().find(shares) {
                let node = entry.node.get(key).unwrap_or(&entry.node);
                let message = format!("`{other}` and `{name}` write to one place");
                context.refuse(node.span.clone(), message, "give each sink of a pipeline a `url` of its own");
            }
            seen.push((name, place, &files.store));
        }
    }
}

/// A source and a reference table of one name could not be told apart in SQL.
fn check_shared_names(root: &Node, context: &Context<'_>) {
    let sources = declared(root, "sources");
    for entry in root.get("tables").map_or(&[][..], Node::entries) {
        if sources.contains(&entry.key.as_str()) {
            let message = format!("`{}` is a source and a table", shorten(&entry.key));
            context.refuse(entry.key_span.clone(), message, "SQL could not tell them apart: rename one of them");
        }
    }
}
