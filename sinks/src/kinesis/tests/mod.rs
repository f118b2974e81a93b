#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::KinesisOptions;

mod pure;
mod services;

fn options(text: &str) -> Result<KinesisOptions, toml::de::Error> {
    toml::from_str(text)
}
