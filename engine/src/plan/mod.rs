//! From a region file to what the lanes and pipelines run: SQL planned, parted and compiled.

mod pipeline;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::ExecutionPlan;

pub use pipeline::{Column, CutPlan, CutWindow, PlannedBranch};
pub use tables::{StaticTable, TableTarget};
pub(crate) use tables::{find as find_table, open as open_table, physical_plan};

use crate::config::{PipelineConfig, Region};
use crate::sql::{Catalog, SqlError, StreamTable};
use crate::window::Work;

/// A region whose every statement is planned.
#[derive(Debug)]
pub struct PlannedRegion {
    /// The configuration it came from.
    pub region: Region,
    /// Its pipelines, in order of their names.
    pub pipelines: Vec<PlannedPipeline>,
}

/// One pipeline, ready to run.
pub struct PlannedPipeline {
    /// Its name.
    pub name: Arc<str>,
    /// Columns of the rows it puts out.
    pub output_schema: SchemaRef,
    /// The output column that dates a row: its window's start, else its end, else its event time.
    pub time_column: Option<String>,
    /// The output columns by which rows are sorted in files: the first group key.
    pub sort_by: Vec<String>,
    /// Hash of the statement.
    pub sql_hash: Arc<str>,
    /// Hash of everything that the meaning of its state depends on.
    pub fingerprint: Arc<str>,
    /// Format of the sketches that its approximate aggregates keep; 0 if there are none.
    pub sketches: u32,
    /// How long windows stay open behind the watermark.
    pub allowed_lateness: i64,
    /// True if windows without rows, between two with rows, are put out.
    pub emit_empty: bool,
    /// What it does with rows.
    pub stage: Stage,
    /// Reference tables to load before the first row.
    pub tables: Vec<StaticTable>,
    pub(crate) session: SessionContext,
    description: String,
}

impl std::fmt::Debug for PlannedPipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedPipeline").field("name", &self.name).field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// The two shapes of a pipeline.
#[derive(Debug)]
pub enum Stage {
    /// No window: rows leave as they come.
    Rows(Vec<PlannedBranch>),
    /// Rows wait for their window.
    Windows {
        /// What streams, one per operator that needs whole windows.
        cuts: Vec<CutPlan>,
        /// The batch plan over the rows of the windows that closed.
        above: Arc<dyn ExecutionPlan>,
        /// True if `above` must see one window at a time (it sorts or limits).
        one_at_a_time: bool,
    },
}

impl PlannedPipeline {
    /// The plan as an indented text.
    pub fn describe(&self) -> String {
        self.description.clone()
    }

    /// Every branch with the cut it feeds.
    pub fn branches(&self) -> impl Iterator<Item = (usize, &PlannedBranch)> {
        let (rows, cuts): (&[PlannedBranch], &[CutPlan]) = match &self.stage {
            Stage::Rows(branches) => (branches, &[]),
            Stage::Windows { cuts, .. } => (&[], cuts),
        };
        let of_cuts = cuts.iter().enumerate().flat_map(|(cut, plan)| plan.branches.iter().map(move |b| (cut, b)));
        rows.iter().map(|branch| (0, branch)).chain(of_cuts)
    }
}

/// Plans every pipeline of a region. Errors come with the name of the pipeline they are in; an error of a table or source stands
/// under its own name.
pub async fn plan_region(region: &Region) -> Result<PlannedRegion, Vec<(String, SqlError)>> {
    let catalog = catalog(region).await.map_err(|error| vec![error])?;
    let mut pipelines = Vec::new();
    let mut errors = Vec::new();
    for config in region.pipelines.values() {
        let planned = plan_pipeline(&catalog, config).await;
        let planned = planned.and_then(|planned| check_late(region, config, check_empty(config, planned)?));
        match planned {
            Ok(mut planned) => {
                planned.tables.iter_mut().for_each(|table| table.refresh_like(&region.tables));
                pipelines.push(planned);
            }
            Err(error) => errors.push((config.name.clone(), error)),
        }
    }
    match errors.is_empty() {
        true => Ok(PlannedRegion { region: region.clone(), pipelines }),
        false => Err(errors),
    }
}

