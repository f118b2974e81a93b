//! Time, chance and waiting, handed in so that a test can own them.
//!
//! The one idea: whatever waits or draws lots asks an [`Environment`]. A daemon gets [`System`]; a test gets
//! [`Simulated`], where hours pass at once, the same seed gives the same run, and no runtime is needed.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use futures::FutureExt;
use futures::future::BoxFuture;

/// What a program gets from the machine besides its data.
pub trait Environment: fmt::Debug + Send + Sync + 'static {
    /// The clock on the wall. It may be set back.
    fn now(&self) -> SystemTime;

    /// Time since some moment in the past. It never goes back.
    fn elapsed(&self) -> Duration;

    /// Ends after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// A random number.
    fn random_u64(&self) -> u64;
}

/// The machine this runs on. Its [`sleep`](Environment::sleep) needs a tokio runtime.
#[derive(Debug)]
pub struct System {
    started: Instant,
}

impl System {
    /// Starts the clock.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl Environment for System {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }

    fn random_u64(&self) -> u64 {
        rand::random()
    }
}

/// A world of its own, for tests: its clock moves on whenever all that is left to do is to wait.
///
/// It knows that by being asked: a sleeper that is polled again, and that no other would leave before, moves the clock.
/// So everything else must be ready at once (a store in memory, say) or be waiting in this world too; real I/O behind a
/// thread would meet its time-outs early.
#[derive(Debug, Clone)]
pub struct Simulated {
    world: Arc<Mutex<World>>,
}

#[derive(Debug)]
struct World {
    began: SystemTime,
    elapsed: Duration,
    random: u64,
    sleepers: BTreeSet<(Duration, u64)>,
    next_sleeper: u64,
}

impl Simulated {
    /// A world whose chance is decided by `seed`. It begins in 2026.
    pub fn new(seed: u64) -> Self {
        Self::beginning_at(seed, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600))
    }

    /// A world that begins at `began`.
    pub fn beginning_at(seed: u64, began: SystemTime) -> Self {
        let world = World { began, elapsed: Duration::ZERO, random: seed, sleepers: BTreeSet::new(), next_sleeper: 0 };
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// Lets time pass.
    pub fn pass(&self, duration: Duration) {
        self.world().elapsed += duration;
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // Nobody panics while holding the lock.
        self.world.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Environment for Simulated {
    fn now(&self) -> SystemTime {
        let world = self.world();
        world.began + world.elapsed
    }

    fn elapsed(&self) -> Duration {
        self.world().elapsed
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut world = self.world();
        let sleeper = (world.elapsed.saturating_add(duration), world.next_sleeper);
        world.next_sleeper += 1;
        Sleep { simulated: self.clone(), sleeper }.boxed()
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    fn random_u64(&self) -> u64 {
        let mut world = self.world();
        world.random = world.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = world.random;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// One who waits in a simulated world.
struct Sleep {
    simulated: Simulated,
    sleeper: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut world = self.simulated.world();
        if world.elapsed >= self.sleeper.0 {
            return Poll::Ready(());
        }
        let asked_before = !world.sleepers.insert(self.sleeper);
        if asked_before && world.sleepers.first() == Some(&self.sleeper) {
            world.elapsed = self.sleeper.0;
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.simulated.world().sleepers.remove(&self.sleeper);
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::future::{Either, join, select};

    use super::*;

    #[test]
    fn sleepers_wake_in_order_and_time_passes_at_once() {
        let world = Simulated::new(1);
        let order = Mutex::new(Vec::new());
        let nap = |hours: u64| {
            let (world, order) = (&world, &order);
            async move {
                for _ in 0..2 {
                    world.sleep(Duration::from_secs(3600 * hours)).await;
                    order.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(hours);
                }
            }
        };
        block_on(join(nap(3), nap(2)));
        assert_eq!(order.into_inner().ok(), Some(vec![2, 3, 2, 3]));
        assert_eq!(world.elapsed(), Duration::from_secs(6 * 3600));
    }

    #[test]
    fn a_time_out_ends_what_never_would() {
        let world = Simulated::new(1);
        let never = world.sleep(Duration::MAX);
        let ended = block_on(select(never, world.sleep(Duration::from_secs(30))));
        assert!(matches!(ended, Either::Right(_)));
        assert_eq!(world.elapsed(), Duration::from_secs(30));
    }
}
