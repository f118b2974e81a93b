//! Several processes over a store that fails, in thousands of worlds.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use futures::future::join_all;

use super::*;

/// An epoch somebody wanted to write: which it was to follow on, and whether it was told that it stands.
#[derive(Debug, Clone)]
struct Attempt {
    epoch: u64,
    mark: u64,
    follows: u64,
    stands: bool,
}

/// A chain that has almost come to a milestone. Its last mark is 0.
static GROWN: LazyLock<InMemory> = LazyLock::new(|| {
    let rig = Rig::new(0);
    block_on(async {
        let mut writer = grown(&rig.chain(), names::STRIDE - 3).await;
        writer.append(manifest(0, vec![])).await.unwrap();
    });
    rig.memory.fork()
});

/// What one process does: take over, write some epochs, sleep for a moment or for days, sweep, until it is stopped; and
/// then once more.
async fn live(rig: Rig, attempts: &Mutex<Vec<Attempt>>) {
    let state = rig.state().with_patience(Duration::from_secs(120));
    for _ in 0..3 {
        let chain = Chain::of(state.clone(), &Path::from("root"));
        let mut tried = None;
        let taken = chain.take_over(|newest, epoch| {
            let newest = newest.expect("the chain has begun");
            let mark = rig.world.random_u64() >> 12;
            tried = Some(Attempt { epoch, mark, follows: newest.counters.read, stands: false });
            attempts.lock().unwrap().extend(tried.clone());
            let mut same = newest.clone();
            same.counters.read = mark;
            Ok::<_, StateError>(same)
        });
        let Ok(mut writer) = taken.await else { continue };
        stands(attempts, tried.as_ref().unwrap());
        for _ in 0..rig.world.random_u64() % 6 {
            let pause = match rig.world.random_u64() % 10 {
                0 => Duration::from_secs(2 * 24 * 3600),
                _ => Duration::from_millis(rig.world.random_u64() % 20_000),
            };
            rig.world.sleep(pause).await;
            if write(&chain, &mut writer, &rig, attempts).await.is_err() {
                break;
            }
            chain.sweep(writer.newest()).await;
        }
    }
}

async fn write(
    chain: &Chain,
    writer: &mut Writer,
    rig: &Rig,
    attempts: &Mutex<Vec<Attempt>>,
) -> Result<(), StateError> {
    let epoch = writer.next_epoch();
    let mark = rig.world.random_u64() >> 12;
    let mut pieces: Vec<Piece> = writer.newest().pieces().cloned().collect();
    pieces.retain(|_| !rig.world.random_u64().is_multiple_of(3));
    let name = chain.segment_name(epoch);
    let (bytes, piece) = segment(&name, &rows(mark as i64, 2));
    chain.put_segment(&name, bytes).await?;
    pieces.push(piece);
    let attempt = Attempt { epoch, mark, follows: writer.newest().counters.read, stands: false };
    attempts.lock().unwrap().push(attempt.clone());
    writer.append(manifest(mark, pieces)).await?;
    stands(attempts, &attempt);
    Ok(())
}

fn stands(attempts: &Mutex<Vec<Attempt>>, attempt: &Attempt) {
    let mut attempts = attempts.lock().unwrap();
    attempts.iter_mut().find(|known| known.mark == attempt.mark).unwrap().stands = true;
}

/// Goes from the newest manifest back to the beginning: whoever was told that its epoch stands must be met on the way.
fn check(memory: &Arc<InMemory>, attempts: &[Attempt], seed: u64) {
    let calm = Rig::over(memory.clone(), seed);
    let chain = calm.chain();
    let newest = block_on(chain.newest()).unwrap().unwrap();
    let pieces: Vec<Piece> = newest.pieces().cloned().collect();
    assert_eq!(block_on(chain.read_blocks(&pieces)).unwrap().len(), pieces.len(), "seed {seed}: state was swept");

    let (mut epoch, mut mark) = (newest.epoch, newest.counters.read);
    let mut met = 0;
    while mark != 0 {
        let attempt = attempts.iter().find(|attempt| attempt.mark == mark).unwrap();
        assert_eq!(attempt.epoch, epoch, "seed {seed}");
        met += usize::from(attempt.stands);
        (epoch, mark) = (epoch - 1, attempt.follows);
    }
    let told = attempts.iter().filter(|attempt| attempt.stands).count();
    assert_eq!(met, told, "seed {seed}: an epoch was told to stand that is not in the chain");
}

/// Returns how many epochs stood and how many attempts did not.
fn run(seed: u64) -> (usize, usize) {
    use Fault::*;
    let memory = Arc::new(GROWN.fork());
    let world = Simulated::beginning_at(seed, SystemTime::now());
    let attempts = Mutex::new(Vec::new());
    let processes = (0..2 + seed % 2).map(|number| {
        let store = FaultyStore::new(memory.clone(), Arc::new(world.clone()), seed * 3 + number);
        for fault in [Error, LostAnswer, Hang, DoneAndHang, Late, FalseConflict, Precondition] {
            store.fail(Operation::Put, fault, 0.06);
        }
        for operation in [Operation::Put, Operation::Get, Operation::List, Operation::Delete] {
            store.fail(operation, Slow, 0.3);
            store.fail(operation, Error, 0.05);
            store.fail(operation, Hang, 0.02);
        }
        store.fail(Operation::List, PartialList, 0.5);
        store.fail(Operation::Delete, LostAnswer, 0.05);
        live(Rig { memory: memory.clone(), world: world.clone(), store }, &attempts)
    });
    block_on(join_all(processes));
    let attempts = attempts.into_inner().unwrap();
    check(&memory, &attempts, seed);
    let stood = attempts.iter().filter(|attempt| attempt.stands).count();
    (stood, attempts.len() - stood)
}

#[test]
fn every_epoch_has_one_owner_and_none_is_told_otherwise() {
    let (mut stood, mut failed) = (0, 0);
    for seed in 0..1500 {
        let (stands, fails) = run(seed);
        stood += stands;
        failed += fails;
    }
    // The worlds are rough enough to lose in, and not so rough that nothing is ever written.
    assert!(stood > 5_000 && failed > 1_000, "{stood} stood, {failed} did not");
}
