//! Avro: values under the schema they were written with, read into the declared columns.
//!
//! The one idea: a writer's schema and the declared columns are matched once, into a plan; reading a record is then one walk
//! over its bytes. Fields go by their names, or else by one of the aliases that the writer's schema gives them; what is not
//! declared is passed by, what the writer does not have is null. So a schema may grow, and the columns stay.

mod declared;
mod json;
mod plan;
mod value;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use watershed_connectors::Records;
use watershed_connectors::avro::{Cursor, Schema};

use super::batch::Rows;
use super::registered::{ById, Registered, RegisteredSchema, SchemaKind, framed};
use super::{Decode, DecodeError, Decoded};
use crate::schema::SourceSchema;
pub(super) use declared::declared;
use plan::RowPlan;

/// Where the schema of a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AvroSchemas {
    /// From the file that the value stands in.
    Container,
    /// From the region file. A single object (`C3 01` and a fingerprint in front) says which of them it was written with;
    /// everything else is a bare value under the first.
    Known(Vec<Arc<Schema>>),
    /// From a registry, by the id in front of the value.
    Registry,
}

/// What stands in front of a single object, before the fingerprint.
const SINGLE_OBJECT: [u8; 2] = [0xc3, 0x01];

/// A schema, matched with the columns.
#[derive(Debug)]
struct Matched {
    schema: Arc<Schema>,
    plan: RowPlan,
}

enum Writers {
    Container { header: Option<Arc<[u8]>>, matched: Option<Result<Matched, String>> },
    Known(Vec<Matched>),
    Registry(ById<Matched>),
}

struct AvroDecoder {
    rows: Rows,
    names: Vec<String>,
    writers: Writers,
}

/// A decoder of Avro.
pub(super) fn decoder(
    schemas: &AvroSchemas,
    schema: &SourceSchema,
    projection: &[usize],
) -> Result<Box<dyn Decode>, DecodeError> {
    let rows = Rows::new(schema, projection)?;
    let names: Vec<String> = projection.iter().map(|&column| schema.fields[column].name.clone()).collect();
    let writers = match schemas {
        AvroSchemas::Container => Writers::Container { header: None, matched: None },
        AvroSchemas::Known(known) => {
            Writers::Known(known.iter().map(|schema| Matched::of(schema.clone(), &names, &rows)).collect())
        }
        AvroSchemas::Registry => Writers::Registry(ById::default()),
    };
    Ok(Box::new(AvroDecoder { rows, names, writers }))
}

impl Matched {
    fn of(schema: Arc<Schema>, names: &[String], rows: &Rows) -> Self {
        let plan = RowPlan::of(&schema, schema.root(), names, &rows.columns);
        Self { schema, plan }
    }

    fn registered(registered: &RegisteredSchema, names: &[String], rows: &Rows) -> Result<Self, String> {
        if registered.kind != SchemaKind::Avro {
            return Err("it is not an Avro schema".to_owned());
        }
        let references: Vec<&str> = registered.references.iter().map(|(_, text)| text.as_str()).collect();
        let schema = Schema::parse(&registered.text, &references).map_err(|error| error.to_string())?;
        Ok(Self::of(Arc::new(schema), names, rows))
    }

    fn in_container(header: &[u8], names: &[String], rows: &Rows) -> Result<Self, String> {
        let text = std::str::from_utf8(header).map_err(|error| error.to_string())?;
        let schema = Schema::parse(text, &[]).map_err(|error| error.to_string())?;
        Ok(Self::of(Arc::new(schema), names, rows))
    }
}

impl Writers {
    /// Learns under which schema the records of a container stand.
    fn learn_header(&mut self, records: &Records, names: &[String], rows: &Rows) {
        let Self::Container { header, matched } = self else { return };
        if header.as_ref() == records.header() {
            return;
        }
        *header = records.header().cloned();
        *matched = header.as_ref().map(|header| Matched::in_container(header, names, rows));
    }

    /// The schema of a record, and where its value begins.
    fn of<'p>(&self, payload: &'p [u8]) -> Result<(&Matched, &'p [u8]), String> {
        match self {
            Self::Container { matched: Some(matched), .. } => Ok((matched.as_ref().map_err(Clone::clone)?, payload)),
            Self::Container { matched: None, .. } => Err("the record stands under no schema".to_owned()),
            Self::Registry(by_id) => {
                let (id, value) = framed(payload)?;
                Ok((by_id.get(id)?, value))
            }
            Self::Known(known) => {
                if let Some(rest) = payload.strip_prefix(&SINGLE_OBJECT)
                    && let Some((fingerprint, value)) = rest.split_first_chunk()
                {
                    let fingerprint = u64::from_le_bytes(*fingerprint);
                    if let Some(matched) = known.iter().find(|known| known.schema.fingerprint() == fingerprint) {
                        return Ok((matched, value));
                    }
                }
                let first = known.first().ok_or("there is no schema")?;
                Ok((first, payload))
            }
        }
    }

    /// What more to say of a record that can't be read.
    fn hint(&self, payload: &[u8]) -> String {
        let single = matches!(self, Self::Known(_)).then(|| payload.strip_prefix(&SINGLE_OBJECT)).flatten();
        match single.and_then(|rest| rest.first_chunk()) {
            Some(fingerprint) => {
                let fingerprint = u64::from_le_bytes(*fingerprint);
                format!(
                    "; if it is a single object, `schema_file` lacks the schema with fingerprint {fingerprint:016x}"
                )
            }
            None => String::new(),
        }
    }
}

impl AvroDecoder {
    fn push_record(&mut self, payload: &[u8]) -> Result<(), String> {
        let (matched, value) = self.writers.of(payload)?;
        let mut cursor = Cursor::new(value);
        matched.plan.push(&matched.schema, &mut cursor, &self.names, &mut self.rows.columns)?;
        if !cursor.is_at_end() {
            return Err(format!("{} bytes stand behind the value", value.len() - cursor.at()));
        }
        Ok(())
    }
}

impl Decode for AvroDecoder {
    fn schema(&self) -> &SchemaRef {
        self.rows.schema()
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        self.writers.learn_header(records, &self.names, &self.rows);
        self.rows.begin(records.len());
        for i in 0..records.len() {
            let payload = records.payload(i);
            let mut outcome = self.push_record(payload);
            if let Err(reason) = &mut outcome {
                reason.push_str(&self.writers.hint(payload));
            }
            self.rows.end_record(i, outcome);
        }
        self.rows.finish("")
    }

    fn learn(&mut self, registered: &Registered) {
        if let Writers::Registry(by_id) = &mut self.writers {
            by_id.learn(registered, |schema| Matched::registered(schema, &self.names, &self.rows));
        }
    }
}
