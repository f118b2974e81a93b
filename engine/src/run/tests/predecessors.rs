//! What is learned of another daemon's state, and what that daemon finds afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::executor::block_on;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use serde_json::json;
use watershed_connectors::{Known, Position, Predecessors, SplitId};
use watershed_sinks::store::StoreOptions;

use crate::checkpoint::{Chain, MANIFEST_VERSION, Manifest, OutletState, Place, SourceState, SplitState, StateError};
use crate::environment::Simulated;
use crate::report::Counts;
use crate::run::predecessors::StatesBefore;
use crate::run::world::{Connect, World};

/// A machine that reaches these stores.
struct Stores(BTreeMap<&'static str, Arc<InMemory>>);

impl Connect for Stores {
    fn predecessor(&self, url: &str, _: &StoreOptions) -> Result<Place, StateError> {
        let store = self.0.get(url).ok_or_else(|| StateError::config("out of reach"))?;
        Ok(Place::of(store.clone(), Path::from("state"), url.to_string()))
    }
}

struct Rig {
    stores: Arc<Stores>,
    environment: Arc<Simulated>,
}

impl Rig {
    fn new() -> Self {
        let stores = ["mine", "theirs"].map(|url| (url, Arc::new(InMemory::new())));
        Self { stores: Arc::new(Stores(stores.into())), environment: Arc::new(Simulated::new(1)) }
    }

    fn chain(&self, url: &str) -> Chain {
        Chain::open(self.stores.0[url].clone(), &Path::from("state"), url, self.environment.clone())
    }

    async fn states(&self, chain: &Chain, source: &str, identity: &str) -> StatesBefore {
        let world =
            World { environment: self.environment.clone(), connect: self.stores.clone(), watch: Arc::new(|_| {}) };
        StatesBefore::new(chain, &StoreOptions::default(), source, identity, &world).await.expect("the chain has begun")
    }
}

fn split(to: u64, ended: bool) -> SplitState {
    SplitState { from: None, to: Some(Position(json!(to))), ended, left: false, greatest_time: Some(9) }
}

/// A state in which the source `orders` stands at these places.
fn state(splits: &[(&str, SplitState)]) -> Manifest {
    let splits = splits.iter().map(|(id, state)| ((*id).to_string(), state.clone())).collect();
    let dead_letters = OutletState { next: 4, ..OutletState::default() };
    let source = SourceState { identity: "kinesis orders".to_string(), splits, dead_letters, ..SourceState::default() };
    Manifest {
        version: MANIFEST_VERSION,
        epoch: 0,
        files_before: 0,
        generation: 0,
        owner: String::new(),
        lost_split: None,
        written_at: String::new(),
        region: "eu".to_string(),
        engine: "1".to_string(),
        datafusion: "1".to_string(),
        config_hash: "1".to_string(),
        counters: Counts::default(),
        sources: [("orders".to_string(), source)].into(),
        pipelines: BTreeMap::new(),
    }
}

fn begin(manifest: &Manifest) -> impl FnMut(Option<&Manifest>, u64) -> Result<Manifest, StateError> + '_ {
    move |newest, _| Ok(newest.unwrap_or(manifest).clone())
}

fn at(to: u64, ended: bool, left: bool) -> Option<Known> {
    Some(Known { position: Some(Position(json!(to))), ended, left })
}

