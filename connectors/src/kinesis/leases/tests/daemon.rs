//! A daemon in small: reads a source as the engine does, and counts what an epoch has made durable.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::error::SourceError;
use crate::records::Records;
use crate::source::{Position, ReadLimits, ReadStatus, Reader, Source, SplitId};

/// Rounds of reading from one epoch to the next.
const ROUNDS: usize = 10;

/// Payloads that are durable, in order.
pub(super) type Counted = Arc<Mutex<Vec<String>>>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Order {
    Run,
    Stop,
    Die,
}

pub(super) struct Daemon {
    pub(super) counted: Counted,
    order: watch::Sender<Order>,
    task: JoinHandle<()>,
}

impl Daemon {
    pub(super) fn start(source: Box<dyn Source>) -> Self {
        let counted = Counted::default();
        let (order, orders) = watch::channel(Order::Run);
        let task = tokio::spawn(run(source, counted.clone(), orders));
        Self { counted, order, task }
    }

    pub(super) fn count(&self) -> usize {
        self.counted.lock().unwrap().len()
    }

    /// Stops well: what was read is durable, and the leases are given back.
    pub(super) async fn stop(self) -> Vec<String> {
        self.end(Order::Stop).await
    }

    /// Dies right behind an epoch, of which the table may not know.
    pub(super) async fn kill(self) -> Vec<String> {
        self.end(Order::Die).await
    }

    async fn end(self, order: Order) -> Vec<String> {
        self.order.send_replace(order);
        self.task.await.unwrap();
        let counted = self.counted.lock().unwrap();
        counted.clone()
    }
}

type Opened = Result<Box<dyn Reader>, SourceError>;

struct Open {
    reader: Box<dyn Reader>,
    over: bool,
}

async fn run(source: Box<dyn Source>, counted: Counted, orders: watch::Receiver<Order>) {
    let source: Arc<dyn Source> = source.into();
    let mut positions: BTreeMap<SplitId, Position> = BTreeMap::new();
    let mut known: HashSet<SplitId> = HashSet::new();
    let mut ended: HashSet<SplitId> = HashSet::new();
    let mut open: BTreeMap<SplitId, Open> = BTreeMap::new();
    let mut opening: JoinSet<(SplitId, Opened)> = JoinSet::new();
    let mut pending: Vec<String> = Vec::new();
    for round in 0.. {
        let order = *orders.borrow();
        for split in source.splits().await.unwrap() {
            if order == Order::Run && !ended.contains(&split) && known.insert(split.clone()) {
                let (source, from) = (source.clone(), positions.get(&split).cloned());
                opening.spawn(async move {
                    let reader = source.open(&split, from.as_ref()).await;
                    (split, reader)
                });
            }
        }
        while let Some(opened) = opening.try_join_next() {
            let (split, reader) = opened.unwrap();
            open.insert(split, Open { reader: reader.unwrap(), over: false });
        }
        let mut nothing = true;
        for (split, one) in open.iter_mut().filter(|(_, one)| !one.over) {
            let mut records = Records::default();
            let limits = ReadLimits { bytes: 2_000, wait: Duration::from_millis(5) };
            let status = one.reader.read(&mut records, limits).await.unwrap();
            nothing &= records.is_empty();
            pending.extend((0..records.len()).map(|i| String::from_utf8(records.payload(i).to_vec()).unwrap()));
            positions.insert(split.clone(), one.reader.position());
            one.over = matches!(status, ReadStatus::Ended | ReadStatus::Left);
            if status == ReadStatus::Ended {
                ended.insert(split.clone());
            }
        }
        if nothing {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if round % ROUNDS == 0 || order != Order::Run {
            counted.lock().unwrap().append(&mut pending);
            for (split, one) in &mut open {
                one.reader.acknowledge(&positions[split]).await.unwrap();
            }
            open.retain(|_, one| !one.over);
            known.retain(|split| open.contains_key(split) || !opening.is_empty());
        }
        match order {
            Order::Run => {}
            Order::Stop => {
                opening.shutdown().await;
                drop(open);
                return source.close().await;
            }
            Order::Die => return,
        }
    }
}
