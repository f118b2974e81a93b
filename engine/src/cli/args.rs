//! Everything that may be typed behind `watershed`.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::ddl::Engine;

const ABOUT: &str = "Drains a region's event streams through SQL windows into its Parquet lake";

const LONG_ABOUT: &str = "\
Watershed drains the event streams of one cloud region through event-time windows, written in SQL, into that region's \
Parquet lake. One TOML file says everything about a region: its sources, its sinks and its pipelines.";

const AFTER_HELP: &str = "\
Start here:
  watershed init                          write a first region file and a pipeline
  watershed check watershed.toml          is everything right? what will it do?
  watershed run watershed.toml            do it
  watershed query watershed.toml 'SELECT * FROM first LIMIT 10'

Exit codes:
  0  done
  1  failed while running
  2  the config or the command line is wrong

Environment:
  RUST_LOG    which log lines to show, such as \"watershed=debug\"; takes the place of -v
  NO_COLOR    set it to anything to get errors without colors";

const RUN_HELP: &str = "\
Where every source is bounded (files, a generator with `events`), the run ends when they are drained. Otherwise it goes \
on until SIGTERM or ctrl-c: watershed then stops reading, finishes what it has read, stores a checkpoint, and exits with \
0. A second signal ends it at once, with 1. However it ends, the next run goes on from the last checkpoint: into Parquet \
no row is lost and none comes twice. Standard input cannot be read again, and what was printed cannot be taken back.

Examples:
  watershed run eu-west-1.toml
  watershed run eu-west-1.toml --report report.json
  zcat events.gz | watershed run stdin.toml --quiet
  watershed run eu-west-1.toml --drain          put out open windows before the SQL is changed
  watershed run eu-west-1.toml --reset-state    begin anew

Exit codes:
  0  drained, or stopped by a signal
  1  failed while running, or could not stop within drain_timeout
  2  the region file or the command line is wrong, or the state does not fit them";

const CHECK_HELP: &str = "\
For a file source without a schema, check reads its first records and prints the schema to paste.

Examples:
  watershed check eu-west-1.toml
  watershed check eu-west-1.toml --connect

Exit codes:
  0  the file is right
  1  --connect could not open a source or a sink
  2  the file is wrong";

const REPLAY_HELP: &str = "\
The archive of a source is what a pipeline such as SELECT * FROM orders has written to a parquet sink; any other folder \
of Parquet or NDJSON can be named. Only windows that lie wholly between --from and --to are put out; of sessions, those \
that no event outside could have touched. Nothing is late in a replay. One that was killed goes on when it is started \
again with the same arguments; another range or another archive needs another --into.

Examples:
  watershed replay eu-west-1.toml --into again
  watershed replay eu-west-1.toml --into march --from 2026-03-01T00:00:00Z --to 2026-04-01T00:00:00Z
  watershed replay eu-west-1.toml --into again --pipeline orders_by_country --archive orders=old/orders.ndjson.gz

Exit codes:
  0  done
  1  failed while running
  2  the region file or the command line is wrong";

const COMPACT_HELP: &str = "\
For each pipeline's files in delta sinks: what is older than `retain` leaves the table, small files of partitions that ended \
`compact.after` ago (an hour, if nothing is said of it) become larger ones, and files that the table no longer has are deleted \
after `vacuum`. A daemon, other writers and readers go on meanwhile: who reads sees each row once.

Examples:
  watershed compact eu-west-1.toml --dry-run
  watershed compact eu-west-1.toml
  watershed compact eu-west-1.toml --sink lake

Exit codes:
  0  done
  1  failed, or stopped by a signal; what was done is whole
  2  the region file or the command line is wrong, or the sink has no log to say what was merged";

const STATE_HELP: &str = "\
Reads the newest checkpoint and changes nothing; a running daemon is not disturbed.

Exit codes:
  0  done
  1  there is no state yet, or it cannot be read
  2  the region file or the command line is wrong";

