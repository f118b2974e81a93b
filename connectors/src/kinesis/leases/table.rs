//! The lease table in DynamoDB: rows in, conditional writes out.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
};
use tokio::time::Instant;
use watershed_clients::aws::{advised, refused_credentials};

use super::checkpoint::Checkpoint;
use super::lease::{Change, Lease, Outcome};
use crate::error::SourceError;

/// How long a new table may take to become ready, and how often it is looked at.
const READY_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What a call may take where no lease depends on it: long enough to be tried several times, and to say why it failed.
const PATIENCE: Duration = Duration::from_secs(15);
/// The key of a row that never exists.
const NO_SHARD: &str = "watershed-probe";

const SHARD: &str = "leaseKey";
const OWNER: &str = "leaseOwner";
const LEAVING: &str = "checkpointOwner";
const COUNTER: &str = "leaseCounter";
const CHECKPOINT: &str = "checkpoint";
const SUB: &str = "checkpointSubSequenceNumber";
const SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
const SINCE: &str = "startingTimestamp";
const STATE: &str = "watershedState";
const BEFORE: &str = "watershedBefore";
const PARENTS: &str = "parentShardId";
const CHILDREN: &str = "childShardIds";
const FIRST_HASH_KEY: &str = "startingHashKey";
const LAST_HASH_KEY: &str = "endingHashKey";
/// What the library keeps of a checkpoint that it has only prepared; whoever writes a newer one removes it.
const PENDING: [&str; 3] = ["pendingCheckpoint", "pendingCheckpointSubSequenceNumber", "pendingCheckpointState"];

type Item = HashMap<String, AttributeValue>;

/// A table of leases.
#[derive(Debug, Clone)]
pub(super) struct LeaseTable {
    client: Client,
    name: String,
}

impl LeaseTable {
    /// The table called `name`; no call takes longer than `patience`.
    pub(super) fn new(config: &SdkConfig, endpoint: Option<&str>, name: &str, patience: Duration) -> Self {
        let mut builder = aws_sdk_dynamodb::config::Builder::from(config);
        // An endpoint of the stream is not one of the table.
        builder.set_endpoint_url(endpoint.map(str::to_string));
        let client = Client::from_conf(builder.timeout_config(within(patience)).build());
        Self { client, name: name.to_string() }
    }

    /// The same table, asked with patience.
    pub(super) fn patient(&self) -> Self {
        let config = self.client.config().to_builder().timeout_config(within(PATIENCE)).build();
        Self { client: Client::from_conf(config), name: self.name.clone() }
    }

