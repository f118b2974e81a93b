//! A connection to the hub, and the links that events are sent on. None is ever mended: whatever fails, the session is
//! dropped, and another one opened.
//!
//! The one idea: it is made of the library below Microsoft's clients. Their producer takes a batch for sent that the service
//! has given back ("released", "modified"), and whoever waits for a confirmation of theirs waits for ever, if the service
//! takes the link back meanwhile.

use std::sync::Arc;
use std::time::Duration;

use azure_core::Uuid;
use azure_core::time::OffsetDateTime;
use azure_core_amqp::{AmqpError, AmqpErrorKind, AmqpMessage};
use fe2o3_amqp::connection::{ConnectionHandle, OpenError};
use fe2o3_amqp::link::delivery::Sendable;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::Fields;
use fe2o3_amqp::types::messaging::{Body, Message, Outcome};
use fe2o3_amqp::types::primitives::{Timestamp, Value};
use fe2o3_amqp::{Connection, Sender, Session as AmqpSession};
use fe2o3_amqp_cbs::client::CbsClient;
use fe2o3_amqp_cbs::token::CbsToken;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use watershed_clients::azure::{Claim, Hub, Token, Trouble, words};

use crate::error::SinkError;

/// The ports of AMQP over TLS, and of AMQP in the clear.
const PORT: u16 = 5671;
const PLAIN_PORT: u16 = 5672;

/// The largest frame, as Microsoft's clients have it.
const FRAME_BYTES: u32 = 65_536;

/// The message format of a batch: each of its data sections is an event.
const BATCH: u32 = 0x8001_3700;

/// The first step, as time-outs tell it.
const CONNECTING: &str = "connecting";

/// A token that is good for less is not relied upon: whoever sends opens anew.
const RENEWED_BEFORE: Duration = Duration::from_secs(5 * 60);

/// Bounds of everything that waits for an answer: nothing here can hang.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Name lookup, TCP, TLS and AMQP's own greeting.
    pub(super) connect: Duration,
    /// A token, that it is taken, and links.
    pub(super) ask: Duration,
    /// That events are confirmed. The library loses a confirmation that comes before it has written down what it sent, which
    /// takes a thread that stands still for longer than the service is away.
    pub(super) confirm: Duration,
    /// A farewell: whoever does not answer is left.
    pub(super) close: Duration,
    /// How long the service is left alone that asks for a pause, as it does in its own words.
    pub(super) throttled: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            ask: Duration::from_secs(15),
            confirm: Duration::from_secs(15),
            close: Duration::from_secs(3),
            throttled: Duration::from_secs(4),
        }
    }
}

/// Why a session is of no use any more.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) trouble: Trouble,
    pub(super) error: SinkError,
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        Self { trouble: Trouble::Passing, error }
    }
}

/// A connection that may send.
pub(super) struct Session {
    hub: Hub,
    patience: Patience,
    connection: ConnectionHandle<()>,
    // It ends when this is dropped.
    _session: SessionHandle<()>,
    // Each has one user at a time.
    links: Vec<Mutex<Sender>>,
    /// Bytes that the hub takes at once.
    limit: usize,
    /// Until when the token is good.
    expires: OffsetDateTime,
}

impl Session {
    /// Connects, shows a token, and makes so many links.
    pub(super) async fn open(hub: &Hub, patience: Patience, links: usize) -> Result<Self, Failure> {
        let id = Uuid::new_v4();
        let tls = trusting_the_system()?;
        let opening = connect(hub, format!("watershed-{id}"), tls);
        let mut connection = within(hub, patience.connect, CONNECTING, opening).await?;
        let showing = async {
            let token = hub.token().await?;
            admit(hub, &mut connection, &token).await?;
            Ok(token.expires)
        };
        let expires = within(hub, patience.ask, "showing who we are", showing).await?;
        let attaching = async {
            let windows = AmqpSession::builder().incoming_window(u32::MAX).outgoing_window(u32::MAX);
            let mut session = windows.begin(&mut connection).await?;
            let mut attached = Vec::new();
            for number in 0..links {
                let name = format!("watershed-{id}-{number}");
                let link = Sender::builder().name(name).target(hub.audience());
                attached.push(link.attach(&mut session).await?);
            }
            Ok::<_, AmqpError>((session, attached))
        };
        let (session, links) = within(hub, patience.ask, "making links", attaching).await?;
        // Without a limit, whatever AMQP can number.
        let limit = links.first().and_then(Sender::max_message_size);
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let links = links.into_iter().map(Mutex::new).collect();
        Ok(Self { hub: hub.clone(), patience, connection, _session: session, links, limit, expires })
    }

    /// Bytes that the hub takes at once.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// How many links there are.
    pub(super) fn links(&self) -> usize {
        self.links.len()
    }

    /// True if its token is good for a while.
    pub(super) fn is_good(&self) -> bool {
        self.expires - OffsetDateTime::now_utc() > RENEWED_BEFORE
    }

