//! Everything that may be typed behind `watershed-bench`.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args, Parser, Subcommand};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as ValueError;
use watershed_connectors::{ByteSize, HumanDuration, Profile, Rate};

use crate::schedule::{Schedule, rate};
use crate::target::Address;

const LONG_ABOUT: &str = "\
Sends events as a schedule says, runs Watershed from end to end, says what became slower, and measures other engines beside it.";

const GENERATE_HELP: &str = "\
The schedule does not wait for the target: each event has a moment at which it is to leave, and its latency begins then, \
whether it could leave or not. What leaves later than --linger and --tolerance allow is counted as late.

Targets:
  stdout                           lines of JSON
  file:PATH                        the same into a file, which is written anew
  http://HOST:PORT/ingest/SOURCE   POST of application/x-ndjson; --property adds headers
  kafka://HOST:PORT/TOPIC          several brokers with commas; --property takes librdkafka's
  kinesis:STREAM                   name or ARN; --property region=… and endpoint=…; credentials by the default chain
  eventhubs:HUB                    by the namespace's Kafka endpoint; --property as for kafka
  pubsub:projects/P/topics/T       --property endpoint=… and credentials=FILE

Examples:
  watershed-bench generate --profile orders --rate 100k/s --for 1m --to http://127.0.0.1:8080/ingest/orders --html report.html
  watershed-bench generate --profile trades --steps 10s:50k,10s:100k --to file:trades.ndjson
  watershed-bench generate --profile clicks --sine 60s:20k..100k --to stdout --report report.json > clicks.ndjson
  watershed-bench generate --profile sensors --burst 9s:1k,1s:200k --for 5m --to http://127.0.0.1:8080/ingest/sensors
  watershed-bench generate --profile orders --events 10000000 --start 2026-03-01T00:00:00Z --event-rate 1M/m --disorder 2s \
--to file:orders.ndjson

Environment:
  WATERSHED_BENCH_TOKEN                sent to an HTTP target as `authorization: Bearer …`
  WATERSHED_BENCH_CONNECTION_STRING    of the namespace of an event hub

Exit codes:
  0  every event that was sent was acknowledged, also after ctrl-c
  1  some were not, or the target or a report can't be written
  2  the command line is wrong";

const RUN_HELP: &str = "\
Suites that come along:
  w          ten million orders from a file into Parquet: three queries, and their recovery
  latency    orders over HTTP at a rate; how long after the watermark rows are visible

Examples:
  watershed-bench run w --out before.json
  watershed-bench run w --events 1000000 --runs 3 --query q1
  watershed-bench run latency --rate 50k/s --for 1m --out latency.json

Exit codes:
  0  done
  1  a run failed, or its counts did not add up
  2  the command line or the suite is wrong";

const SEARCH_HELP: &str = "\
The rate is doubled while the promise is kept, and then halved into what is between. A rate keeps it if p99 is within the \
bound, nothing failed, nothing was late in the daemon, and at most 1 % of the events left late.

Examples:
  watershed-bench search latency --p99 100ms --for 15s

Exit codes:
  0  a rate was found, and is printed
  1  no rate kept the promise
  2  the command line or the suite is wrong";

const COMPARE_HELP: &str = "\
A change counts if runs as different as these would come of one program in at most one of twenty cases (Mann-Whitney), and if \
the medians differ by more than --threshold. With three runs a side that takes three that are all beyond the other three; \
fewer can show nothing.

Exit codes:
  0  nothing became slower
  1  something did
  2  the command line is wrong, or a file is none of `run --out`";

const PEERS_HELP: &str = "\
Makes a file of orders once, has Watershed and each engine answer each question about it, and compares their rows: \
docs/benchmarks.md has the questions, and how engines are set.

It runs scripts/bench-peers.py of the source tree that this program was built from, or of the one that it is called in. That \
takes Python 3.11 with venv, a JDK 17 for Flink and Spark, Maven for Flink, and the first time a network: engines are \
installed into watershed/services in the user's cache.

Examples:
  watershed-bench peers
  watershed-bench peers duckdb polars --events 1000000 --runs 1 --question q1
  watershed-bench peers duckdb --pin --json peers.json

Exit codes:
  0  every engine's rows were Watershed's
  1  some were not, or an engine failed or could not be installed
  2  the command line is wrong, or something that is needed is not there";

