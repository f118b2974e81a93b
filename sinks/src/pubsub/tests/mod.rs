#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::PubSubOptions;

mod pure;
mod services;

fn options(text: &str) -> Result<PubSubOptions, toml::de::Error> {
    toml::from_str(text)
}