    /// Sends a batch on a link, and waits until it is confirmed.
    pub(super) async fn send(&self, link: usize, batch: &AmqpMessage) -> Result<(), Failure> {
        let Some(link) = self.links.get(link) else { return Err(self.given_back("there is no link").into()) };
        let message: Message<Body<Value>> = batch.into();
        let batch = Sendable { message, message_format: BATCH, settled: Some(false) };
        let sending = async {
            let mut link = link.lock().await;
            let confirmation = link.send_batchable(batch).await?;
            tokio::select! {
                biased;
                outcome = confirmation => Ok(outcome?),
                detached = link.on_detach() => Err(detached.into()),
            }
        };
        match within(&self.hub, self.patience.confirm, "sending events", sending).await? {
            Outcome::Accepted(_) => Ok(()),
            Outcome::Rejected(rejected) => Err(match rejected.error {
                Some(error) => {
                    let error = AmqpError::from(AmqpErrorKind::AmqpDescribedError(error.into()));
                    failure(&self.hub, "sending events", Trouble::of(&error), words(&error))
                }
                None => self.given_back("it rejects events, and does not say why").into(),
            }),
            Outcome::Released(_) | Outcome::Modified(_) => Err(self.given_back("it gives events back").into()),
        }
    }

    fn given_back(&self, why: &'static str) -> SinkError {
        SinkError::retry(self.hub.place(), why)
    }

    /// Takes leave. What the service has against one of the links, it says at the latest now.
    pub(super) async fn close(mut self) -> Result<(), Failure> {
        let closing = async {
            for link in self.links {
                link.into_inner().close().await?;
            }
            Ok::<_, AmqpError>(())
        };
        let closed = within(&self.hub, self.patience.close, "taking leave", closing).await;
        // Whoever does not answer is left.
        let _ = tokio::time::timeout(self.patience.close, self.connection.close()).await;
        closed
    }
}

/// Whom the rest of the program trusts that asks the system: its certificates, or those of SSL_CERT_FILE and SSL_CERT_DIR.
fn trusting_the_system() -> Result<TlsConnector, SinkError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SinkError::fatal("TLS", error))?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}

/// Connects to the hub, as the namespace that it is in, wherever that is.
async fn connect(hub: &Hub, id: String, tls: TlsConnector) -> Result<ConnectionHandle<()>, AmqpError> {
    let (scheme, host, port) = match &hub.endpoint {
        Some(url) => {
            let usual = if url.scheme() == "amqp" { PLAIN_PORT } else { PORT };
            (url.scheme(), url.host_str().unwrap_or_default(), url.port().unwrap_or(usual))
        }
        None => ("amqps", &*hub.namespace, PORT),
    };
    let host = host.trim_matches(['[', ']']);
    // The library would ask for the address in a way that holds up everything else.
    let stream = TcpStream::connect((host, port)).await.map_err(azure_core::Error::from)?;
    let mut properties = Fields::default();
    for (name, value) in [("product", "watershed"), ("version", env!("CARGO_PKG_VERSION"))] {
        properties.insert(name.into(), Value::String(value.to_owned()));
    }
    Connection::builder()
        .sasl_profile(SaslProfile::Anonymous)
        .alt_tls_establishment(true)
        .container_id(id)
        .max_frame_size(FRAME_BYTES)
        .properties(properties)
        .scheme(scheme)
        .domain(host)
        .hostname(&*hub.namespace)
        .sasl_hostname(&*hub.namespace)
        .rustls_connector(tls)
        .open_with_stream(stream)
        .await
        .map_err(not_opened)
}

fn not_opened(error: OpenError) -> AmqpError {
    match error {
        OpenError::Io(error) => azure_core::Error::from(error).into(),
        OpenError::RemoteClosedWithError(error) => AmqpErrorKind::AmqpDescribedError(error.into()).into(),
        error => AmqpErrorKind::TransportImplementationError(Box::new(error)).into(),
    }
}

/// Shows a token.
async fn admit(hub: &Hub, connection: &mut ConnectionHandle<()>, token: &Token) -> Result<(), AmqpError> {
    let mut session = AmqpSession::begin(connection).await?;
    let mut security = CbsClient::attach(&mut session).await?;
    let expires = Timestamp::from(token.expires.unix_timestamp().saturating_mul(1000));
    let shown = CbsToken::new(token.secret.secret(), token.kind.unwrap_or("jwt"), expires);
    security.put_token(hub.audience(), shown).await?;
    security.close().await?;
    Ok(())
}

/// Waits for an answer of the service, and no longer than `patience`.
async fn within<T>(
    hub: &Hub,
    patience: Duration,
    doing: &str,
    answer: impl Future<Output = Result<T, AmqpError>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failure(hub, doing, Trouble::of(&error), words(&error))),
        Err(_) => Err(SinkError::retry(
            what(hub, doing),
            format!("no answer when {doing}, for {} seconds", patience.as_secs()),
        )
        .into()),
    }
}

/// What to say of the hub where trouble may pass. One that was never reached may never be.
fn what(hub: &Hub, doing: &str) -> String {
    if doing == CONNECTING { hub.unreached() } else { hub.place() }
}

fn failure(hub: &Hub, doing: &str, trouble: Trouble, words: String) -> Failure {
    let place = hub.place();
    let error = match trouble {
        Trouble::Passing => SinkError::retry(what(hub, doing), words),
        Trouble::TooLarge => SinkError::config(format!(
            "{place}: a row is larger than is taken ({words}); select fewer columns, or take a hub of a tier that takes more"
        )),
        Trouble::Quota => SinkError::retry(format!("{place} takes no more: is one of its quotas used up?"), words),
        _ => hub.explain(&place, Claim::Send, trouble, words).into(),
    };
    Failure { trouble, error }
}