/// Load, and what comes of it.
#[derive(Debug, Parser)]
#[command(name = "watershed-bench", version, about = "Load generator and benchmarks of Watershed", long_about = LONG_ABOUT)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sends events as a schedule says, and measures how long it takes until they are acknowledged
    #[command(after_help = GENERATE_HELP)]
    Generate(Box<Generate>),
    /// Runs a suite from end to end, several times, and keeps what it measured
    #[command(after_help = RUN_HELP)]
    Run(Run),
    /// Finds the highest rate at which rows are visible in time
    #[command(after_help = SEARCH_HELP)]
    Search(Search),
    /// Says what became slower from one result to another
    #[command(after_help = COMPARE_HELP)]
    Compare(Compare),
    /// Asks other engines the questions of the suite "w", and measures them beside Watershed
    #[command(after_help = PEERS_HELP)]
    Peers(Peers),
}

/// Which suite, and with what.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// A suite: "w", "latency", or a TOML file
    #[arg(value_name = "SUITE")]
    pub(crate) suite: String,

    /// Only this query; may be given several times
    #[arg(long = "query", value_name = "NAME")]
    pub(crate) queries: Vec<String>,

    /// In this many lanes, whatever the suite says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) lanes: Option<u32>,

    /// Sends for so long, whatever the suite says
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) length: Option<Duration>,

    /// Events go through Kafka, by these brokers, instead of HTTP; each run makes a topic
    #[arg(long, value_name = "HOST:PORT,…")]
    pub(crate) brokers: Option<String>,

    /// The program that is measured; left out, $WATERSHED, the one beside this program, or the one in $PATH
    #[arg(long, value_name = "PATH")]
    pub(crate) watershed: Option<PathBuf>,

    /// Where input is kept, and runs have their folders; left out, watershed/bench in the user's cache
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache: Option<PathBuf>,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Runs each query so often, whatever the suite says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: Option<u32>,

    /// Reads so many events, whatever the suite says
    #[arg(long, value_name = "N", value_parser = events)]
    pub(crate) events: Option<u64>,

    /// Sends at this rate, whatever the suite says
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(crate) rate: Option<Rate>,

    /// Keeps the results as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Arguments of `search`.
#[derive(Debug, Args)]
pub(crate) struct Search {
    #[command(flatten)]
    pub(crate) which: Which,

    /// The promise: 99 of 100 rows are visible so soon after the watermark has passed their window
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) p99: Duration,

    /// The first rate that is tried
    #[arg(long, value_name = "RATE", value_parser = rate, default_value = "10k/s")]
    pub(crate) from: Rate,

    /// The highest rate that is tried
    #[arg(long, value_name = "RATE", value_parser = rate, default_value = "10M/s")]
    pub(crate) most: Rate,

    /// How far below the limit what is found may lie, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    pub(crate) precision: u8,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Results of `run --out`
    #[arg(value_name = "BEFORE.json")]
    pub(crate) before: PathBuf,

    /// Results of the same suite later
    #[arg(value_name = "AFTER.json")]
    pub(crate) after: PathBuf,

    /// Medians that differ by less are the same, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) threshold: u8,
}

/// Arguments of `peers`; what is left out is as the script has it.
#[derive(Debug, Args)]
pub(crate) struct Peers {
    /// Engines to ask beside Watershed; all if none is named
    #[arg(value_name = "ENGINE", value_parser = ["duckdb", "polars", "chdb", "flink", "spark"])]
    pub(crate) engines: Vec<String>,

    /// Only this question; may be given several times
    #[arg(long = "question", value_name = "NAME", value_parser = ["q1", "q2", "q3"])]
    pub(crate) questions: Vec<String>,

    /// Asks about so many events; left out, ten million
    #[arg(long, value_name = "N", value_parser = events)]
    pub(crate) events: Option<u64>,

    /// Asks about a file that is there, in place of one that is made
    #[arg(long, value_name = "FILE", conflicts_with = "events")]
    pub(crate) input: Option<PathBuf>,

    /// Asks each question so often; left out, three times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: Option<u32>,

    /// Holds each engine on one core
    #[arg(long)]
    pub(crate) pin: bool,

    /// Keeps the figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Where input is kept, and runs have their folders; left out, watershed/peers in the user's cache
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,

