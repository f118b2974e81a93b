//! A value as JSON text: records and maps are objects, arrays lists, a union is its branch; bytes are base64.

use watershed_connectors::avro::{Blocks, Cursor, Kind, NodeId, Schema};

use super::super::written::{self, Commas};
use super::value::{Fault, plain};

/// How deep values may lie in each other, as in JSON records.
const MAX_DEPTH: usize = 64;

/// Writes the value that stands at the cursor.
pub(super) fn write(schema: &Schema, id: NodeId, cursor: &mut Cursor<'_>, out: &mut String) -> Result<(), Fault> {
    write_at(schema, id, cursor, out, 0)
}

fn write_at(schema: &Schema, id: NodeId, cursor: &mut Cursor<'_>, out: &mut String, depth: usize) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(cursor.broken("values are nested too deep").into());
    }
    cursor.step()?;
    let node = schema.node(id);
    match &node.kind {
        Kind::Record { fields, .. } => {
            let mut commas = Commas::default();
            out.push('{');
            for field in fields {
                commas.next(out);
                written::string(&field.name, out);
                out.push(':');
                write_at(schema, field.node, cursor, out, depth + 1)?;
            }
            out.push('}');
        }
        Kind::Array(items) => {
            let (mut commas, mut blocks) = (Commas::default(), Blocks::default());
            out.push('[');
            while cursor.item(&mut blocks)? {
                commas.next(out);
                write_at(schema, *items, cursor, out, depth + 1)?;
            }
            out.push(']');
        }
        Kind::Map(values) => {
            let (mut commas, mut blocks) = (Commas::default(), Blocks::default());
            out.push('{');
            while cursor.item(&mut blocks)? {
                commas.next(out);
                written::string(cursor.string()?, out);
                out.push(':');
                write_at(schema, *values, cursor, out, depth + 1)?;
            }
            out.push('}');
        }
        Kind::Union(branches) => {
            let branch = branches[cursor.place(branches.len())?];
            write_at(schema, branch, cursor, out, depth + 1)?;
        }
        _ => match plain(node, cursor, false, &mut String::new())? {
            Some(value) => value.write_json(out),
            None => out.push_str("null"),
        },
    }
    Ok(())
}
