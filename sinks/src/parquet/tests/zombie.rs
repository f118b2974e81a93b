//! A process that was paused in the middle of publishing, and wakes up when another has taken over.
//!
//! Whatever it does then, it changes nothing: what it had to show is shown already, once.

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use super::store::{FailingStore, Step};
use super::*;
use crate::store::{MemoryUploads, Uploads};

/// A place that several processes write to, on a disk or in memory.
struct Shared {
    lake: Lake,
    memory: Option<(Arc<dyn ObjectStore>, Arc<MemoryUploads>)>,
}

impl Shared {
    fn both() -> [Self; 2] {
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let uploads = Arc::new(MemoryUploads::new(Arc::clone(&memory)));
        [None, Some((memory, uploads))].map(|memory| Self { lake: Lake::new(), memory })
    }

    /// The requests that show a file.
    fn showing(&self) -> &'static [Step] {
        if self.memory.is_some() { &[Step::Complete] } else { &[Step::Copy, Step::Delete] }
    }

    /// A process, and its own way to the store.
    fn process(&self) -> (ParquetSink, Arc<FailingStore>) {
        let (options, clock) = (self.lake.options(), self.lake.clock.clock());
        if let Some((memory, uploads)) = &self.memory {
            let store = FailingStore::beside(Arc::clone(memory), Arc::clone(uploads) as _);
            let sink = ParquetSink::new(options, context("orders"), store.place(""), clock);
            return (sink.unwrap(), store);
        }
        let mut store = None;
        let sink = ParquetSink::local_with(options, context("orders"), clock, |inner| {
            Arc::clone(store.insert(FailingStore::over(inner))) as _
        });
        (sink.unwrap(), store.unwrap())
    }

    /// Everything there is, staged or visible.
    async fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let Some((memory, uploads)) = &self.memory else {
            let files = self.lake.all_files().into_iter();
            return files.map(|key| (key.clone(), fs::read(self.lake.path(&key)).unwrap())).collect();
        };
        let mut contents = BTreeMap::new();
        for file in visible_files(&**memory, &Path::ROOT).await.unwrap() {
            let bytes = memory.get(&file.location).await.unwrap().bytes().await.unwrap();
            contents.insert(file.location.to_string(), bytes.to_vec());
        }
        for upload in uploads.unfinished(&Path::ROOT).await.unwrap() {
            contents.insert(format!("{} ({})", upload.key, upload.id), Vec::new());
        }
        contents
    }
}

/// A file for each of six hours.
fn six_hours(day: i64) -> RecordBatch {
    batch(&(0..6).map(|hour| day * 8640 + hour * 360).collect::<Vec<_>>())
}

async fn epoch(sink: &mut ParquetSink, number: u64, epoch: u64) {
    sink.write(number, six_hours(number as i64)).await.unwrap();
    let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
    assert_eq!(sink.commit(&prepared).await.unwrap().files, 6);
}

async fn commit(sink: &mut ParquetSink, prepared: &Prepared) -> Committed {
    loop {
        match sink.commit(prepared).await {
            Err(SinkError::Retry { .. }) => tokio::task::yield_now().await,
            done => return done.unwrap(),
        }
    }
}

/// One place of each kind for every step of showing files, each with `passings` numbers of such steps that pass before.
fn at_each_step(passings: impl IntoIterator<Item = usize>) -> Vec<(Shared, Step, usize)> {
    let mut cases = Vec::new();
    for passing in passings {
        for kind in 0..2 {
            let [disk, memory] = Shared::both();
            let steps = if kind == 0 { disk.showing() } else { memory.showing() };
            for step in steps {
                let [disk, memory] = Shared::both();
                cases.push((if kind == 0 { disk } else { memory }, *step, passing));
            }
        }
    }
    cases
}

#[tokio::test]
async fn a_zombie_that_wakes_up_while_it_publishes_changes_nothing() {
    for (place, step, passing) in at_each_step([0, 3]) {
        let (mut zombie, store) = place.process();
        assert_eq!(zombie.open().await.unwrap(), 1);
        zombie.write(0, six_hours(0)).await.unwrap();
        let prepared = zombie.prepare(1, Flush::All).await.unwrap();
        let gate = store.pause(step, passing);
        let publishing = tokio::spawn({
            let prepared = prepared.clone();
            async move {
                let committed = commit(&mut zombie, &prepared).await;
                (zombie, committed)
            }
        });
        gate.reached().await;

        let (mut heir, _) = place.process();
        // Where nothing is staged under a name, the epoch is known from the files that are shown.
        assert_eq!(heir.open().await.unwrap(), 2);
        commit(&mut heir, &prepared).await;
        epoch(&mut heir, 1, 2).await;
        epoch(&mut heir, 2, 3).await;
        let before = place.contents().await;
        assert_eq!(before.len(), 18, "{step:?} {passing}: {:?}", before.keys());

        gate.open();
        let (mut zombie, committed) = publishing.await.unwrap();
        assert_eq!(committed.files, 6);
        assert_eq!(place.contents().await, before, "{step:?} {passing}");
        epoch(&mut heir, 3, 4).await;
        let before = place.contents().await;
        commit(&mut zombie, &prepared).await;
        assert_eq!(place.contents().await, before, "{step:?} {passing}, and once more");
    }
}

