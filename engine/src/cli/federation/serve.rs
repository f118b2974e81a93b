//! The daemon's side: it does its region's part for whoever has the token.
//!
//! The one idea: whatever is asked, only states of aggregates go out. Who asks, and from where, makes no difference to that.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::super::failure::Failure;
use super::part::{self, Limits, Refused};
use crate::config::Region;
use crate::diagnostic::Diagnostic;
use crate::http::{Answers, NoAnswer};
use crate::plan::{PlannedRegion, Stage};

/// What a query may take of the daemon's memory: a share that the windows do not miss.
const MEMORY: usize = 128 << 20;

/// Answers queries about one region.
#[derive(Debug)]
pub(in crate::cli) struct Counter {
    region: Region,
    limits: Limits,
}

impl Counter {
    pub(in crate::cli) fn new(region: &Region, planned: &PlannedRegion) -> Arc<Self> {
        // The rows of a pipeline without windows are events, and so are late rows.
        let events = planned.pipelines.iter().flat_map(|pipeline| {
            let rows = matches!(pipeline.stage, Stage::Rows(_)).then(|| pipeline.name.to_string());
            rows.into_iter().chain([format!("{}_late", pipeline.name)])
        });
        let limits = Limits { memory: MEMORY, partitions: Some(1), events: events.collect::<BTreeSet<_>>() };
        Arc::new(Self { region: region.clone(), limits })
    }

    fn told(&self, error: &Diagnostic) -> serde_json::Value {
        let redact = |text: &String| self.region.secrets.redact(text);
        let help = error.help.as_ref().map(redact);
        json!({ "error": redact(&error.message), "help": help, "position": error.line_column })
    }
}

#[async_trait]
impl Answers for Counter {
    fn region(&self) -> &str {
        &self.region.name
    }

    async fn answer(&self, sql: &str) -> Result<Vec<u8>, NoAnswer> {
        let failure = match part::run(&self.region, sql, self.limits.clone()).await {
            Ok(answer) => match answer.encode() {
                Ok(bytes) => return Ok(bytes),
                Err(error) => Failure::running(format!("the answer cannot be written: {error}")),
            },
            Err(Refused::Rows(why)) => {
                let told = json!({
                    "error": why.message, "help": why.help, "position": why.position, "moves_rows": true,
                });
                return Err(NoAnswer::Refused(told));
            }
            Err(Refused::Broke(error)) => {
                tracing::warn!(error = %error.strip_backtrace(), "a query from outside failed");
                let why = "the query failed on a row, and the reason may tell what is in it; the daemon's log has it";
                Failure::running(why)
            }
            Err(Refused::Failed(failure)) => failure,
        };
        Err(match failure {
            Failure::Running(error) => NoAnswer::Failed(self.told(&error)),
            Failure::Wrong(errors) => match errors.first() {
                Some(error) => NoAnswer::Refused(self.told(error)),
                None => NoAnswer::Failed(json!({ "error": "the query was refused" })),
            },
            several @ Failure::Several(_) => NoAnswer::Failed(self.told(&Diagnostic::new(several.render(false)))),
        })
    }
}
