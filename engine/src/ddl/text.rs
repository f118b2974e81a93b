//! What the dialects have in common: quoting, and lists of columns.

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};

use super::Unfit;

/// What a dialect calls a type; or what is wrong with it, and what to select instead.
pub(super) type SqlType = fn(&DataType) -> Result<String, Unread>;

/// A type that an engine cannot read from Parquet: what it is, and what to write in the SQL instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unread {
    what: String,
    instead: &'static str,
}

/// A column's name and its type in some dialect.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) sql_type: String,
}

/// The columns of `schema` in a dialect.
pub(super) fn columns(engine: &str, schema: &Schema, sql_type: SqlType) -> Result<Vec<Column>, Unfit> {
    let column = |field: &FieldRef| {
        let name = field.name();
        match sql_type(field.data_type()) {
            Ok(sql_type) => Ok(Column { name: name.clone(), sql_type }),
            Err(Unread { what, instead }) => {
                let message = format!("{engine} cannot read {what} from Parquet, as column `{name}` is");
                Err(Unfit::new(message, format!("select something else in the pipeline's SQL: {instead}")))
            }
        }
    };
    schema.fields().iter().map(column).collect()
}

/// A type that no dialect of ours knows: the sink writes none such.
pub(super) fn unread(data_type: &DataType) -> Unread {
    match data_type {
        DataType::Time32(_) | DataType::Time64(_) => {
            Unread { what: "a time of day".to_owned(), instead: "a timestamp, or seconds since midnight" }
        }
        other => Unread { what: format!("{other}"), instead: "a cast to a string, or leave it out" },
    }
}

/// Something that nests in a way which an engine does not know.
pub(super) fn nests(what: &str, instead: &'static str) -> Unread {
    Unread { what: what.to_owned(), instead }
}

/// `name` between `quote`s, those inside doubled.
pub(super) fn quoted(name: &str, quote: char) -> String {
    let twice = format!("{quote}{quote}");
    format!("{quote}{}{quote}", name.replace(quote, &twice))
}

/// A name of letters, digits and underscores, for engines that take no others.
pub(super) fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

/// A string literal, with quotes doubled.
pub(super) fn literal(text: &str) -> String {
    quoted(text, '\'')
}

/// Lines in a list, indented, with commas between them.
pub(super) fn list(lines: impl IntoIterator<Item = String>) -> String {
    let lines: Vec<String> = lines.into_iter().map(|line| format!("    {line}")).collect();
    lines.join(",\n")
}

/// Columns as most dialects declare them.
pub(super) fn declared(columns: &[Column], quote: char) -> Vec<String> {
    columns.iter().map(|column| format!("{} {}", quoted(&column.name, quote), column.sql_type)).collect()
}

/// The types of a map's keys and values.
pub(super) fn key_and_value(entries: &Field, sql_type: SqlType) -> Result<(String, String), Unread> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => {
            Ok((sql_type(fields[0].data_type())?, sql_type(fields[1].data_type())?))
        }
        other => Err(unread(other)),
    }
}

/// The fields of a struct, each put into words by `field`.
pub(super) fn fields(
    fields: &Fields,
    sql_type: SqlType,
    field: impl Fn(&str, &str) -> String,
) -> Result<String, Unread> {
    let fields = fields.iter().map(|one| Ok(field(one.name(), &sql_type(one.data_type())?)));
    Ok(fields.collect::<Result<Vec<_>, Unread>>()?.join(", "))
}