#[tokio::test]
async fn two_that_publish_the_same_at_the_same_time_agree() {
    // The zombie looks at the sizes of both files and then into both, while the heir stands between copy and removal.
    for passing in 0..4 {
        let [place, _] = Shared::both();
        let (mut zombie, zombies) = place.process();
        zombie.open().await.unwrap();
        zombie.write(0, batch(&[1])).await.unwrap();
        let prepared = zombie.prepare(1, Flush::All).await.unwrap();
        let (mut heir, heirs) = place.process();
        heir.open().await.unwrap();

        let between = heirs.pause(Step::Delete, 0);
        let inheriting = tokio::spawn({
            let prepared = prepared.clone();
            async move {
                commit(&mut heir, &prepared).await;
                epoch(&mut heir, 1, 2).await;
                heir
            }
        });
        between.reached().await;
        let looking = zombies.pause(Step::Get, passing);
        let publishing = tokio::spawn(async move { commit(&mut zombie, &prepared).await });
        looking.reached().await;
        between.open();
        let _heir = inheriting.await.unwrap();
        let before = place.contents().await;
        assert_eq!(before.len(), 7, "{:?}", before.keys());
        looking.open();
        assert_eq!(publishing.await.unwrap().files, 1);
        assert_eq!(place.contents().await, before, "{passing}");
    }
}

#[tokio::test]
async fn a_zombie_that_looks_for_what_its_heir_completed_agrees() {
    // It finds its upload gone, and looks at the object's size and then at its end.
    for passing in 0..2 {
        let [_, place] = Shared::both();
        let (mut zombie, zombies) = place.process();
        zombie.open().await.unwrap();
        zombie.write(0, batch(&[1])).await.unwrap();
        let prepared = zombie.prepare(1, Flush::All).await.unwrap();
        let (mut heir, _) = place.process();
        heir.open().await.unwrap();
        commit(&mut heir, &prepared).await;
        let looking = zombies.pause(Step::Get, passing);
        let publishing = tokio::spawn(async move { commit(&mut zombie, &prepared).await });
        looking.reached().await;
        epoch(&mut heir, 1, 2).await;
        let before = place.contents().await;
        assert_eq!(before.len(), 7, "{:?}", before.keys());
        looking.open();
        assert_eq!(publishing.await.unwrap().files, 1);
        assert_eq!(place.contents().await, before, "{passing}");
    }
}

#[tokio::test]
async fn the_sweep_of_a_zombie_that_wakes_up_spares_its_heir() {
    for place in Shared::both() {
        // The zombie has leftovers to sweep, and is paused before that: at the last file that it shows.
        let (mut dead, _) = place.process();
        dead.write(0, six_hours(0)).await.unwrap();
        dead.prepare(1, Flush::All).await.unwrap();
        let (mut zombie, store) = place.process();
        assert_eq!(zombie.open().await.unwrap(), 2);
        zombie.write(0, batch(&[1])).await.unwrap();
        let prepared = zombie.prepare(2, Flush::All).await.unwrap();
        let gate = store.pause(place.showing()[place.showing().len() - 1], 0);
        let publishing = tokio::spawn({
            let prepared = prepared.clone();
            async move { commit(&mut zombie, &prepared).await }
        });
        gate.reached().await;

        let (mut heir, _) = place.process();
        heir.open().await.unwrap();
        commit(&mut heir, &prepared).await;
        heir.write(0, six_hours(1)).await.unwrap();
        let staged = heir.prepare(3, Flush::All).await.unwrap();
        gate.open();
        publishing.await.unwrap();
        assert_eq!(commit(&mut heir, &staged).await.files, 6);
        assert_eq!(place.contents().await.len(), 7);
    }
}

#[tokio::test]
async fn a_commit_cut_short_at_any_step_is_repeated() {
    for (place, step, passing) in at_each_step(0..6) {
        let (mut sink, store) = place.process();
        sink.open().await.unwrap();
        sink.write(0, six_hours(0)).await.unwrap();
        let prepared = sink.prepare(1, Flush::All).await.unwrap();
        let left: Mutex<usize> = Mutex::new(passing);
        store.fail_with(move |failing, _| {
            if failing != step {
                return None;
            }
            let mut left = left.lock().unwrap();
            let fails = *left == 0;
            *left = left.saturating_sub(1);
            fails.then(|| object_store::Error::Generic { store: "FailingStore", source: "reset".into() })
        });
        for _ in 0..2 {
            assert!(matches!(sink.commit(&prepared).await, Err(SinkError::Retry { .. })), "{step:?} {passing}");
        }
        store.heal();
        assert_eq!(commit(&mut sink, &prepared).await.files, 6);
        assert_eq!(place.contents().await.len(), 6, "{step:?} {passing}");
    }
}