/// Plans one statement over a catalog.
pub async fn plan_pipeline(catalog: &Arc<Catalog>, config: &PipelineConfig) -> Result<PlannedPipeline, SqlError> {
    pipeline::plan(catalog, &config.name, &config.sql, config.allowed_lateness).await
}

/// Plans one statement by name, text and allowed lateness.
pub async fn plan_sql(
    catalog: &Arc<Catalog>,
    name: &str,
    sql: &str,
    allowed_lateness: Duration,
) -> Result<PlannedPipeline, SqlError> {
    pipeline::plan(catalog, name, sql, allowed_lateness).await
}

/// The names that a region's SQL may use.
pub async fn catalog(region: &Region) -> Result<Arc<Catalog>, (String, SqlError)> {
    let mut catalog = Catalog::default();
    for source in region.sources.values() {
        let Some(schema) = &source.schema else {
            let error = SqlError::new(format!("source `{}` has no schema", source.name))
                .help("run `watershed check FILE`: it infers one from the first records and prints it");
            return Err((source.name.clone(), error));
        };
        let table = StreamTable {
            name: source.name.as_str().into(),
            schema: schema.arrow_schema(),
            event_time: source.event_time.as_deref().map(Arc::from),
        };
        catalog.add(&source.name, Arc::new(table));
    }
    for table in region.tables.values() {
        let opened = tables::open(table).await.map_err(|error| (table.name.clone(), error))?;
        catalog.add(&table.name, opened.provider);
        if let Some((url, store)) = opened.store {
            catalog.add_store(url, store);
        }
    }
    Ok(Arc::new(catalog))
}

/// Which rows an empty window has is plain only where each window has one: with keys, no one knows of keys that did not
/// come.
fn check_empty(config: &PipelineConfig, planned: PlannedPipeline) -> Result<PlannedPipeline, SqlError> {
    if !config.emit_empty {
        return Ok(planned);
    }
    let refused =
        |why: &str, help: &str| Err(SqlError::new(format!("`emit_empty` is set, but {why}")).help(help.to_string()));
    let Stage::Windows { cuts, .. } = &planned.stage else {
        return refused("this pipeline has no windows", "take it out, or aggregate by window: FROM tumble(…)");
    };
    let [cut] = cuts.as_slice() else {
        return refused("windows are joined here", "take it out: a join has rows where both sides have some");
    };
    match (&cut.window, &cut.work) {
        (CutWindow::Session { .. }, _) => refused("a session is never empty", "take it out, or write tumble or hop"),
        (CutWindow::Grid(_), Work::Collect) => {
            refused("the rows of a window are taken as they are", "aggregate them by window alone")
        }
        (CutWindow::Grid(_), Work::Aggregate(spec)) if spec.group_count() > 0 => refused(
            "there are keys beside the window, and which of them an empty window has is not known",
            "group by window_start and window_end alone (count(DISTINCT x) has x as a key); or take it out, and let the \
             query join its windows with a list of keys",
        ),
        (CutWindow::Grid(_), Work::Aggregate(_)) => Ok(PlannedPipeline { emit_empty: true, ..planned }),
    }
}

/// Late rows leave as the source's own rows, so there must be one source, and a sink of their own.
fn check_late(region: &Region, config: &PipelineConfig, planned: PlannedPipeline) -> Result<PlannedPipeline, SqlError> {
    let Some(late) = &config.late else { return Ok(planned) };
    if config.sinks.contains(late) {
        return Err(SqlError::new(format!("`{late}` takes both the rows and the late rows of this pipeline"))
            .help("late rows have the source's columns, not the pipeline's: give them a sink of their own"));
    }
    let sources: BTreeMap<&str, SchemaRef> = planned
        .branches()
        .filter_map(|(_, branch)| {
            let source = branch.rows.source.as_ref();
            Some((source, region.sources.get(source)?.schema.as_ref()?.arrow_schema()))
        })
        .collect();
    if sources.len() > 1 {
        return Err(SqlError::new("`late` is set, but this pipeline reads several sources")
            .help("late rows have the columns of their source; make one pipeline per source"));
    }
    Ok(planned)
}