    /// Makes the table if it is missing, and waits until it is ready.
    pub(super) async fn ensure(&self) -> Result<(), SourceError> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            match self.status().await? {
                Some(TableStatus::Active | TableStatus::Updating) => return Ok(()),
                Some(status) if Instant::now() >= deadline => {
                    let why = format!("it is still {}", status.as_str());
                    return Err(SourceError::retry(format_args!("lease table {}", self.name), why));
                }
                Some(_) => tokio::time::sleep(LOOK_EVERY).await,
                None => self.make().await?,
            }
        }
    }

    /// None if there is no such table.
    async fn status(&self) -> Result<Option<TableStatus>, SourceError> {
        match self.client.describe_table().table_name(&self.name).send().await {
            Ok(answer) => Ok(answer.table.and_then(|table| table.table_status)),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(self.failed("dynamodb:DescribeTable", &error)),
        }
    }

    async fn make(&self) -> Result<(), SourceError> {
        let invalid = |error| SourceError::fatal(format_args!("lease table {}", self.name), error);
        let attribute = AttributeDefinition::builder().attribute_name(SHARD).attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(SHARD).key_type(KeyType::Hash);
        let request = self.client.create_table().table_name(&self.name).billing_mode(BillingMode::PayPerRequest);
        let request = request.attribute_definitions(attribute.build().map_err(invalid)?);
        match request.key_schema(key.build().map_err(invalid)?).send().await {
            Ok(_) => {
                tracing::info!(table = self.name, "lease table made");
                Ok(())
            }
            // Another daemon was first.
            Err(error) if error.code() == Some("ResourceInUseException") => Ok(()),
            Err(error) => Err(self.failed("dynamodb:CreateTable", &error)),
        }
    }

    /// Every row.
    pub(super) async fn scan(&self) -> Result<Vec<Lease>, SourceError> {
        let mut rows = Vec::new();
        let mut from: Option<Item> = None;
        loop {
            let request = self.client.scan().table_name(&self.name).consistent_read(true);
            let answer = request.set_exclusive_start_key(from).send().await;
            let answer = answer.map_err(|error| self.failed("dynamodb:Scan", &error))?;
            for item in answer.items() {
                rows.push(self.read(item)?);
            }
            from = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                return Ok(rows);
            }
        }
    }

    /// Adds a row, unless there is one.
    pub(super) async fn add(&self, lease: &Lease) -> Result<(), SourceError> {
        let request = self.client.put_item().table_name(&self.name).set_item(Some(written(lease)));
        let request = request.condition_expression("attribute_not_exists(#k)").expression_attribute_names("#k", SHARD);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if refused(&error) => Ok(()),
            Err(error) => Err(self.failed("dynamodb:PutItem", &error)),
        }
    }

    /// Makes one change, if the row is found as it expects.
    pub(super) async fn change(&self, change: &Change) -> Result<Outcome, SourceError> {
        let Change { from, to } = change;
        let mut update = Update::default();
        update.expect(OWNER, from.owner.clone().map(AttributeValue::S));
        update.expect(LEAVING, from.leaving.clone().map(AttributeValue::S));
        update.expect(COUNTER, Some(number(from.counter)));
        update.put(OWNER, to.owner.clone().map(AttributeValue::S));
        update.put(LEAVING, to.leaving.clone().map(AttributeValue::S));
        update.put(COUNTER, Some(number(to.counter)));
        update.put(SWITCHES, Some(number(to.switches)));
        update.put(STATE, to.state.clone().map(AttributeValue::S));
        update.put(BEFORE, to.before.clone().map(AttributeValue::S));
        if to.checkpoint != from.checkpoint {
            update.put(CHECKPOINT, Some(AttributeValue::S(to.checkpoint.text().to_string())));
            update.put(SUB, Some(number(to.checkpoint.sub())));
            PENDING.iter().for_each(|name| update.put(name, None));
        }
        match self.update(&to.shard, update).await {
            Ok(()) => Ok(Outcome::Done),
            Err(error) if refused(&error) => Ok(Outcome::Refused(self.get(&to.shard).await?.map(Box::new))),
            Err(error) => Err(self.failed("dynamodb:UpdateItem", &error)),
        }
    }

    async fn update(
        &self,
        shard: &str,
        update: Update,
    ) -> Result<(), SdkError<aws_sdk_dynamodb::operation::update_item::UpdateItemError>> {
        let request = self.client.update_item().table_name(&self.name);
        let request = request.key(SHARD, AttributeValue::S(shard.to_string()));
        let (changes, conditions) = (update.changes(), update.conditions.join(" AND "));
        let request = request.update_expression(changes).condition_expression(conditions);
        let request = request.set_expression_attribute_names(Some(update.names));
        let request = request.set_expression_attribute_values(Some(update.values).filter(|some| !some.is_empty()));
        // Not tried again below: whether a write was done that was not answered is for the worker to find out.
        let once = aws_sdk_dynamodb::config::Config::builder().retry_config(RetryConfig::disabled());
        request.customize().config_override(once).send().await.map(drop)
    }

    async fn get(&self, shard: &str) -> Result<Option<Lease>, SourceError> {
        let request = self.client.get_item().table_name(&self.name).consistent_read(true);
        let answer = request.key(SHARD, AttributeValue::S(shard.to_string())).send().await;
        let answer = answer.map_err(|error| self.failed("dynamodb:GetItem", &error))?;
        answer.item.as_ref().map(|item| self.read(item)).transpose()
    }

    /// Tries everything that sharing needs, changing nothing.
    pub(super) async fn probe(&self) -> Result<String, SourceError> {
        if self.status().await?.is_none() {
            return Ok(format!("lease table {} will be made", self.name));
        }
        let rows = self.scan().await?;
        self.get(NO_SHARD).await?;
        let mut update = Update::default();
        update.conditions.push("attribute_exists(#leaseKey)".to_string());
        update.names.insert(format!("#{SHARD}"), SHARD.to_string());
        update.put(COUNTER, Some(number(0)));
        match self.update(NO_SHARD, update).await {
            Err(error) if !refused(&error) => Err(self.failed("dynamodb:UpdateItem", &error)),
            _ => Ok(format!("lease table {} has {} leases", self.name, rows.len())),
        }
    }

    fn read(&self, item: &Item) -> Result<Lease, SourceError> {
        read(item).ok_or_else(|| {
            let shard = item.get(SHARD).and_then(|key| key.as_s().ok()).map_or("without a key", String::as_str);
            SourceError::config(format_args!(
                "lease table {}: row {shard} is no lease; give the daemons a table of their own",
                self.name
            ))
        })
    }

    fn failed<E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static>(
        &self,
        action: &str,
        error: &SdkError<E>,
    ) -> SourceError {
        let table = &self.name;
        match error.code() {
            Some("AccessDeniedException" | "AccessDenied") => SourceError::config(format_args!(
                "lease table {table}: not allowed; give the daemon the IAM action {action} on \
                 arn:aws:dynamodb:*:*:table/{table}"
            )),
            Some("UnrecognizedClientException" | "InvalidSignatureException" | "ExpiredTokenException") => {
                SourceError::config(format_args!(
                    "lease table {table}: the credentials are not valid in this region, or have expired; check them, and \
                     aws_region"
                ))
            }
            Some("ResourceNotFoundException") => SourceError::retry(format_args!("lease table {table}"), "it is gone"),
            Some("ValidationException") => SourceError::config(format_args!(
                "lease table {table}: {}; give the daemons a table of their own, with the string key {SHARD}",
                error.message().unwrap_or("refused")
            )),
            Some(code) => SourceError::retry(
                format_args!("lease table {table}: {action}"),
                format!("{code}: {}", error.message().unwrap_or_default()),
            ),
            None => refused_credentials(error).map(SourceError::from).unwrap_or_else(|| {
                SourceError::retry(format_args!("lease table {table}: {action}"), advised(innermost(error)))
            }),
        }
    }
}

