//! One connection: its sessions, their links, and what its tokens allow.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fe2o3_amqp::acceptor::{
    ConnectionAcceptor, LinkAcceptor, LinkEndpoint, ListenerSessionHandle, SaslAnonymousMechanism, SessionAcceptor,
    SupportedReceiverSettleModes,
};
use fe2o3_amqp::types::performatives::Attach;
use fe2o3_amqp_types::definitions::{Fields, Role};
use fe2o3_amqp_types::messaging::{Body, Message, TargetArchetype};
use serde_amqp::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::hub::Hub;
use crate::link::{Address, not_found, unauthorized};
use crate::{deliver, publish, requests};

/// The service's limit of a frame.
const MAX_FRAME_BYTES: u32 = 65_536;

/// The service's limit of a message, which it tells when a link is made.
pub const MAX_MESSAGE_BYTES: u64 = 1 << 20;

/// Links of one session.
const MAX_LINKS: u32 = 4096;

/// Frames and replies that wait on their way.
const BUFFER: usize = 2048;

/// A client of this AMQP library registers a transfer after it has sent it, and waits for ever if the answer is faster. So
/// what was taken is settled after a while.
pub(crate) const SETTLE_AFTER: Duration = Duration::from_millis(1);

/// What the links of one connection share.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) hub: Arc<Hub>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    claims: Claims,
    /// By address, the links that take replies.
    replies: HashMap<String, mpsc::Sender<Message<Body<Value>>>>,
}

/// What the tokens of a connection allow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Claims {
    /// There was no token.
    #[default]
    None,
    /// A token of a policy that may only send.
    Send,
    /// One of a policy that may only listen.
    Listen,
    /// Everything.
    All,
}

impl Claims {
    pub(crate) fn may_send(self) -> bool {
        matches!(self, Self::Send | Self::All)
    }

    pub(crate) fn may_listen(self) -> bool {
        matches!(self, Self::Listen | Self::All)
    }
}

impl Peer {
    pub(crate) fn claims(&self) -> Claims {
        self.state().claims
    }

    pub(crate) fn grant(&self, claims: Claims) {
        self.state().claims = claims;
    }

    /// Takes the replies of `node` that go to `address`, or to nowhere in particular.
    fn expect_replies(&self, node: &str, address: String) -> mpsc::Receiver<Message<Body<Value>>> {
        let (sender, replies) = mpsc::channel(BUFFER);
        let mut state = self.state();
        state.replies.insert(node.to_string(), sender.clone());
        state.replies.insert(address, sender);
        replies
    }

    /// Sends a reply to whoever takes those for `address`.
    pub(crate) async fn reply(&self, address: &str, message: Message<Body<Value>>) {
        let replies = self.state().replies.get(address).cloned();
        if let Some(replies) = replies {
            // The link may have gone: then nobody waits.
            let _ = replies.send(message).await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nobody panics while holding the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Properties for a performative that end it: without a last field the ones before it are left out too, and Microsoft's own
/// client for Python trips over that.
fn whole() -> Fields {
    let mut fields = Fields::default();
    fields.insert("product".into(), Value::String("eventhubs-double".to_string()));
    fields
}

/// Serves a connection until it breaks or is closed.
pub(crate) async fn serve(stream: TcpStream, hub: Arc<Hub>) {
    // Without it small frames wait; that is slow, not wrong.
    let _ = stream.set_nodelay(true);
    let acceptor = ConnectionAcceptor::builder()
        .container_id("eventhubs-double")
        .max_frame_size(MAX_FRAME_BYTES)
        .buffer_size(BUFFER)
        .properties(whole())
        .sasl_acceptor(SaslAnonymousMechanism::new())
        .build();
    let Ok(mut connection) = acceptor.accept(stream).await else { return };
    let sessions = SessionAcceptor::builder()
        .incoming_window(u32::MAX)
        .outgoing_window(u32::MAX)
        .handle_max(MAX_LINKS)
        .buffer_size(BUFFER)
        .properties(whole())
        .build();
    let peer = Peer { hub, state: Arc::default() };
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            accepted = sessions.accept(&mut connection) => match accepted {
                Ok(session) => {
                    serving.spawn(serve_session(session, peer.clone()));
                }
                Err(_) => return,
            },
            Some(_) = serving.join_next() => {}
        }
    }
}

async fn serve_session(mut session: ListenerSessionHandle, peer: Peer) {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            attach = session.next_incoming_attach() => match attach {
                Some(attach) => attach_link(attach, &mut session, &peer, &mut links).await,
                None => return,
            },
            Some(_) = links.join_next() => {}
        }
    }
}

async fn attach_link(mut attach: Attach, session: &mut ListenerSessionHandle, peer: &Peer, links: &mut JoinSet<()>) {
    let source = attach.source.as_deref().cloned();
    let from = source.as_ref().and_then(|source| source.address.clone()).unwrap_or_default();
    let to = match attach.target.as_deref() {
        Some(TargetArchetype::Target(target)) => target.address.clone().unwrap_or_default(),
        _ => String::new(),
    };
    let level = deliver::owner_level(&attach);
    let target = Address::parse(&to);
    let refusal = match &target {
        Address::Write { .. } if !peer.claims().may_send() => Some(unauthorized("Send")),
        Address::Read { .. } | Address::Absent(_) => Some(not_found(&to)),
        Address::Write { .. } | Address::Tokens | Address::Management => None,
    };
    if attach.role == Role::Sender && refusal.is_some() {
        // As AMQP has it: who is refused is attached to nothing, and hears why when that is taken back.
        attach.target = None;
    }
    // As the service does it: what it has taken is settled, whatever the client would like.
    let acceptor = LinkAcceptor::builder()
        .max_message_size(MAX_MESSAGE_BYTES)
        .supported_receiver_settle_modes(SupportedReceiverSettleModes::First)
        .properties(whole())
        .build();
    let peer = peer.clone();
    match acceptor.accept_incoming_attach(attach, session).await {
        Ok(LinkEndpoint::Sender(sender)) => match Address::parse(&from) {
            node @ (Address::Tokens | Address::Management) => {
                let node = if node == Address::Tokens { requests::TOKENS } else { requests::MANAGEMENT };
                let replies = peer.expect_replies(node, to);
                links.spawn(requests::send_replies(sender, replies));
            }
            Address::Read { group, partition } => {
                links.spawn(async move {
                    let wanted = deliver::Wanted { group, partition, level };
                    deliver::serve(peer, sender, wanted, source.as_ref()).await;
                });
            }
            Address::Write { .. } | Address::Absent(_) => {
                links.spawn(refuse_sender(sender, from));
            }
        },
        Ok(LinkEndpoint::Receiver(receiver)) => match (target, refusal) {
            (_, Some(refusal)) => {
                links.spawn(async move {
                    let _ = receiver.close_with_error(refusal).await;
                });
            }
            (Address::Tokens, None) => {
                links.spawn(requests::serve_tokens(peer, receiver));
            }
            (Address::Management, None) => {
                links.spawn(requests::serve_management(peer, receiver));
            }
            (Address::Write { partition }, None) => {
                links.spawn(publish::serve(peer, receiver, partition));
            }
            // Refused above.
            (Address::Read { .. } | Address::Absent(_), None) => {}
        },
        // A peer that is gone already.
        Err(_) => {}
    }
}

async fn refuse_sender(sender: fe2o3_amqp::Sender, address: String) {
    let _ = sender.close_with_error(not_found(&address)).await;
}
