//! Reads a source as the engine does: new splits after each end and on a timer, failed readers opened again where they
//! stood, positions kept.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::SourceError;
use crate::records::Records;
use crate::source::{Known, ReadLimits, ReadStatus, Reader, Source, SplitId};

#[derive(Default)]
pub(super) struct Driver {
    /// As a checkpoint would have it.
    pub(super) known: BTreeMap<SplitId, Known>,
    /// Payloads, in the order in which they came.
    pub(super) taken: Vec<String>,
    /// How often a reader failed and was opened again.
    pub(super) failures: usize,
}

struct Open {
    split: SplitId,
    reader: Box<dyn Reader>,
    caught_up: bool,
}

const LIMITS: ReadLimits = ReadLimits { bytes: 2_000, wait: Duration::from_millis(5) };

impl Driver {
    /// What the checkpoint knows, as [`Source::restore`] is told.
    pub(super) fn checkpoint(&self) -> Vec<(SplitId, Known)> {
        self.known.iter().map(|(split, known)| (split.clone(), known.clone())).collect()
    }

    /// Reads until `enough` says so of what was taken and whether every split is at its end for now.
    pub(super) async fn run(&mut self, source: &dyn Source, enough: impl Fn(&[String], bool) -> bool) {
        let mut open: Vec<Open> = Vec::new();
        source.restore(&self.checkpoint());
        loop {
            match source.splits().await {
                Ok(splits) => self.open_new(source, &splits, &mut open).await,
                Err(SourceError::Retry { .. }) => self.failures += 1,
                Err(error) => panic!("{error}"),
            }
            let mut ended = false;
            let mut i = 0;
            while i < open.len() {
                if self.step(source, &mut open[i]).await {
                    open.remove(i);
                    ended = true;
                } else {
                    i += 1;
                }
            }
            // What continues a split that has ended is not open yet.
            if enough(&self.taken, !ended && open.iter().all(|one| one.caught_up)) {
                return;
            }
        }
    }

    async fn open_new(&mut self, source: &dyn Source, splits: &[SplitId], open: &mut Vec<Open>) {
        for split in splits {
            let ended = self.known.get(split).is_some_and(|known| known.ended);
            if ended || open.iter().any(|one| one.split == *split) {
                continue;
            }
            let from = self.known.get(split).and_then(|known| known.position.clone());
            let reader = source.open(split, from.as_ref()).await.unwrap();
            self.note(split, &*reader, false);
            open.push(Open { split: split.clone(), reader, caught_up: false });
        }
    }

    /// One read; true if the split has ended.
    async fn step(&mut self, source: &dyn Source, one: &mut Open) -> bool {
        let mut records = Records::default();
        let status = one.reader.read(&mut records, LIMITS).await;
        self.taken.extend((0..records.len()).map(|i| String::from_utf8(records.payload(i).to_vec()).unwrap()));
        match status {
            Ok(status) => {
                self.note(&one.split, &*one.reader, status == ReadStatus::Ended);
                one.caught_up |= status == ReadStatus::CaughtUp;
                one.caught_up &= records.is_empty();
                status == ReadStatus::Ended
            }
            Err(SourceError::Retry { .. }) => {
                assert!(records.is_empty(), "a failure comes alone, or its records are lost");
                self.failures += 1;
                let position = one.reader.position();
                one.reader = source.open(&one.split, Some(&position)).await.unwrap();
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn note(&mut self, split: &SplitId, reader: &dyn Reader, ended: bool) {
        let known = Known { position: Some(reader.position()), ended, left: false };
        self.known.insert(split.clone(), known);
    }
}
