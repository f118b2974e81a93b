//! Whether reference tables are where the region file says.

use super::failure::{Failure, Outcome};
use crate::config::{Region, TableConfig};
use crate::diagnostic::Diagnostic;
use crate::plan::find_table;
use crate::sql::SqlError;

/// Refuses a region with a table of which there is no file.
pub(super) async fn check(region: &Region) -> Outcome {
    let mut errors = Vec::new();
    for table in region.tables.values() {
        errors.extend(find(table).await.err());
    }
    if errors.is_empty() { Ok(()) } else { Err(Failure::Wrong(errors)) }
}

/// Looks for a table's files.
pub(super) async fn find(table: &TableConfig) -> Result<(), Diagnostic> {
    let refused =
        |SqlError { message, help, .. }| Diagnostic { help, ..Diagnostic::at(table.location.clone(), message) };
    find_table(table).await.map_err(refused)
}