const QUERY_USAGE: &str = "\
watershed query [OPTIONS] <FILE> <SQL>
       watershed query --all [OPTIONS] <FILE>... <SQL>";

const QUERY_HELP: &str = "\
Each pipeline that writes to a parquet or delta sink is a table of the pipeline's name; the levels of its folders (region, \
date, hour, ...) are columns too, and a condition on them keeps files closed. Late rows in such a sink are a table with _late \
behind the name, and reference tables have their own. A name with a hyphen needs double quotes in SQL. Of several sinks the \
first is read, or the one that --sink names.

With --all the tables of several regions are one, with `region` as a column. Each region's daemon aggregates what lies \
there, and only aggregates travel; docs/query.md says which questions can be asked like that.

Examples:
  watershed query eu-west-1.toml 'SELECT country, sum(revenue) FROM orders_by_country GROUP BY country'
  watershed query eu-west-1.toml 'SELECT * FROM \"top-products\"' --format csv | head
  watershed query eu-west-1.toml 'SELECT * FROM orders_by_country' --output orders.parquet
  watershed query eu-west-1.toml 'SELECT count(*) FROM orders_by_country' --sink mirror
  watershed query --all regions/*.toml 'SELECT region, sum(revenue) FROM orders_by_country GROUP BY region'

Exit codes:
  0  done
  1  nothing is written yet, or reading failed
  2  the SQL, a region file or the command line is wrong; or rows would have to leave their region";

const DDL_HELP: &str = "\
One table for each pipeline and parquet or delta sink, called as the pipeline; late rows that have a sink of their own are a table \
with _late behind the name. Nothing is asked over a network: the statements follow from the region file.

Athena, BigQuery, Spark and Trino read folders whole, so each pipeline needs a sink of its own for them.

Examples:
  watershed ddl eu-west-1.toml --for athena
  watershed ddl eu-west-1.toml --for bigquery --pipeline orders_by_country --location gs://acme-mirror/orders
  watershed ddl eu-west-1.toml --for duckdb --apply lake.duckdb

Exit codes:
  0  done
  1  --apply could not run them
  2  the region file or the command line is wrong, or the engine cannot read such a lake";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "watershed", version, about = ABOUT, long_about = LONG_ABOUT, after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,

    /// Logs more: -v what happens, -vv why
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,

    /// How log lines on standard error are written
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(super) log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs the pipelines of a region file
    Run(Run),
    /// Checks a region file: keys, schemas and SQL; prints what it would do
    Check(Check),
    /// Runs SQL over what the pipelines of a region file wrote
    Query(Query),
    /// Prints statements that make what the pipelines wrote tables of another engine
    Ddl(Ddl),
    /// Merges small files of Delta tables, and deletes what they no longer have
    Compact(Compact),
    /// Runs pipelines again over the archive of their sources
    Replay(Replay),
    /// Shows what the last checkpoint of a region holds
    State(State),
    /// Writes a first region file and a pipeline, both commented
    Init {
        /// Folder to write them into; it is made if it is missing
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// Prints a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
#[command(after_help = RUN_HELP)]
pub(super) struct Run {
    /// The region file
    pub(super) file: PathBuf,

    /// Writes the run report as JSON to this file; "-" is standard output
    #[arg(long, value_name = "PATH")]
    pub(super) report: Option<PathBuf>,

    /// Works in this many lanes, whatever the file says
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub(super) lanes: Option<usize>,

    /// Leaves all earlier state behind: everything is read and written again from the start; what is in the lake stays
    #[arg(long)]
    pub(super) reset_state: bool,

    /// Reads nothing: closes every window that the state holds, writes its rows, and ends; what comes for them is late
    #[arg(long, conflicts_with = "reset_state")]
    pub(super) drain: bool,

    /// Shows neither progress nor a summary
    #[arg(short, long)]
    pub(super) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = REPLAY_HELP)]
pub(super) struct Replay {
    /// The region file
    pub(super) file: PathBuf,

    /// Folder that takes the rows, each pipeline's below its name, and the state of the replay
    #[arg(long, value_name = "FOLDER")]
    pub(super) into: PathBuf,

    /// Event time to begin with, as in 2026-03-01T00:00:00Z
    #[arg(long, value_name = "MOMENT")]
    pub(super) from: Option<String>,

    /// Event time to end before
    #[arg(long, value_name = "MOMENT")]
    pub(super) to: Option<String>,

    /// Then moves the rows into the lake, in the place of those that were there for the range. Files are replaced whole, so
    /// the range has to end where files do; while files are exchanged, a reader may see rows twice
    #[arg(long)]
    pub(super) replace: bool,

    /// Replays this pipeline; may be given more than once. Left out: all that have windows
    #[arg(long, value_name = "NAME")]
    pub(super) pipeline: Vec<String>,

    /// Where the events of a source are kept, if no pipeline of the file archives them
    #[arg(long, value_name = "SOURCE=PLACE")]
    pub(super) archive: Vec<String>,

    /// Writes the run report as JSON to this file; "-" is standard output
    #[arg(long, value_name = "PATH")]
    pub(super) report: Option<PathBuf>,

    /// Works in this many lanes, whatever the file says
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub(super) lanes: Option<usize>,

    /// Shows neither progress nor a summary
    #[arg(short, long)]
    pub(super) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = COMPACT_HELP)]
pub(super) struct Compact {
    /// The region file
    pub(super) file: PathBuf,

    /// Only the tables in this sink
    #[arg(long, value_name = "NAME")]
    pub(super) sink: Option<String>,

    /// Changes nothing: prints which partitions have small files, and how many
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = STATE_HELP)]
pub(super) struct State {
    /// The region file
    pub(super) file: PathBuf,

    /// Prints the whole manifest as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = CHECK_HELP)]
pub(super) struct Check {
    /// The region file
    pub(super) file: PathBuf,

    /// Opens every source and sink, too
    #[arg(long)]
    pub(super) connect: bool,
}

#[derive(Debug, Args)]
#[command(after_help = QUERY_HELP, override_usage = QUERY_USAGE)]
pub(super) struct Query {
    /// The region file, or with --all any number of them; the query comes last
    #[arg(required = true, num_args = 1.., value_name = "FILE")]
    pub(super) files_and_sql: Vec<String>,

    /// Asks all the regions whose files are named; a pattern such as 'regions/*.toml' names several
    #[arg(long)]
    pub(super) all: bool,

    /// How rows are written, which is as they are found [default: by the name of --output, else table]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<RowFormat>,

    /// Writes the rows to this file, which is there once it is whole
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// Reads what pipelines wrote to this sink, where they write to several: a mirror, or a standby [default: the first]
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub(super) sink: Option<String>,

    /// Runs the query and shows how, instead of its rows: the plan with its counts, and how many files were opened
    #[arg(long, conflicts_with_all = ["all", "format", "output"])]
    pub(super) explain: bool,
}

#[derive(Debug, Args)]
#[command(after_help = DDL_HELP)]
pub(super) struct Ddl {
    /// The region file
    pub(super) file: PathBuf,

    /// The engine
    #[arg(long = "for", value_name = "ENGINE")]
    pub(super) engine: Engine,

    /// Only this pipeline; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub(super) pipeline: Vec<String>,

    /// Where the engine finds the files of the one table, if not at the `url` of the sink
    #[arg(long, value_name = "URL")]
    pub(super) location: Option<String>,

    /// Runs the statements in this database, by the program `duckdb`
    #[arg(long, value_name = "DATABASE")]
    pub(super) apply: Option<PathBuf>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How the rows of a query are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RowFormat {
    /// A table of text; its first 1000 rows decide the widths.
    Table,
    /// CSV with a header.
    Csv,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Parquet; needs --output.
    Parquet,
}
