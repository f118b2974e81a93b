//! Whether the service answers.
//!
//! The one idea: the client opens its streams again by itself, for as long as it takes, and says nothing of it; an open
//! stream of a quiet subscription and no stream at all look alike. So when nothing comes, a connection of our own asks: it
//! says hello, and waits for the first byte of an answer.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::error::SourceError;

/// Where Google has the service.
const GOOGLE: &str = "https://pubsub.googleapis.com";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How HTTP/2 begins: the preface, then a frame of settings that is empty (RFC 9113, 3.4).
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// Where a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    port: u16,
    tls: bool,
}

impl Address {
    /// Google's own.
    pub(super) fn google() -> Result<Self, SourceError> {
        Self::parse(GOOGLE)
    }

    /// Of an `endpoint`.
    pub(super) fn parse(endpoint: &str) -> Result<Self, SourceError> {
        let refused = || {
            SourceError::config(
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
    pub(super) async fn answers(&self) -> Result<(), SourceError> {
        let (address, what) = (self.clone(), format!("{}:{} does not answer", self.host, self.port));
        let asked = tokio::task::spawn_blocking(move || address.ask());
        match asked.await {
            Ok(outcome) => outcome.map_err(|error| SourceError::retry(what, error)),
            Err(error) => Err(SourceError::retry(what, error)),
        }
    }

    fn ask(&self) -> std::io::Result<()> {
        let mut failure = std::io::Error::new(std::io::ErrorKind::NotFound, "its name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE).and_then(|stream| self.greet(stream)) {
                Ok(()) => return Ok(()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn greet(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        match self.tls {
            true => stream.write_all(&self.client_hello()?)?,
            false => stream.write_all(HELLO)?,
        }
        stream.read_exact(&mut [0])
    }

    /// The first message of TLS. What it is answered with is not looked at, so no certificate has to be trusted.
    fn client_hello(&self) -> std::io::Result<Vec<u8>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(std::io::Error::other)?;
        let config = config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        let name = rustls::pki_types::ServerName::try_from(self.host.clone()).map_err(std::io::Error::other)?;
        let mut connection = rustls::ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
        let mut hello = Vec::new();
        connection.write_tls(&mut hello)?;
        Ok(hello)
    }
}
