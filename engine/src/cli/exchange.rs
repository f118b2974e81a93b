//! `watershed replay --replace`: puts the files of a replay in the place of those that the first run wrote.
//!
//! The one idea: what is to go and what is to come is written down first, then done; so an exchange that is cut short is
//! finished by the next start of the same command. A file is replaced whole or not at all: one that holds rows of windows
//! inside of the range and of others can't be, and the replay is refused before it begins.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::compute::{cast, max, min};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};

use super::failure::{Failure, Outcome};
use super::lake::{is_of, numbers};
use crate::checkpoint::Manifest;
use crate::config::{Region, SinkOptions};
use crate::diagnostic::Diagnostic;
use crate::plan::{CutWindow, PlannedPipeline, Stage};

/// The file in which an exchange is written down before it is done.
const JOURNAL: &str = "_exchange.json";
/// Its name when it is done: doing it again would remove what has come.
const DONE: &str = "_exchanged.json";

/// One pipeline whose files are to be exchanged.
#[derive(Debug)]
pub(super) struct Exchange {
    pipeline: String,
    /// Where the first run wrote.
    folder: PathBuf,
    /// Where the replay writes.
    fresh: PathBuf,
    /// The column that begins a row's window, or dates the row.
    time: String,
    /// Length of a window; one microsecond where there is none.
    length: i64,
    range: Range<i64>,
}

/// What is done, in this order.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Journal {
    /// Files that come: from, to.
    add: Vec<(PathBuf, PathBuf)>,
    /// Files that go.
    remove: Vec<PathBuf>,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pipeline {} in {}", self.pipeline, self.folder.display())
    }
}

impl Exchange {
    /// The exchange of one pipeline, if it can be done. `state` is the region's own.
    pub(super) fn of(
        region: &Region,
        plan: &PlannedPipeline,
        into: &Path,
        range: &Range<i64>,
        state: Option<&Manifest>,
    ) -> Outcome<Self> {
        let name = plan.name.as_ref();
        let refused = |why: String, help: &str| {
            let error = Diagnostic::new(format!("pipeline `{name}`: {why}"));
            Failure::wrong(error.help(help.to_string()))
        };
        let held = state.and_then(|state| state.pipelines.get(name)).is_some_and(|state| state.out.holds_rows());
        if held {
            let help = "stop the daemon, which closes all files, and replay then";
            return Err(refused("the state holds rows that are in no file yet".to_string(), help));
        }
        let length = match &plan.stage {
            Stage::Rows(_) => 1,
            Stage::Windows { cuts, .. } => match cuts.first().map(|cut| &cut.window) {
                Some(CutWindow::Grid(grid)) => grid.size,
                _ => {
                    let help = "replay it with --into alone, and exchange what you need by hand";
                    return Err(refused("the bounds of a range cut through sessions".to_string(), help));
                }
            },
        };
        let Some(time) = plan.time_column.clone() else {
            let help = "put window_start among its columns";
            return Err(refused("its rows do not say which window they are of".to_string(), help));
        };
        let sinks = region.pipelines.get(name).map_or(&[][..], |config| &config.sinks);
        let found = sinks.iter().find_map(|sink| {
            let sink = region.sinks.get(sink)?;
            match &sink.options {
                SinkOptions::Parquet(options) => Some((sink, options)),
                SinkOptions::Delta(_) | SinkOptions::Messages(_) | SinkOptions::Stdout | SinkOptions::Null => None,
            }
        });
        let Some((sink, options)) = found else {
            return Err(refused("it writes to no parquet sink".to_string(), "there is nothing to replace"));
        };
        if let Some(standby) = &sink.standby {
            let why = format!("rows of the range may lie in `{}`, which stands by for `{}`", standby.sink, sink.name);
            return Err(refused(why, "replay it with --into alone, and exchange what you need by hand"));
        }
        let folder = options.local_path().map_err(|error| {
            refused(error.to_string(), "files are exchanged in local folders only: replay it with --into alone")
        })?;
        let fresh = into.join(name);
        let exchange = Self { pipeline: name.to_string(), folder, fresh, time, length, range: range.clone() };
        exchange.old_files()?;
        Ok(exchange)
    }

