//! The keys of `connector = "postgres"` as they are written.

use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use watershed_clients::Secret;

use super::publisher::PostgresPublisher;
use super::table::Name;
use crate::error::SinkError;
use crate::messages::{
    Limits, MessageOptions, MessageSink, Publisher as _, check_json, check_max_epoch_bytes, key_column, name_of,
};
use crate::sink::{Sink, SinkContext};
use crate::units::ByteSize;

/// What one statement writes: the server takes it apart in memory.
const STATEMENT_BYTES: usize = 4_000_000;

/// How long a connection may take to come about, and what was sent may stay without an answer.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);

/// Where the rows go, as written in the region file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresOptions {
    /// The database, as in `postgresql://user@host:5432/database`.
    pub(super) url: Secret,
    /// The user's password, where the URL has none.
    #[serde(default)]
    pub(super) password: Option<Secret>,
    /// The table, with or without its schema. It has to exist.
    pub(super) table: String,
    /// The columns that tell a row from others; the table's primary key if left out.
    #[serde(default)]
    pub(super) key: Option<Vec<String>>,
    /// Encryption.
    #[serde(default)]
    pub(super) tls: Option<TlsOptions>,
    /// Bytes of rows, as JSON, that one epoch writes; the rest goes with the next.
    #[serde(default = "crate::messages::default_max_epoch_bytes")]
    pub(super) max_epoch_bytes: ByteSize,
    /// The region in which the server lies.
    #[serde(default)]
    pub(super) location: Option<String>,
}

/// `tls = true`, or a table.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected true, or a table with `ca`")]
pub(super) enum TlsOptions {
    /// With the system's roots, or without encryption.
    Plain(bool),
    /// By the authorities of a PEM file.
    By {
        /// The file.
        ca: PathBuf,
    },
}

#[async_trait]
impl MessageOptions for PostgresOptions {
    fn connector(&self) -> &'static str {
        "postgres"
    }

    fn hosts(&self) -> Vec<String> {
        let Ok(config) = self.config() else { return Vec::new() };
        let named = config.get_hosts().iter().map(|host| match host {
            Host::Tcp(host) => host.clone(),
            Host::Unix(_) => "localhost".to_owned(),
        });
        named.chain(config.get_hostaddrs().iter().map(ToString::to_string)).collect()
    }

    fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    fn check(&self, context: &SinkContext) -> Result<(), SinkError> {
        self.config()?;
        Name::parse(&self.table)?;
        check_max_epoch_bytes(self.max_epoch_bytes)?;
        if self.key.as_ref().is_some_and(Vec::is_empty) {
            return Err(SinkError::config("`key` is empty: name the columns that tell rows apart, or leave it out"));
        }
        for column in self.key.iter().flatten() {
            key_column(Some(column), context)?;
        }
        check_json(context)
    }

    fn sink(&self, context: &SinkContext, name: &str) -> Result<Box<dyn Sink>, SinkError> {
        let limits =
            Limits { epoch_bytes: self.max_epoch_bytes.as_usize(), part_rows: usize::MAX, part_bytes: STATEMENT_BYTES };
        Ok(Box::new(MessageSink::new(self.publisher(context, name)?, None, limits)))
    }

    async fn probe(&self, context: &SinkContext, name: &str) -> Result<String, SinkError> {
        self.publisher(context, name)?.probe().await
    }
}

impl PostgresOptions {
    fn publisher(&self, context: &SinkContext, name: &str) -> Result<PostgresPublisher, SinkError> {
        self.check(context)?;
        let table = Name::parse(&self.table)?;
        PostgresPublisher::new(self, table, self.key.clone(), context.schema.clone(), name_of(context, name))
    }

    /// How to connect.
    pub(super) fn config(&self) -> Result<Config, SinkError> {
        let wrong =
            || SinkError::config("`url` is no address of a database: write postgresql://user@host:5432/database");
        let encrypted = !matches!(self.tls, None | Some(TlsOptions::Plain(false)));
        let not_in_url = || {
            SinkError::config(
                "`url`: encryption is not asked for here: take `sslmode`, `sslrootcert` and the like out, and write tls = true, \
                 or tls = { ca = \"ca.pem\" }; the server's certificate is checked either way",
            )
        };
        let mut config: Config = self.url.expose().trim().parse().map_err(|error: tokio_postgres::Error| {
            // It names the option, and not its value.
            match error.source().is_some_and(|why| why.to_string().contains("`ssl")) {
                true => not_in_url(),
                false => wrong(),
            }
        })?;
        if config.get_ssl_mode() == SslMode::Require && !encrypted {
            return Err(not_in_url());
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong());
        }
        match (config.get_password(), &self.password) {
            (Some(_), Some(_)) => {
                return Err(SinkError::config("`url` has a password, and so has `password`: leave one of them out"));
            }
            (None, Some(password)) => {
                config.password(password.expose());
            }
            (_, None) => {}
        }
        config.application_name("watershed").connect_timeout(CONNECT).tcp_user_timeout(ANSWER).ssl_mode(if encrypted {
            SslMode::Require
        } else {
            SslMode::Disable
        });
        Ok(config)
    }
}
