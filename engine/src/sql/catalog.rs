//! The names that SQL may use: streams, and reference tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SessionContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::SessionConfig;
use object_store::ObjectStore;

use super::error::SqlError;
use super::windows::WindowPlanner;

/// Streams and tables by name.
#[derive(Debug, Default)]
pub struct Catalog {
    tables: BTreeMap<String, Arc<dyn TableProvider>>,
    /// Where some of the tables lie.
    stores: Vec<(ObjectStoreUrl, Arc<dyn ObjectStore>)>,
}

impl Catalog {
    /// Adds a stream ([`super::StreamTable`]) or a table.
    pub fn add(&mut self, name: impl Into<String>, table: Arc<dyn TableProvider>) {
        self.tables.insert(name.into(), table);
    }

    /// Adds the store that tables name by `url`.
    pub fn add_store(&mut self, url: ObjectStoreUrl, store: Arc<dyn ObjectStore>) {
        self.stores.push((url, store));
    }

    /// A scan of the table called `name`.
    pub(crate) fn scan(&self, name: &str) -> Result<LogicalPlan, SqlError> {
        let Some(table) = self.tables.get(name) else { return Err(self.unknown(name)) };
        Ok(LogicalPlanBuilder::scan(name, provider_as_source(table.clone()), None)?.build()?)
    }

    /// The error for a name that is none of ours.
    pub(crate) fn unknown(&self, name: &str) -> SqlError {
        let error = SqlError::new(format!("there is no source or table `{name}`"));
        let nearest = self
            .tables
            .keys()
            .map(|known| (strsim::jaro_winkler(known, name), known))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(likeness, _)| *likeness > 0.7);
        match nearest {
            Some((_, known)) => error.help(format!("did you mean `{known}`?")),
            None if self.tables.is_empty() => error.help("declare it as [sources.NAME] or [tables.NAME]"),
            None => {
                let names: Vec<_> = self.tables.keys().map(|known| format!("`{known}`")).collect();
                error.help(format!("there are {}", names.join(", ")))
            }
        }
    }

    /// A DataFusion session that knows these names, the window functions and our aggregates. Plans made by it are small and run
    /// once per window or per batch, so they are not split over partitions.
    pub fn session(self: &Arc<Self>) -> Result<SessionContext, SqlError> {
        let mut config = SessionConfig::new()
            .with_target_partitions(1)
            .with_information_schema(false)
            .set_bool("datafusion.sql_parser.collect_spans", true);
        config.options_mut().execution.time_zone = Some("UTC".into());
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .with_relation_planners(vec![Arc::new(WindowPlanner { catalog: self.clone() })])
            .build();
        let context = SessionContext::new_with_state(state);
        crate::aggregate::register(&context);
        for (url, store) in &self.stores {
            context.register_object_store(url.as_ref(), store.clone());
        }
        for (name, table) in &self.tables {
            context.register_table(name.as_str(), table.clone())?;
        }
        Ok(context)
    }
}
