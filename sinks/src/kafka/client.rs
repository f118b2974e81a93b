//! The two clients of the brokers: one that sends, and one that reads the record of epochs.
//!
//! The one idea: librdkafka says why things fail in callbacks, and only that they failed where one waits for them. So the
//! callbacks are remembered.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, ProducerContext};

use super::options::{KafkaOptions, SaslOptions, TRANSACTION_TIMEOUT_MS, TlsFiles, TlsOptions};
use crate::error::SinkError;

/// After this long without an answer a connection is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// After this long without a connection another try is made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How librdkafka says that an exchange broke off. It calls that a failed authentication, too, where it was one of SASL: a
/// broker that restarts has turned nobody away.
const BROKEN_OFF: [&str; 3] =
    ["Local: Broker transport failure", "Local: Timed out", "Broker: Request not valid in current SASL state"];

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
}

/// What librdkafka calls back.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// Why the first message was not delivered: those behind it fail because it did.
    undelivered: Mutex<Option<Trouble>>,
    /// Why we were turned away.
    refused: Mutex<Option<Trouble>>,
}

pub(super) type Producer = BaseProducer<Context>;
pub(super) type Reader = BaseConsumer<Context>;

impl Context {
    /// Why `error` came about, as far as a callback knows better.
    pub(super) fn explain(&self, error: &KafkaError) -> Trouble {
        let known = lock(&self.undelivered).clone().or_else(|| lock(&self.refused).clone());
        known.unwrap_or_else(|| trouble(error))
    }
}

impl ClientContext for Context {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        tracing::debug!(facility, line, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode as Code;
        tracing::debug!(%error, reason, "kafka connection");
        match error.rdkafka_error_code() {
            Some(Code::Authentication) if BROKEN_OFF.iter().any(|words| reason.contains(words)) => {}
            Some(
                code @ (Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::UnsupportedSASLMechanism
                | Code::SSL),
            ) => *lock(&self.refused) = Some(Trouble { code, reason: reason.to_owned() }),
            _ => {}
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = delivered {
            lock(&self.undelivered).get_or_insert_with(|| trouble(error));
        }
    }
}

/// A producer that calls itself `name` to the coordinator of transactions.
pub(super) fn producer(options: &KafkaOptions, name: &str) -> Result<Producer, SinkError> {
    let mut config = common(options)?;
    config.set("transactional.id", name);
    let timeout = millis(options.transaction_timeout()?);
    let unless_set = [
        (TRANSACTION_TIMEOUT_MS, timeout.as_str()),
        ("message.timeout.ms", &timeout),
        // As Java's clients choose partitions, so that equal keys meet, whoever sends them.
        ("partitioner", "murmur2_random"),
    ];
    for (name, value) in unless_set {
        if !options.properties.contains_key(name) {
            config.set(name, value);
        }
    }
    config.create_with_context(Context::default()).map_err(|error| refused(&error))
}

/// A reader of what group `name` has on record. It never joins the group.
pub(super) fn reader(options: &KafkaOptions, name: &str) -> Result<Reader, SinkError> {
    let mut config = common(options)?;
    config
        .set("group.id", name)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed");
    config.create_with_context(Context::default()).map_err(|error| refused(&error))
}

fn common(options: &KafkaOptions) -> Result<ClientConfig, SinkError> {
    let tls = match &options.tls {
        Some(TlsOptions::Plain(true)) => Some(&NO_FILES),
        Some(TlsOptions::Files(files)) => Some(files),
        Some(TlsOptions::Plain(false)) | None => None,
    };
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", options.bootstrap()?)
        .set("client.id", "watershed")
        .set("allow.auto.create.topics", "false")
        .set("socket.keepalive.enable", "true")
        .set("socket.timeout.ms", millis(ANSWER_TIMEOUT))
        .set("socket.connection.setup.timeout.ms", millis(CONNECT_TIMEOUT))
        .set("security.protocol", protocol(tls, options.sasl.as_ref()));
    if let Some(tls) = tls {
        encrypt(&mut config, tls);
    }
    if let Some(sasl) = &options.sasl {
        config
            .set("sasl.mechanism", sasl.mechanism.name())
            .set("sasl.username", &sasl.username)
            .set("sasl.password", sasl.password.expose());
    }
    for (name, value) in &options.properties {
        config.set(name, value.text());
    }
    Ok(config)
}

static NO_FILES: TlsFiles = TlsFiles { ca: None, cert: None, key: None, key_password: None };

fn protocol(tls: Option<&TlsFiles>, sasl: Option<&SaslOptions>) -> &'static str {
    match (tls, sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    }
}

fn encrypt(config: &mut ClientConfig, tls: &TlsFiles) {
    // OpenSSL is part of the program, and does not know where the system keeps its roots: they are looked for.
    let ca = tls.ca.as_ref().map_or_else(|| "probe".to_owned(), |ca| ca.display().to_string());
    config.set("ssl.ca.location", ca);
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        config.set("ssl.certificate.location", cert.display().to_string());
        config.set("ssl.key.location", key.display().to_string());
    }
    if let Some(password) = &tls.key_password {
        config.set("ssl.key.password", password.expose());
    }
}

pub(super) fn trouble(error: &KafkaError) -> Trouble {
    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
    Trouble { code, reason: error.to_string() }
}

/// Why there is no client. A refused property is named without its value, which may be a secret.
fn refused(error: &KafkaError) -> SinkError {
    SinkError::config(match error {
        KafkaError::ClientConfig(_, why, name, _) => format!("kafka property \"{name}\": {why}"),
        KafkaError::ClientCreation(why) => format!("no kafka client can be made of these options: {why}"),
        other => format!("no kafka client can be made of these options: {other}"),
    })
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nobody panics while holding the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
