//! Topics as a source: a partition a split.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::client::Client;
use super::reader::{self, KafkaReader};
use super::settings::KafkaSettings;
use super::topics::Topic;
use super::{listing, probe, topics};
use crate::error::SourceError;
use crate::metadata::Wanted;
use crate::source::{Known, Position, Reader, Source, SplitId};
use crate::start::Beginning;

/// Reads topics.
pub(crate) struct KafkaSource {
    settings: Arc<KafkaSettings>,
    wanted: OnceLock<Wanted>,
    beginning: Beginning,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    client: Option<Arc<Client>>,
    listed: Option<Listed>,
    /// Splits that the checkpoint knows a position of.
    known: HashSet<SplitId>,
    /// Where the others begin.
    begins: HashMap<SplitId, i64>,
    /// Named topics that are told to be gone.
    gone: HashSet<String>,
}

/// What there was at some moment.
struct Listed {
    at: Instant,
    splits: Vec<SplitId>,
}

impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSource").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl KafkaSource {
    pub(crate) fn new(settings: KafkaSettings) -> Self {
        let beginning = Beginning::new(settings.start);
        Self { settings: Arc::new(settings), wanted: OnceLock::new(), beginning, state: Mutex::default() }
    }

    /// The client, once there is one.
    #[cfg(test)]
    pub(super) async fn client(&self) -> Option<Arc<Client>> {
        self.state.lock().await.client.clone()
    }

    /// Looks for topics and partitions, and where new ones begin.
    async fn look(&self, state: &mut State) -> Result<(), SourceError> {
        let (client, found) = match &state.client {
            Some(client) => (client.clone(), listing::topics(client, &self.settings).await?),
            None => self.connect().await?,
        };
        state.warn_of_gone(&found, &self.settings.name);
        let splits = topics::splits(&found);
        self.beginning.listed(&splits);
        let new = splits.iter().filter(|split| !state.known.contains(split) && !state.begins.contains_key(split));
        let new: Vec<_> = new.map(|split| (split.clone(), self.beginning.of(split))).collect();
        if !new.is_empty() {
            state.begins.extend(listing::beginnings(&client, &self.settings, new).await?);
        }
        state.client = Some(client);
        state.listed = Some(Listed { at: Instant::now(), splits });
        Ok(())
    }

    /// Makes the client. How much each partition may fetch ahead is said when a client is made, and depends on how many
    /// there are: a first one finds out, and goes.
    async fn connect(&self) -> Result<(Arc<Client>, Vec<Topic>), SourceError> {
        let scout = Client::start(&self.settings, 1)?;
        let found = listing::topics_that_exist(&scout, &self.settings).await;
        scout.close().await;
        let found = found?;
        if found.is_empty() {
            tracing::warn!(source = %self.settings.name, "no topic matches yet");
        }
        let partitions = found.iter().map(|topic| topic.partitions.max(0) as usize).sum();
        let client = Client::start(&self.settings, partitions)?;
        client.context().health.let_in();
        Ok((Arc::new(client), found))
    }
}

impl State {
    fn warn_of_gone(&mut self, found: &[Topic], source: &str) {
        for topic in found {
            match topic.error {
                None => {
                    self.gone.remove(&topic.name);
                }
                Some(code) if self.gone.insert(topic.name.clone()) => {
                    tracing::warn!(source, topic = topic.name, %code, "a topic can't be listed any more");
                }
                Some(_) => {}
            }
        }
    }

    fn lists(&self, split: &SplitId) -> bool {
        self.listed.as_ref().is_some_and(|listed| listed.splits.contains(split))
    }
}

#[async_trait]
impl Source for KafkaSource {
    fn restore(&self, known: &[(SplitId, Known)]) {
        self.beginning.restore(known);
        // Called before anything else: nobody holds the lock.
        if let Ok(mut state) = self.state.try_lock() {
            let placed = known.iter().filter(|(_, known)| known.position.is_some());
            state.known.extend(placed.map(|(split, _)| split.clone()));
        }
    }

    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        let mut state = self.state.lock().await;
        let fresh = |listed: &&Listed| listed.at.elapsed() < self.settings.refresh;
        if state.listed.as_ref().filter(fresh).is_none() {
            self.look(&mut state).await?;
        }
        Ok(state.listed.as_ref().map(|listed| listed.splits.clone()).unwrap_or_default())
    }

    async fn open(&self, split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        topics::parse(split)?;
        let offset = from.map(|position| reader::offset(split, position)).transpose()?;
        let mut state = self.state.lock().await;
        if !state.lists(split) {
            self.look(&mut state).await?;
        }
        let (Some(client), true) = (state.client.clone(), state.lists(split)) else {
            let cause = "there is no such partition; was its topic deleted?";
            return Err(SourceError::retry(format!("split {split}"), cause));
        };
        let offset = match offset.or_else(|| state.begins.get(split).copied()) {
            Some(offset) => offset,
            None => {
                // The checkpoint knew it, and is not asked for.
                let wanted = vec![(split.clone(), self.beginning.of(split))];
                let found = listing::beginnings(&client, &self.settings, wanted).await?;
                let (_, offset) = found.into_iter().next().ok_or_else(|| {
                    SourceError::retry(format!("split {split}"), "the brokers do not say where it begins")
                })?;
                state.begins.insert(split.clone(), offset);
                offset
            }
        };
        drop(state);
        let wanted = self.wanted.get().cloned().unwrap_or_default();
        Ok(Box::new(KafkaReader::open(client, self.settings.clone(), wanted, split, offset)?))
    }

    fn bounded(&self) -> bool {
        false
    }

    fn discovers(&self) -> bool {
        true
    }

    fn acknowledges(&self) -> bool {
        self.settings.group.is_some()
    }

    fn describe(&self, wanted: Wanted) {
        // Told once.
        let _ = self.wanted.set(wanted);
    }

    async fn probe(&self) -> Result<String, SourceError> {
        let client = Client::start(&self.settings, 1)?;
        let found = probe::probe(&client, &self.settings).await;
        client.close().await;
        found
    }

    async fn close(&self) {
        let client = self.state.lock().await.client.take();
        if let Some(client) = client.and_then(Arc::into_inner) {
            client.close().await;
        }
    }
}