    /// True if the exchange is done: before, or now, if it was cut short.
    pub(super) fn is_done(&self) -> Outcome<bool> {
        let path = self.fresh.join(JOURNAL);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.fresh.join(DONE).exists()),
            Err(error) => Err(failed("read", &path, &error)),
            Ok(bytes) => {
                let journal: Journal =
                    serde_json::from_slice(&bytes).map_err(|error| failed("read", &path, &io::Error::other(error)))?;
                self.carry_out(&journal)?;
                Ok(true)
            }
        }
    }

    /// Exchanges the files; gives how many came and how many went.
    pub(super) fn run(&self) -> Outcome<(usize, usize)> {
        let remove = self.old_files()?;
        let mut add = Vec::new();
        let mut epoch = 0;
        let mut number = 0;
        for file in files(&self.folder, &self.pipeline).map_err(|error| failed("list", &self.folder, &error))? {
            // Behind the last file of the last epoch there: a name that no run has used or will use.
            let name = file.file_name().and_then(OsStr::to_str);
            (epoch, number) =
                name.and_then(|name| numbers(name, &self.pipeline)).unwrap_or_default().max((epoch, number));
        }
        let fresh = files(&self.fresh, &self.pipeline).map_err(|error| failed("list", &self.fresh, &error))?;
        for file in fresh {
            number += 1;
            let below = file.strip_prefix(&self.fresh).ok().and_then(Path::parent).unwrap_or(Path::new(""));
            let name = format!("{}-{:08}-{number:04}.parquet", self.pipeline, epoch.max(1));
            add.push((file.clone(), self.folder.join(below).join(name)));
        }
        if add.is_empty() && !remove.is_empty() {
            let error =
                Diagnostic::new(format!("pipeline `{}`: the replay gave no rows; nothing was replaced", self.pipeline));
            return Err(Failure::Running(error.help("does the archive hold the events of this range?")));
        }
        let journal = Journal { add, remove };
        let path = self.fresh.join(JOURNAL);
        fs::create_dir_all(&self.fresh).map_err(|error| failed("make", &self.fresh, &error))?;
        let json =
            serde_json::to_vec_pretty(&journal).map_err(|error| failed("write", &path, &io::Error::other(error)))?;
        let written =
            File::create(&path).and_then(|mut file| io::Write::write_all(&mut file, &json).and(file.sync_all()));
        written.map_err(|error| failed("write", &path, &error))?;
        self.carry_out(&journal)?;
        Ok((journal.add.len(), journal.remove.len()))
    }

    fn carry_out(&self, journal: &Journal) -> Outcome {
        for (from, to) in &journal.add {
            if !from.exists() && to.exists() {
                continue;
            }
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder).map_err(|error| failed("make", folder, &error))?;
            }
            fs::rename(from, to).map_err(|error| failed("move to the lake", from, &error))?;
        }
        for file in &journal.remove {
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", file, &error)),
                _ => {}
            }
        }
        let path = self.fresh.join(JOURNAL);
        fs::rename(&path, self.fresh.join(DONE)).map_err(|error| failed("rename", &path, &error))
    }

    /// The files whose windows all lie in the range. One with others, too, is an error.
    fn old_files(&self) -> Outcome<Vec<PathBuf>> {
        let mut inside = Vec::new();
        for file in files(&self.folder, &self.pipeline).map_err(|error| failed("list", &self.folder, &error))? {
            let times = times(&file, &self.time).map_err(|error| failed("read", &file, &io::Error::other(error)))?;
            let Some((first, last)) = times else { continue };
            let starts_inside = first >= self.range.start;
            let ends_inside = last.saturating_add(self.length) <= self.range.end;
            let none_inside = last < self.range.start || first.saturating_add(self.length) > self.range.end;
            match (starts_inside && ends_inside, none_inside) {
                (true, _) => inside.push(file),
                (false, true) => {}
                (false, false) => {
                    let error = format!("{} holds windows inside and outside of the range", file.display());
                    let help = "widen --from and --to to the bounds of partitions, or leave --replace out";
                    return Err(Failure::wrong(Diagnostic::new(error).help(help)));
                }
            }
        }
        Ok(inside)
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::running(format!("cannot {what} {}: {error}", path.display()))
}

/// The visible files of a pipeline below a folder, in order of their names.
fn files(folder: &Path, pipeline: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            match entry.file_type()?.is_dir() {
                _ if name.starts_with(['_', '.']) => {}
                true => folders.push(entry.path()),
                false if is_of(&name, pipeline) => found.push(entry.path()),
                false => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The least and the greatest value of the column `time`, in microseconds; none if the file has no rows.
fn times(file: &Path, time: &str) -> datafusion::common::Result<Option<(i64, i64)>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?;
    let columns = ProjectionMask::columns(builder.parquet_schema(), [time]);
    let mut bounds: Option<(i64, i64)> = None;
    for batch in builder.with_projection(columns).build()? {
        let batch = batch?;
        let Some(column) = batch.columns().first() else { continue };
        let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
        let micros = micros.as_primitive::<TimestampMicrosecondType>();
        if let (Some(first), Some(last)) = (min(micros), max(micros)) {
            bounds = Some(bounds.map_or((first, last), |(a, b)| (a.min(first), b.max(last))));
        }
    }
    Ok(bounds)
}
