//! The states of daemons that had read a split before it came here.
//!
//! The one idea: a manifest is the commit point of its daemon, so whoever writes the next one of another's chain has the
//! last word: what that chain says by then is all that will ever be durable of the split there. To the other daemon it is
//! a takeover, as by a restart; its state is left as it was, with the split marked as read elsewhere.
//!
//! A state is named by the source in it, the name of its chain and the place: `orders 5f0c…87 s3://acme-eu-state/watershed`.
//! The chain's name keeps apart what merely lies under one path on two machines.

use std::time::Duration;

use async_trait::async_trait;
use watershed_connectors::{Known, Predecessors, SourceError, SplitId};
use watershed_sinks::store::StoreOptions;

use super::error::RunError;
use super::world::World;
use crate::checkpoint::{Chain, Manifest, Place, SourceState, StateError};

/// A state that can't be had for so long is gone without: the split waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the states of those who had held the splits of one source.
#[derive(Debug)]
pub(super) struct StatesBefore {
    /// This daemon's own.
    own: String,
    chain: Chain,
    chain_name: String,
    identity: String,
    /// How states are reached.
    options: StoreOptions,
    world: World,
}

impl StatesBefore {
    /// For the source called `source`, which is `identity`, of the run that owns `chain` and reaches it with `options`.
    pub(super) async fn new(
        chain: &Chain,
        options: &StoreOptions,
        source: &str,
        identity: &str,
        world: &World,
    ) -> Result<Self, RunError> {
        let chain_name = chain.name().await?.ok_or(RunError::Lost("the first epoch"))?;
        let own = StateName { source, chain: &chain_name, url: chain.url() }.to_string();
        let (identity, options) = (identity.to_string(), options.clone());
        Ok(Self { own, chain: chain.clone(), chain_name, identity, options, world: world.clone() })
    }

    /// What `manifest` knows of the source called `source`; its positions must mean here what they mean there.
    fn source<'m>(&self, manifest: &'m mut Manifest, source: &str) -> Result<Option<&'m mut SourceState>, StateError> {
        let Some(state) = manifest.sources.get_mut(source) else { return Ok(None) };
        if state.identity != self.identity {
            let (there, here) = (&state.identity, &self.identity);
            return Err(StateError::config(format_args!("source `{source}` is {there} there, and {here} here")));
        }
        Ok(Some(state))
    }

    async fn open(&self, name: StateName<'_>) -> Result<Chain, SourceError> {
        let place = self.world.connect.predecessor(name.url, &self.options).map_err(SourceError::config)?;
        let place = Place { patience: PATIENCE, ..place };
        let chain = Chain::at(&place, self.world.environment.clone());
        match chain.name().await.map_err(SourceError::config)? {
            Some(found) if found == name.chain => Ok(chain),
            Some(_) => Err(SourceError::config("another state lies there now, or that path is another machine's")),
            None => Err(SourceError::config("no state lies there")),
        }
    }
}

#[async_trait]
impl Predecessors for StatesBefore {
    fn own(&self) -> &str {
        &self.own
    }

    async fn fence(&self, state: &str, split: &SplitId) -> Result<Option<Known>, SourceError> {
        let name = StateName::parse(state).ok_or_else(|| SourceError::config("that is no name of a state"))?;
        if name.chain == self.chain_name {
            // Nobody else writes to it: who did before this run was ended by its takeover.
            let newest = self.chain.newest().await.map_err(SourceError::config)?;
            let Some(mut newest) = newest else { return Ok(None) };
            let source = self.source(&mut newest, name.source).map_err(SourceError::config)?;
            return Ok(source.and_then(|source| known(source, split)));
        }
        let chain = self.open(name).await?;
        let mut last_known = None;
        let last_word = |newest: Option<&Manifest>, _| {
            let mut manifest = newest.cloned().ok_or_else(|| StateError::config("no state lies there"))?;
            manifest.lost_split = Some(split.to_string());
            last_known = None;
            if let Some(source) = self.source(&mut manifest, name.source)? {
                last_known = known(source, split);
                if let Some(state) = source.splits.get_mut(split.as_str()) {
                    state.left = !state.ended;
                }
            }
            Ok::<_, StateError>(manifest)
        };
        chain.take_over(last_word).await.map_err(SourceError::config)?;
        Ok(last_known)
    }
}

fn known(source: &SourceState, split: &SplitId) -> Option<Known> {
    let state = source.splits.get(split.as_str())?;
    Some(Known { position: state.to.clone(), ended: state.ended, left: state.left })
}

/// The name of a state, taken apart.
#[derive(Debug, Clone, Copy)]
struct StateName<'a> {
    source: &'a str,
    chain: &'a str,
    url: &'a str,
}

impl<'a> StateName<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (source, rest) = text.split_once(' ')?;
        let (chain, url) = rest.split_once(' ')?;
        Some(Self { source, chain, url })
    }
}

impl std::fmt::Display for StateName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.source, self.chain, self.url)
    }
}