/// No call takes longer than `patience`, and no try longer than half of it.
fn within(patience: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().operation_timeout(patience).operation_attempt_timeout(patience / 2).build()
}

fn refused<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code() == Some("ConditionalCheckFailedException")
}

/// What lies under an error that only says that something failed.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The expressions of one conditional update.
#[derive(Debug, Default)]
struct Update {
    sets: Vec<String>,
    removes: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: Item,
}

impl Update {
    fn expect(&mut self, name: &str, value: Option<AttributeValue>) {
        self.names.insert(format!("#{name}"), name.to_string());
        match value {
            Some(value) => {
                self.conditions.push(format!("#{name} = :was_{name}"));
                self.values.insert(format!(":was_{name}"), value);
            }
            None => self.conditions.push(format!("attribute_not_exists(#{name})")),
        }
    }

    fn put(&mut self, name: &str, value: Option<AttributeValue>) {
        self.names.insert(format!("#{name}"), name.to_string());
        match value {
            Some(value) => {
                self.sets.push(format!("#{name} = :{name}"));
                self.values.insert(format!(":{name}"), value);
            }
            None => self.removes.push(format!("#{name}")),
        }
    }

    fn changes(&self) -> String {
        let clause = |word: &str, parts: &[String]| match parts {
            [] => String::new(),
            parts => format!("{word} {}", parts.join(", ")),
        };
        format!("{} {}", clause("SET", &self.sets), clause("REMOVE", &self.removes)).trim().to_string()
    }
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A lease as a row; none if it makes no sense.
pub(super) fn read(item: &HashMap<String, AttributeValue>) -> Option<Lease> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).filter(|text| !text.is_empty()).cloned();
    let number =
        |name: &str| item.get(name).and_then(|value| value.as_n().ok()).map(|number| number.parse::<u64>().ok());
    let names = |name: &str| {
        let mut names = item.get(name).and_then(|value| value.as_ss().ok()).cloned().unwrap_or_default();
        names.sort();
        names
    };
    // Where the library has not begun to read a shard there may be no checkpoint.
    let checkpoint = match text(CHECKPOINT) {
        Some(checkpoint) => Checkpoint::parse(&checkpoint, number(SUB).unwrap_or(Some(0))?)?,
        None => Checkpoint::TrimHorizon,
    };
    Some(Lease {
        shard: text(SHARD)?,
        owner: text(OWNER),
        leaving: text(LEAVING),
        counter: number(COUNTER)??,
        checkpoint,
        switches: number(SWITCHES).unwrap_or(Some(0))?,
        since: number(SINCE).flatten().and_then(|since| i64::try_from(since).ok()),
        state: text(STATE),
        before: text(BEFORE),
        parents: names(PARENTS),
        children: names(CHILDREN),
        hash_keys: text(FIRST_HASH_KEY).zip(text(LAST_HASH_KEY)),
    })
}

/// A row as a new lease has it.
pub(super) fn written(lease: &Lease) -> HashMap<String, AttributeValue> {
    let mut item = Item::from([
        (SHARD.to_string(), AttributeValue::S(lease.shard.clone())),
        (COUNTER.to_string(), number(lease.counter)),
        (CHECKPOINT.to_string(), AttributeValue::S(lease.checkpoint.text().to_string())),
        (SUB.to_string(), number(lease.checkpoint.sub())),
        (SWITCHES.to_string(), number(lease.switches)),
    ]);
    let texts = [(OWNER, &lease.owner), (LEAVING, &lease.leaving), (STATE, &lease.state), (BEFORE, &lease.before)];
    for (name, text) in texts {
        item.extend(text.clone().map(|text| (name.to_string(), AttributeValue::S(text))));
    }
    for (name, names) in [(PARENTS, &lease.parents), (CHILDREN, &lease.children)] {
        if !names.is_empty() {
            item.insert(name.to_string(), AttributeValue::Ss(names.clone()));
        }
    }
    if let Some(since) = lease.since {
        item.insert(SINCE.to_string(), AttributeValue::N(since.to_string()));
    }
    if let Some((first, last)) = &lease.hash_keys {
        item.insert(FIRST_HASH_KEY.to_string(), AttributeValue::S(first.clone()));
        item.insert(LAST_HASH_KEY.to_string(), AttributeValue::S(last.clone()));
    }
    item
}