#[test]
fn after_the_last_word_nothing_more_becomes_durable() {
    let rig = Rig::new();
    let theirs = rig.chain("theirs");
    let (one, other) = (SplitId::new("one"), SplitId::new("other"));
    block_on(async {
        let begun = state(&[("one", split(5, false)), ("other", split(6, true))]);
        let mut writer = theirs.take_over(begin(&begun)).await.expect("it is new");
        let their_name = rig.states(&theirs, "orders", "kinesis orders").await.own().to_string();
        // It has gone on since.
        let on = state(&[("one", split(7, false)), ("other", split(6, true))]);
        writer.append(on.clone()).await.expect("it is the owner");

        let mine = rig.chain("mine");
        mine.take_over(begin(&state(&[]))).await.expect("it is new");
        let states = rig.states(&mine, "my_orders", "kinesis orders").await;
        assert_eq!(states.fence(&their_name, &one).await.expect("it is there"), at(7, false, false));
        let error = writer.append(on.clone()).await.expect_err("it was ended").to_string();
        assert!(error.ends_with("which has taken one over from this silent one; start it again"), "{error}");

        // Again, and of another split; another daemon may do so as well.
        let third = rig.states(&mine, "orders", "kinesis orders").await;
        assert_eq!(third.fence(&their_name, &one).await.expect("it is there"), at(7, false, true));
        assert_eq!(states.fence(&their_name, &other).await.expect("it is there"), at(6, true, false));
        assert_eq!(states.fence(&their_name, &SplitId::new("unknown")).await.expect("it is there"), None);

        // It goes on as after any crash, and knows what went elsewhere.
        let mut again = theirs.take_over(begin(&begun)).await.expect("it goes on");
        let mut kept = on.sources["orders"].clone();
        kept.splits.get_mut("one").expect("it is known").left = true;
        assert_eq!(again.newest().sources["orders"], kept);
        again.append(state(&[])).await.expect("it is the owner");
        assert_eq!(rig.states(&theirs, "orders", "kinesis orders").await.own(), their_name);
    });
}

#[test]
fn of_its_own_state_nothing_is_ended() {
    let rig = Rig::new();
    let mine = rig.chain("mine");
    block_on(async {
        let begun = state(&[("one", split(5, false))]);
        let mut writer = mine.take_over(begin(&begun)).await.expect("it is new");
        // Under the name that the source had before.
        let before = rig.states(&mine, "orders", "kinesis orders").await.own().to_string();
        let now = rig.states(&mine, "my_orders", "kinesis orders").await;
        assert_ne!(now.own(), before);
        assert_eq!(now.fence(&before, &SplitId::new("one")).await.expect("it is there"), at(5, false, false));
        writer.append(begun.clone()).await.expect("it is still the owner");
    });
}

#[test]
fn a_state_that_makes_no_sense_here_is_left_alone() {
    let rig = Rig::new();
    let (theirs, mine) = (rig.chain("theirs"), rig.chain("mine"));
    block_on(async {
        let begun = state(&[("one", split(5, false))]);
        let mut writer = theirs.take_over(begin(&begun)).await.expect("it is new");
        let their_name = rig.states(&theirs, "orders", "kinesis orders").await.own().to_string();
        mine.take_over(begin(&state(&[]))).await.expect("it is new");
        let states = rig.states(&mine, "orders", "kinesis orders").await;
        let words = their_name.split(' ').collect::<Vec<_>>();
        let elsewhere = |url: &str| format!("{} {} {url}", words[0], words[1]);
        let another = rig.states(&mine, "orders", "kinesis payments").await;
        let cases = [
            (&states, "orders".to_string(), "that is no name of a state"),
            (&states, elsewhere("nowhere"), "out of reach"),
            // Another machine's folder under the same path.
            (&states, elsewhere("mine"), "another state lies there now, or that path is another machine's"),
            (&another, their_name.clone(), "source `orders` is kinesis orders there, and kinesis payments here"),
        ];
        for (states, name, words) in cases {
            let error = states.fence(&name, &SplitId::new("one")).await.expect_err(words).to_string();
            assert_eq!(error, words, "{name}");
        }
        writer.append(begun).await.expect("it is still the owner");

        let newest = Path::from("state/checkpoints/0000000002.json");
        let store = &rig.stores.0["theirs"];
        let manifest = store.get(&newest).await.expect("it is there").bytes().await.expect("it is in memory");
        let flipped = String::from_utf8(manifest.to_vec()).expect("it is JSON").replacen("\"eu\"", "\"us\"", 1);
        store.put(&newest, flipped.into()).await.expect("memory takes all");
        let error = states.fence(&their_name, &SplitId::new("one")).await.expect_err("it is damaged").to_string();
        assert!(error.contains("0000000002.json in theirs is damaged: its checksum does not match"), "{error}");
        store.delete(&Path::from("state/checkpoints/0000000001.json")).await.expect("it is there");
        let error = states.fence(&their_name, &SplitId::new("one")).await.expect_err("it is gone").to_string();
        assert_eq!(error, "no state lies there");
    });
}
