//! Schemas from a registry that speaks Confluent's HTTP API.
//!
//! The one idea: a schema never changes once it has its id, so each is fetched once and kept. That an id is not known is no
//! such certainty — a schema may be registered a moment later — and is asked again after a while.

mod client;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use url::Url;
use watershed_connectors::{Secret, SourceError};

use crate::decode::{Registered, RegisteredSchema};
use client::Client;
pub(crate) use client::chain;

/// How long an id that the registry did not know is taken to be none.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// Ids that are kept. A registry has some thousands; more are the doing of somebody who makes them up.
const MOST: usize = 20_000;

/// Where a registry is, and who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryOptions {
    /// Its address, with the path in front of `/schemas`, if there is one.
    pub url: String,
    /// For basic authentication.
    pub username: Option<String>,
    /// For basic authentication.
    pub password: Option<Secret>,
    /// In place of these.
    pub token: Option<Secret>,
    /// A file with the certificates to trust in place of the system's.
    pub ca: Option<PathBuf>,
}

impl RegistryOptions {
    /// Checks what can be checked without asking anybody.
    ///
    /// # Errors
    /// Says what to write instead.
    pub fn check(&self) -> Result<(), &'static str> {
        let url = Url::parse(&self.url).map_err(|_| "write it as \"http://HOST:PORT\" or \"https://HOST\"")?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("write it as \"http://HOST:PORT\" or \"https://HOST\"");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("leave the user out of it, and give `username` and `password`");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("leave out what begins with `?` or `#`");
        }
        Ok(())
    }
}

/// What is known of an id.
#[derive(Debug, Clone)]
enum Answer {
    Known(Arc<RegisteredSchema>),
    Unknown { since: Instant },
}

/// A registry, and what it has answered so far.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    answers: Mutex<HashMap<u32, Answer>>,
}

impl Registry {
    /// Makes ready to ask; connects to nothing yet.
    ///
    /// # Errors
    /// [`SourceError::Config`] for certificates that can't be read.
    pub fn new(options: &RegistryOptions) -> Result<Self, SourceError> {
        Ok(Self { client: Client::new(options)?, answers: Mutex::default() })
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<u32, Answer>> {
        // Every change is a single insertion, so a panic elsewhere leaves the map whole.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of `ids` at `now`; the first of which nothing is.
    pub fn known(&self, ids: &BTreeSet<u32>, now: Instant) -> Result<Registered, u32> {
        let answers = self.answers();
        let known = |id: &u32| match answers.get(id) {
            Some(Answer::Known(schema)) => Ok((*id, Some(schema.clone()))),
            Some(Answer::Unknown { since }) if now.saturating_duration_since(*since) < UNKNOWN_FOR => Ok((*id, None)),
            _ => Err(*id),
        };
        ids.iter().map(known).collect()
    }

    /// Asks for the schema `id`, and keeps the answer as one of `now`.
    ///
    /// # Errors
    /// [`SourceError::Retry`] as long as the registry can't be reached or does not answer as one; [`SourceError::Config`]
    /// if it lets nobody in.
    pub async fn fetch(&self, id: u32, now: Instant) -> Result<(), SourceError> {
        let answer = match self.client.schema(id).await? {
            Some(schema) => Answer::Known(Arc::new(schema)),
            None => Answer::Unknown { since: now },
        };
        let mut answers = self.answers();
        if answers.len() >= MOST {
            answers.retain(|_, answer| matches!(answer, Answer::Known(_)));
        }
        if answers.len() >= MOST {
            answers.clear();
        }
        answers.insert(id, answer);
        Ok(())
    }

    /// Asks whether it is a registry and lets us in; gives what was found, in words.
    ///
    /// # Errors
    /// As [`Registry::fetch`].
    pub async fn probe(&self) -> Result<String, SourceError> {
        // Any id will do: that there is none is an answer too.
        self.client.schema(1).await?;
        Ok(format!("registry {} answers", self.client.address()))
    }
}
