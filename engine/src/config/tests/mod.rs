#![allow(clippy::unwrap_used, clippy::expect_used)]

mod broken;
mod fills;
mod hostile;
mod pieces;
mod residency;
mod resolved;
mod sql_places;

use std::collections::HashMap;
use std::env::VarError;
use std::path::Path;

use super::{Region, parse};
use crate::diagnostic::{Diagnostic, render_all};

/// Parses a region file that stands nowhere, without any environment.
fn region(toml: &str) -> Result<Region, Vec<Diagnostic>> {
    region_with(toml, &[])
}

fn region_with(toml: &str, variables: &[(&str, &str)]) -> Result<Region, Vec<Diagnostic>> {
    region_at(Path::new("region.toml"), toml, variables)
}

fn region_at(path: &Path, toml: &str, variables: &[(&str, &str)]) -> Result<Region, Vec<Diagnostic>> {
    let variables: HashMap<String, String> =
        variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    parse(path, toml.as_bytes().to_vec(), &|name| variables.get(name).cloned().ok_or(VarError::NotPresent), 4)
}

/// The region, or a panic that shows what is wrong with it.
fn good(toml: &str) -> Region {
    region(toml).unwrap_or_else(|errors| panic!("{}", render_all(&errors, false)))
}

/// What is wrong with a file, as the user sees it.
fn errors(toml: &str) -> String {
    match region(toml) {
        Ok(region) => panic!("accepted: {region:?}"),
        Err(errors) => render_all(&errors, false),
    }
}
