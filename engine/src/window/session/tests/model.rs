//! Sessions as the definition has them, row by row and without any state that is clever.

use super::{Out, Row, Setup, name};

#[derive(Debug, Clone)]
struct ModelSession {
    key: (Option<u8>, i32),
    start: i64,
    end: i64,
    rows: Vec<Row>,
}

#[derive(Debug)]
pub(super) struct Model {
    setup: Setup,
    sessions: Vec<ModelSession>,
}

impl Model {
    pub(super) fn new(setup: Setup) -> Self {
        Self { setup, sessions: Vec::new() }
    }

    fn key(&self, row: &Row) -> (Option<u8>, i32) {
        match self.setup.keys {
            0 => (None, 0),
            1 => (row.user, 0),
            _ => (row.user, row.shard),
        }
    }

    /// Returns true if the row is late.
    pub(super) fn push(&mut self, row: &Row, watermark: i64) -> bool {
        let Setup { gap, lateness, .. } = self.setup;
        let key = self.key(row);
        let mut whole = ModelSession { key, start: row.time, end: row.time + gap, rows: vec![row.clone()] };
        let meets = |other: &ModelSession| {
            let open = other.end.saturating_add(lateness) > watermark;
            open && other.key == key && other.start < row.time + gap && row.time < other.end
        };
        let (met, others): (Vec<_>, Vec<_>) = self.sessions.iter().cloned().partition(meets);
        for session in met {
            whole.start = whole.start.min(session.start);
            whole.end = whole.end.max(session.end);
            whole.rows.extend(session.rows);
        }
        if whole.end.saturating_add(lateness) <= watermark {
            return true;
        }
        self.sessions = others;
        self.sessions.push(whole);
        false
    }

    pub(super) fn close(&mut self, through: i64) -> Vec<Out> {
        let lateness = self.setup.lateness;
        let ended = |session: &ModelSession| session.end.saturating_add(lateness) <= through;
        let (ended, open) = std::mem::take(&mut self.sessions).into_iter().partition(ended);
        self.sessions = open;
        let mut outs: Vec<Out> = ended.iter().flat_map(|session| self.outs(session)).collect();
        outs.sort();
        outs
    }

    fn outs(&self, session: &ModelSession) -> Vec<Out> {
        let (start, end) = (session.start, session.end);
        let user = |user: Option<u8>| user.map(name);
        if self.setup.collect {
            let out = |row: &Row| (start, end, user(row.user), 1, row.amount, row.amount);
            return session.rows.iter().map(out).collect();
        }
        let mut users: Vec<Option<u8>> = session.rows.iter().map(|row| row.user).collect();
        users.sort();
        users.dedup();
        let group = |of: Option<u8>| {
            let amounts = session.rows.iter().filter(|row| row.user == of).map(|row| row.amount);
            let greatest = amounts.clone().max().unwrap();
            (start, end, user(of), amounts.clone().count() as i64, amounts.sum(), greatest)
        };
        users.into_iter().map(group).collect()
    }
}
