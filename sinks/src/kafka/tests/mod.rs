#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::KafkaOptions;

mod pure;
mod services;

fn options(text: &str) -> Result<KafkaOptions, toml::de::Error> {
    toml::from_str(text)
}
