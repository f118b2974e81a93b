//! Whether the brokers answer, told once when they stop and once when they are back.
//!
//! The one idea: librdkafka reports every failed attempt, and goes on by itself. What counts is whether partitions get
//! answers; attempts only say why they do not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::error::RDKafkaErrorCode;

/// The last thing that went wrong with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
}

/// What an error of the client is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One partition: its reader is told.
    Partition,
    /// One connection: others may be well, and it is tried again.
    Connection,
    /// No broker can be reached.
    Down,
    /// We were turned away: that is for people to mend, though it is tried again.
    Refused,
    /// The group, which only commits need.
    Group,
}

/// The state of one client's connections.
#[derive(Debug)]
pub(super) struct Health {
    source: Arc<str>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Trouble>,
    refused: Option<Trouble>,
    told: bool,
    told_of_group: bool,
    /// Somebody with our name was let in: whoever is turned away from then on is tried again.
    let_in: bool,
}

/// How librdkafka says that an exchange broke off. It calls that a failed authentication, too, where it was one of SASL: a
/// broker that restarts has turned nobody away, also where it comes up and is not yet ready to let anybody in.
const BROKEN_OFF: [&str; 3] =
    ["Local: Broker transport failure", "Local: Timed out", "Broker: Request not valid in current SASL state"];

/// Sorts an error.
pub(super) fn kind(code: RDKafkaErrorCode, reason: &str) -> Kind {
    use RDKafkaErrorCode as Code;
    match code {
        Code::Authentication if BROKEN_OFF.iter().any(|words| reason.contains(words)) => Kind::Connection,
        Code::Authentication
        | Code::SSL
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::ClusterAuthorizationFailed => Kind::Refused,
        Code::AllBrokersDown => Kind::Down,
        Code::GroupAuthorizationFailed
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::CoordinatorLoadInProgress
        | Code::InvalidGroupId
        | Code::UnknownMemberId
        | Code::IllegalGeneration => Kind::Group,
        Code::PartitionEOF
        | Code::AutoOffsetReset
        | Code::OffsetOutOfRange
        | Code::UnknownPartition
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::TopicAuthorizationFailed
        | Code::BadMessage
        | Code::BadCompression
        | Code::MessageSizeTooLarge => Kind::Partition,
        _ => Kind::Connection,
    }
}

impl Health {
    pub(super) fn new(source: Arc<str>) -> Self {
        Self { source, state: Mutex::default() }
    }

    /// Takes note that a broker has let us in before, whoever asked it.
    pub(super) fn let_in(&self) {
        self.lock().let_in = true;
    }

    /// Takes note of an error.
    pub(super) fn failed(&self, code: RDKafkaErrorCode, reason: &str) {
        let trouble = Trouble { code, reason: reason.to_owned() };
        let mut state = self.lock();
        match kind(code, reason) {
            Kind::Partition => {}
            Kind::Connection => {
                tracing::debug!(source = %self.source, reason, "kafka connection failed");
                state.last = Some(trouble);
            }
            Kind::Down => self.tell(&mut state, reason),
            Kind::Refused => {
                self.tell(&mut state, reason);
                state.refused = Some(trouble.clone());
                state.last = Some(trouble);
            }
            Kind::Group => tracing::debug!(source = %self.source, reason, "kafka group coordinator"),
        }
    }

    /// Takes note of why a connection failed, unless there is better to say.
    pub(super) fn heard(&self, reason: &str) {
        let mut state = self.lock();
        if state.refused.is_none() {
            let code = state.last.as_ref().map_or(RDKafkaErrorCode::BrokerTransportFailure, |trouble| trouble.code);
            state.last = Some(Trouble { code, reason: reason.to_owned() });
        }
    }

    /// The partitions that are read do not get answers.
    pub(super) fn silent(&self) {
        self.tell(&mut self.lock(), "a partition that is read gets no answer");
    }

    /// Everything is answered.
    pub(super) fn answered(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.told) {
            tracing::info!(source = %self.source, "kafka brokers answer again");
        }
        state.let_in = true;
        state.refused = None;
        state.last = None;
    }

    /// A commit to the group came back.
    pub(super) fn committed(&self, outcome: Result<(), String>) {
        let mut state = self.lock();
        match outcome {
            Ok(()) => state.told_of_group = false,
            Err(error) if !std::mem::replace(&mut state.told_of_group, true) => {
                let (source, way_out) = (&self.source, "is READ on the group allowed, and has it no other members?");
                tracing::warn!(%source, error, way_out, "can't commit offsets to the group; reading goes on");
            }
            Err(_) => {}
        }
    }

    /// Why we are turned away, if nobody ever let us in: a token can run out on its way, a password is changed in more than
    /// one place, and a broker that comes back may not know either yet. That passes, and is no reason to end.
    pub(super) fn refused(&self) -> Option<Trouble> {
        let state = self.lock();
        state.refused.clone().filter(|_| !state.let_in)
    }

    /// What went wrong last.
    pub(super) fn last(&self) -> Option<Trouble> {
        self.lock().last.clone()
    }

    /// True from the moment trouble was told until it is over.
    #[cfg(test)]
    pub(super) fn told(&self) -> bool {
        self.lock().told
    }

    fn tell(&self, state: &mut State, what: &str) {
        if !std::mem::replace(&mut state.told, true) {
            let cause = state.last.as_ref().map(|trouble| trouble.reason.as_str());
            tracing::warn!(source = %self.source, what, cause, "kafka brokers do not answer; trying again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nobody panics while holding the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
