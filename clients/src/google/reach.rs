//! Where the service is, and whether it answers there.
//!
//! The one idea: Google's client tries again by itself, for as long as it takes, and says nothing of it; an open stream of
//! a quiet subscription and no stream at all look alike. So a connection of our own asks: it says hello, and waits for the
//! first byte of an answer. With TLS it trusts whom the client trusts.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use url::Url;

use crate::error::ClientError;

#[cfg(test)]
mod tests;

/// Where Google has the service.
const GOOGLE: &str = "https://pubsub.googleapis.com";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The protocol of gRPC, by its name in TLS.
const HTTP2: &[u8] = b"h2";
/// How HTTP/2 begins: the preface, then a frame of settings that is empty (RFC 9113, 3.4).
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// Where a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    tls: bool,
}

impl Address {
    /// Google's own.
    pub fn google() -> Result<Self, ClientError> {
        Self::parse(GOOGLE)
    }

    /// Of an `endpoint`.
    pub fn parse(endpoint: &str) -> Result<Self, ClientError> {
        let refused = || {
            ClientError::config(
                "`endpoint` is http:// or https:// with a host, such as \"https://europe-west1-pubsub.googleapis.com\"",
            )
        };
        let url = Url::parse(endpoint).map_err(|_| refused())?;
        let host = url.host_str().ok_or_else(refused)?.trim_matches(['[', ']']).to_string();
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        match (url.scheme(), url.port_or_known_default()) {
            ("http", Some(port)) if bare => Ok(Self { host, port, tls: false }),
            ("https", Some(port)) if bare => Ok(Self { host, port, tls: true }),
            _ => Err(refused()),
        }
    }

    /// Says hello there, and waits for an answer.
    pub async fn answers(&self) -> Result<(), ClientError> {
        let address = self.clone();
        let asked = tokio::task::spawn_blocking(move || address.ask()).await;
        asked.unwrap_or_else(|error| Err(self.failed(io::Error::other(error))))
    }

    fn ask(&self) -> Result<(), ClientError> {
        let trusting = match self.tls {
            true => Some(trusting()?),
            false => None,
        };
        self.greet(trusting).map_err(|error| self.failed(error))
    }

    /// What to do about it.
    fn failed(&self, error: io::Error) -> ClientError {
        let place = format!("{}:{}", self.host, self.port);
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let what = match tls {
            Some(rustls::Error::InvalidCertificate(_)) => format!(
                "the certificate of {place} is not trusted; start the daemon with SSL_CERT_FILE naming a file with the one \
                 that signed it"
            ),
            _ => format!("{place} does not answer; check `endpoint`, and that this machine may connect there"),
        };
        ClientError::retry(what, error)
    }

    /// At the first of its addresses that answers.
    fn greet(&self, trusting: Option<Arc<ClientConfig>>) -> io::Result<()> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            let connected = TcpStream::connect_timeout(&address, PATIENCE);
            match connected.and_then(|stream| self.greet_on(stream, trusting.clone())) {
                Ok(()) => return Ok(()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn greet_on(&self, mut stream: TcpStream, trusting: Option<Arc<ClientConfig>>) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let Some(trusting) = trusting else { return hello(stream) };
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(trusting, name).map_err(io::Error::other)?;
        hello(rustls::Stream::new(&mut connection, &mut stream))
    }
}

fn hello(mut stream: impl Read + Write) -> io::Result<()> {
    stream.write_all(HELLO)?;
    stream.flush()?;
    stream.read_exact(&mut [0])
}

/// Whom the client trusts: the roots of the system, or those that SSL_CERT_FILE and SSL_CERT_DIR name. They are read once.
fn trusting() -> Result<Arc<ClientConfig>, ClientError> {
    static TRUSTING: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = TRUSTING.get() {
        return Ok(config.clone());
    }
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or_else(|| "there are none here".to_string(), ToString::to_string);
        return Err(ClientError::config(format!(
            "no certificates to trust ({why}); install those of the system, or name a file with some by SSL_CERT_FILE"
        )));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| ClientError::config(format!("no TLS here: {error}")))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(TRUSTING.get_or_init(|| Arc::new(config)).clone())
}