    /// The program that is measured; left out, $WATERSHED, the one beside this program, or the one in $PATH
    #[arg(long, value_name = "PATH")]
    pub(crate) watershed: Option<PathBuf>,
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("schedule").args(["rate", "steps", "sine", "burst"]))]
pub(crate) struct Generate {
    /// The kind of events, as in a source of connector "generator"
    #[arg(long, value_name = "PROFILE", value_parser = profile)]
    pub(crate) profile: Profile,

    /// Where they go
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: Address,

    /// Sends at this rate, such as 100000/s, 100k or 5k/m; without a schedule, as fast as the target takes
    #[arg(long, value_name = "RATE", value_parser = Schedule::parse_rate)]
    pub(crate) rate: Option<Schedule>,

    /// Sends at one rate after the other, and ends: 10s:50k,10s:100k
    #[arg(long, value_name = "LENGTH:RATE,…", value_parser = Schedule::parse_steps)]
    pub(crate) steps: Option<Schedule>,

    /// Sends at a rate that swings: 60s:20k..100k, a period, the least and the highest rate
    #[arg(long, value_name = "PERIOD:LEAST..MOST", value_parser = Schedule::parse_sine)]
    pub(crate) sine: Option<Schedule>,

    /// Sends at one rate after the other, again and again: 9s:1k,1s:200k
    #[arg(long, value_name = "LENGTH:RATE,…", value_parser = Schedule::parse_bursts)]
    pub(crate) burst: Option<Schedule>,

    /// Ends after so many events
    #[arg(long, value_name = "N", value_parser = events)]
    pub(crate) events: Option<u64>,

    /// Ends after so long
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) length: Option<Duration>,

    /// Other seeds make other events
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    /// Event time of the first event; left out, each event carries the moment at which it is to leave
    #[arg(long, value_name = "RFC3339", value_parser = moment)]
    pub(crate) start: Option<DateTime<Utc>>,

    /// How fast event time passes from --start on
    #[arg(long, value_name = "RATE", value_parser = rate, requires = "start", default_value = "100000/s")]
    pub(crate) event_rate: Rate,

    /// A random half of the events carries a time that is earlier by up to this much
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub(crate) disorder: HumanDuration,

    /// Producers that share the schedule
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) producers: u16,

    /// Bytes after which a batch is full
    #[arg(long, value_name = "SIZE", default_value = "1MB", value_parser = size)]
    pub(crate) batch: usize,

    /// How long an event waits for others to leave with
    #[arg(long, value_name = "DURATION", default_value = "5ms")]
    pub(crate) linger: HumanDuration,

    /// Bytes that may be sent and not acknowledged
    #[arg(long, value_name = "SIZE", default_value = "64MB", value_parser = size)]
    pub(crate) in_flight: usize,

    /// Batches that may be sent and not acknowledged
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) requests: u16,

    /// An event that leaves later than this, beyond --linger, is late
    #[arg(long, value_name = "DURATION", default_value = "10ms")]
    pub(crate) tolerance: HumanDuration,

    /// How long a batch is tried before its events count as failed
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) patience: Duration,

    /// For the target's client: a header, a property of librdkafka; may be given several times
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = property)]
    pub(crate) properties: Vec<(String, String)>,

    /// Writes the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Writes the report as one HTML page
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Shows neither progress nor a summary
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

fn profile(text: &str) -> Result<Profile, ValueError> {
    Profile::deserialize(text.into_deserializer())
}

fn events(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    digits
        .parse()
        .ok()
        .filter(|events| *events > 0)
        .ok_or_else(|| "write a number of events, such as 10000000".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let HumanDuration(duration) =
        text.parse().map_err(|error: watershed_connectors::InvalidDuration| error.to_string())?;
    if duration.is_zero() { Err("it must be longer than nothing".to_owned()) } else { Ok(duration) }
}

fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let parsed = DateTime::parse_from_rfc3339(text);
    parsed
        .map(|moment| moment.to_utc())
        .map_err(|_| "write a moment as RFC 3339, such as 2026-03-01T00:00:00Z".to_owned())
}

/// A size that buffers and counts of permits can hold.
fn size(text: &str) -> Result<usize, String> {
    let ByteSize(size) = text.parse().map_err(|error: watershed_connectors::InvalidSize| error.to_string())?;
    let fits = (1..=1 << 30).contains(&size).then_some(size as usize);
    fits.ok_or_else(|| "choose from 1 byte to 1 GiB".to_owned())
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
