//! A writer's schema as declared columns, for the user to look over and paste.

use watershed_connectors::avro::{Kind, Logical, NodeId, Schema};

/// How deep types may lie in each other; what lies deeper, as in a type that holds itself, is `json`.
const MAX_DEPTH: usize = 8;
/// Types that are written out; behind them, what has an inside is `json`.
const MAX_TYPES: usize = 1000;

/// Names and SQL types of a record's fields.
pub(in super::super) fn declared(header: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = std::str::from_utf8(header).map_err(|error| error.to_string())?;
    let schema = Schema::parse(text, &[]).map_err(|error| error.to_string())?;
    let Kind::Record { fields, .. } = &schema.node(schema.root()).kind else {
        return Err(format!("it is of type {}", schema.type_name(schema.root())));
    };
    let mut left = MAX_TYPES;
    Ok(fields.iter().map(|field| (field.name.clone(), sql_type(&schema, field.node, 0, &mut left))).collect())
}

/// The SQL type that holds all values of a type.
fn sql_type(schema: &Schema, id: NodeId, depth: usize, left: &mut usize) -> String {
    *left = left.saturating_sub(1);
    let node = schema.node(id);
    let plain = match (&node.kind, node.logical) {
        (_, Some(Logical::Decimal { precision, scale })) if precision <= 38 => {
            return format!("decimal({precision},{scale})");
        }
        (_, Some(Logical::Date)) => "date",
        (_, Some(Logical::TimestampMillis | Logical::TimestampMicros | Logical::TimestampNanos)) => "timestamp",
        (_, Some(Logical::TimeMillis | Logical::TimeMicros | Logical::Uuid)) => "string",
        (Kind::Boolean, _) => "boolean",
        (Kind::Int, _) => "int",
        (Kind::Long, _) => "bigint",
        (Kind::Float, _) => "float",
        (Kind::Double, _) => "double",
        (Kind::Bytes | Kind::Fixed { .. }, _) => "bytes",
        (Kind::String | Kind::Enum { .. } | Kind::Null, _) => "string",
        _ if depth > MAX_DEPTH || *left == 0 => "json",
        (Kind::Array(items), _) => return format!("list<{}>", sql_type(schema, *items, depth + 1, left)),
        (Kind::Map(values), _) => return format!("map<string, {}>", sql_type(schema, *values, depth + 1, left)),
        (Kind::Record { fields, .. }, _) if !fields.is_empty() => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}: {}", field.name, sql_type(schema, field.node, depth + 1, left)))
                .collect();
            return format!("struct<{}>", fields.join(", "));
        }
        (Kind::Union(branches), _) => {
            let mut held = branches.iter().filter(|branch| schema.node(**branch).kind != Kind::Null);
            match (held.next(), held.next()) {
                (Some(only), None) => return sql_type(schema, *only, depth + 1, left),
                _ => "json",
            }
        }
        (Kind::Record { .. }, _) => "json",
    };
    plain.to_owned()
}
