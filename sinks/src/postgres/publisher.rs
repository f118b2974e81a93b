//! An epoch as one transaction: its rows, and its number.
//!
//! The one idea: the row that keeps the number is locked before it is read. Whoever else would publish the same epoch waits, and
//! then finds it there.

use std::fmt;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Error, NoTls, Statement};

use super::advice::sorted;
use super::options::{PostgresOptions, TlsOptions};
use super::table::{Name, create, insert, json, quoted};
use super::tls::Tls;
use crate::error::SinkError;
use crate::messages::{Epoch, Publisher};

/// After this long without an answer to one statement a connection is given up, with whatever is under way; the server undoes it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process that stands still keeps others from the record for so long; and whoever waits for another asks again after so long.
const LIMITS: &str = "SET LOCAL idle_in_transaction_session_timeout = '60s'; SET LOCAL lock_timeout = '30s'";

/// Publishes to a table, once.
pub(super) struct PostgresPublisher {
    config: Config,
    tls: Option<Tls>,
    table: Name,
    key: Option<Vec<String>>,
    schema: SchemaRef,
    place: String,
    /// The sink's own, in the table of records.
    name: String,
    session: Option<Session>,
}

/// A connection that knows the table.
struct Session {
    client: Client,
    /// What moves its bytes. It ends with the client.
    connection: JoinHandle<()>,
    insert: Statement,
    /// How rows are told apart.
    key: Vec<String>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl fmt::Debug for PostgresPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresPublisher")
            .field("place", &self.place)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl PostgresPublisher {
    pub(super) fn new(
        options: &PostgresOptions,
        table: Name,
        key: Option<Vec<String>>,
        schema: SchemaRef,
        name: String,
    ) -> Result<Self, SinkError> {
        let tls = match &options.tls {
            None | Some(TlsOptions::Plain(false)) => None,
            Some(TlsOptions::Plain(true)) => Some(Tls::by_system()?),
            Some(TlsOptions::By { ca }) => Some(Tls::by(ca)?),
        };
        let place = format!("postgres table {}", table.quoted());
        Ok(Self { config: options.config()?, tls, table, key, schema, place, name, session: None })
    }

    /// Waits for an answer of the server.
    async fn ask<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, SinkError> {
        match timeout(PATIENCE, answer).await {
            Ok(answer) => answer.map_err(|error| sorted(&self.place, &error)),
            Err(_) => Err(SinkError::retry(&self.place, format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    /// Connects, and looks at the table.
    async fn begin(&self) -> Result<Session, SinkError> {
        let (client, connection) = match &self.tls {
            Some(tls) => {
                let (client, connection) = self.ask(self.config.connect(tls.clone())).await?;
                // Whoever waits for an answer hears of its end.
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
            None => {
                let (client, connection) = self.ask(self.config.connect(NoTls)).await?;
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
        };
        let columns: Vec<String> = self.schema.fields().iter().map(|field| field.name().clone()).collect();
        let key = self.look(&client, &columns).await?;
        let sql = insert(&self.table, &columns, &key);
        let insert = self.ask(client.prepare(&sql)).await?;
        // Plans it, which finds a missing index, and a missing permission.
        self.ask(client.query(&format!("EXPLAIN {sql}"), &[&"[]"])).await?;
        Ok(Session { client, connection, insert, key })
    }

    /// Finds the table and its columns; gives the key by which rows are told apart.
    async fn look(&self, client: &Client, columns: &[String]) -> Result<Vec<String>, SinkError> {
        let table = self.table.quoted();
        let found = self.ask(client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table])).await?;
        if !found.get::<_, bool>(0) {
            let statement = create(&self.table, &self.schema, self.key.as_deref().unwrap_or_default());
            return Err(SinkError::config(format!("{} does not exist: make it, as by {statement}", self.place)));
        }
        let known = "SELECT attname::text FROM pg_attribute \
                     WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
        let known = self.names(client, known).await?;
        if let Some(missing) = columns.iter().find(|column| !known.contains(column)) {
            let (place, column) = (&self.place, quoted(missing));
            return Err(SinkError::config(format!("{place} has no column {column}: add it, or do not select it")));
        }
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        let primary = "SELECT a.attname::text FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) AS k(number) \
                       JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number \
                       WHERE i.indrelid = to_regclass($1) AND i.indisprimary";
        let primary = self.names(client, primary).await?;
        // One of columns that are not ours, such as a number that the server gives, tells our rows apart already.
        Ok(if primary.iter().all(|column| columns.contains(column)) { primary } else { Vec::new() })
    }

    async fn names(&self, client: &Client, sql: &str) -> Result<Vec<String>, SinkError> {
        let rows = self.ask(client.query(sql, &[&self.table.quoted()])).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Makes the table of records, and our row in it, if they are not there; gives the epoch on record.
    async fn record(&self, client: &Client) -> Result<u64, SinkError> {
        let record = self.table.record();
        let is_there = "SELECT to_regclass($1) IS NOT NULL";
        let found = self.ask(client.query_one(is_there, &[&record])).await?;
        if !found.get::<_, bool>(0) {
            let sql = format!("CREATE TABLE IF NOT EXISTS {record} (name text PRIMARY KEY, epoch bigint NOT NULL)");
            if let Err(error) = self.ask(client.batch_execute(&sql)).await {
                // Another may have made it in this moment, which the server reports in odd ways.
                let found = self.ask(client.query_one(is_there, &[&record])).await?;
                if !found.get::<_, bool>(0) {
                    return Err(error);
                }
            }
        }
        let sql = format!("INSERT INTO {record} (name, epoch) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING");
        self.ask(client.execute(&sql, &[&self.name])).await?;
        let sql = format!("SELECT epoch FROM {record} WHERE name = $1");
        let row = self.ask(client.query_one(&sql, &[&self.name])).await?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }

    async fn transact(&self, session: &mut Session, epoch: &Epoch) -> Result<u64, SinkError> {
        let number = i64::try_from(epoch.epoch).map_err(|error| SinkError::fatal(&self.place, error))?;
        let record = self.table.record();
        let insert = session.insert.clone();
        let transaction = self.ask(session.client.transaction()).await?;
        self.ask(transaction.batch_execute(LIMITS)).await?;
        let locked = format!("SELECT epoch FROM {record} WHERE name = $1 FOR UPDATE");
        let row = self.ask(transaction.query_opt(&locked, &[&self.name])).await?;
        let recorded = row.map(|row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0));
        let Some(recorded) = recorded.filter(|recorded| *recorded >= epoch.after) else {
            return Err(self.lost(epoch, recorded));
        };
        if recorded >= epoch.epoch {
            if recorded > epoch.epoch {
                let (place, name, epoch) = (&self.place, &self.name, epoch.epoch);
                tracing::warn!(
                    place,
                    name,
                    recorded,
                    epoch,
                    "a later epoch is on record: another process goes on from here"
                );
            }
            self.ask(transaction.rollback()).await?;
            return Ok(recorded);
        }
        for part in &epoch.parts {
            self.ask(transaction.execute(&insert, &[&json(part)])).await?;
        }
        let sql = format!("UPDATE {record} SET epoch = $2 WHERE name = $1");
        let changed = self.ask(transaction.execute(&sql, &[&self.name, &number])).await?;
        if changed != 1 {
            let what = format!("{}: {record} does not take the epoch of \"{}\"", self.place, self.name);
            let why = format!("{changed} rows were changed in place of one: look for its triggers, rules and policies");
            return Err(SinkError::fatal(what, why));
        }
        self.ask(transaction.commit()).await?;
        Ok(epoch.epoch)
    }

    /// There is no record of an epoch that was published.
    fn lost(&self, epoch: &Epoch, recorded: Option<u64>) -> SinkError {
        let (record, name, after, n) = (self.table.record(), &self.name, epoch.after, epoch.epoch);
        let found = recorded.map_or_else(|| "none".to_owned(), |recorded| recorded.to_string());
        SinkError::fatal(
            format!("{}: {record} has to have epoch {after} of \"{name}\", and has {found}", self.place),
            format!(
                "the record was changed or restored, so that nobody knows whether epoch {n} was written: look into the \
                 table, and set `epoch` to {n} if it was, to {after} if not"
            ),
        )
    }
}

#[async_trait]
impl Publisher for PostgresPublisher {
    fn place(&self) -> &str {
        &self.place
    }

    async fn open(&mut self) -> Result<u64, SinkError> {
        let session = self.begin().await?;
        let recorded = self.record(&session.client).await?;
        self.session = Some(session);
        Ok(recorded)
    }

    async fn probe(&mut self) -> Result<String, SinkError> {
        let session = self.begin().await?;
        let how = match session.key.is_empty() {
            true => "rows are added".to_owned(),
            false => format!("rows replace others of the same {}", session.key.join(", ")),
        };
        Ok(format!("{}: {how}", self.place))
    }

    async fn publish(&mut self, epoch: Epoch) -> Result<u64, SinkError> {
        // Put back only when all went well: the next one looks at everything anew.
        let mut session = match self.session.take() {
            Some(session) => session,
            None => {
                let session = self.begin().await?;
                self.record(&session.client).await?;
                session
            }
        };
        let recorded = self.transact(&mut session, &epoch).await?;
        self.session = Some(session);
        Ok(recorded)
    }
}
