//! Who may read a partition: receivers with an owner level (epoch) shut the others of their consumer group out.
//!
//! | there is | comes | then |
//! |---|---|---|
//! | none with a level | without | both read, up to five |
//! | any | with a level, none there is higher | those that are there are disconnected |
//! | a higher level | with a lower one | it is refused |
//! | any level | without | it is refused |

use tokio::sync::watch;

/// Receivers without an owner level of one group at one partition: the service's limit.
const MAX_RECEIVERS: usize = 5;

/// Why a link has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A receiver with the same or a higher owner level came.
    Stolen,
    /// The service moved the partition.
    Forced,
}

/// Why a receiver is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// By one of this level.
    Higher(i64),
    TooMany,
}

/// The right to read; to be given back.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) id: u64,
    pub(crate) ending: watch::Receiver<Option<Ending>>,
}

#[derive(Debug)]
struct Owner {
    id: u64,
    group: String,
    level: Option<i64>,
    end: watch::Sender<Option<Ending>>,
}

#[derive(Debug, Default)]
pub(crate) struct Owners {
    owners: Vec<Owner>,
    next: u64,
}

impl Owners {
    /// Lets a receiver of `group` in, and those out that it replaces.
    pub(crate) fn enter(&mut self, group: &str, level: Option<i64>) -> Result<Seat, Refused> {
        let mine = |owner: &&Owner| owner.group == group;
        let highest = self.owners.iter().filter(mine).filter_map(|owner| owner.level).max();
        match (highest, level) {
            (Some(highest), None) => return Err(Refused::Higher(highest)),
            (Some(highest), Some(level)) if highest > level => return Err(Refused::Higher(highest)),
            (None, None) if self.owners.iter().filter(mine).count() >= MAX_RECEIVERS => return Err(Refused::TooMany),
            _ => {}
        }
        if level.is_some() {
            self.owners.retain(|owner| {
                let stays = owner.group != group;
                if !stays {
                    owner.end.send_replace(Some(Ending::Stolen));
                }
                stays
            });
        }
        let (end, ending) = watch::channel(None);
        let id = self.next;
        self.next += 1;
        self.owners.push(Owner { id, group: group.to_string(), level, end });
        Ok(Seat { id, ending })
    }

    /// The receiver has gone.
    pub(crate) fn leave(&mut self, id: u64) {
        self.owners.retain(|owner| owner.id != id);
    }

    /// Ends every link.
    pub(crate) fn end_all(&mut self, ending: Ending) {
        for owner in self.owners.drain(..) {
            owner.end.send_replace(Some(ending));
        }
    }

    /// How many read.
    pub(crate) fn count(&self) -> usize {
        self.owners.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_level_disconnects_and_a_lower_one_is_refused() {
        let mut owners = Owners::default();
        let plain = owners.enter("a", None).unwrap();
        let elsewhere = owners.enter("b", None).unwrap();
        let first = owners.enter("a", Some(1)).unwrap();
        assert_eq!(*plain.ending.borrow(), Some(Ending::Stolen));
        assert_eq!(*elsewhere.ending.borrow(), None);
        assert_eq!(owners.enter("a", Some(0)).unwrap_err(), Refused::Higher(1));
        assert_eq!(owners.enter("a", None).unwrap_err(), Refused::Higher(1));
        let same = owners.enter("a", Some(1)).unwrap();
        assert_eq!(*first.ending.borrow(), Some(Ending::Stolen));
        owners.leave(same.id);
        assert!(owners.enter("a", Some(0)).is_ok());
    }

    #[test]
    fn five_may_read_without_a_level() {
        let mut owners = Owners::default();
        let seats: Vec<_> = (0..5).map(|_| owners.enter("a", None).unwrap()).collect();
        assert_eq!(owners.enter("a", None).unwrap_err(), Refused::TooMany);
        owners.leave(seats[0].id);
        assert!(owners.enter("a", None).is_ok());
    }
}
