#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::PostgresOptions;

mod pure;
mod services;

fn options(text: &str) -> Result<PostgresOptions, toml::de::Error> {
    toml::from_str(text)
}
