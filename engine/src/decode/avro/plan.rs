//! How values of a writer's type get into a column, worked out once for both.
//!
//! A plan is as deep as the declared type, so that it ends for writer's types that hold themselves.

use watershed_connectors::avro::{Field, Kind, NodeId, Schema};

use super::super::column::Column;

/// What to do with a value.
#[derive(Debug)]
pub(super) enum Plan {
    /// A value without an inside.
    Plain,
    /// By what it is.
    Union(Vec<Plan>),
    /// A record into a struct.
    Struct(Fields),
    /// An array into a list.
    List(Box<Plan>),
    /// A map into a map.
    Map(Box<Plan>),
    /// Anything with an inside, as JSON text.
    Json,
    /// The column takes no such value.
    Refuse,
}

/// The fields of a record in the writer's order, with the columns they go to.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) written: Vec<(NodeId, Option<(usize, Plan)>)>,
    /// Columns that the writer has no field for.
    pub(super) missing: Vec<usize>,
}

/// What to do with a whole record.
#[derive(Debug)]
pub(super) enum RowPlan {
    Record(Fields),
    Union(Vec<RowPlan>),
    Refuse,
}

impl RowPlan {
    pub(super) fn of(schema: &Schema, id: NodeId, names: &[String], columns: &[Column]) -> Self {
        match &schema.node(id).kind {
            Kind::Record { fields, .. } => Self::Record(Fields::of(schema, fields, |i| names[i].as_str(), columns)),
            Kind::Union(branches) => {
                Self::Union(branches.iter().map(|branch| Self::of(schema, *branch, names, columns)).collect())
            }
            _ => Self::Refuse,
        }
    }
}

impl Fields {
    fn of<'n>(schema: &Schema, written: &[Field], name: impl Fn(usize) -> &'n str, columns: &[Column]) -> Self {
        let field_of = |column: &usize| {
            let name = name(*column);
            let named = written.iter().position(|field| field.name == name);
            // A name that another column has is that column's.
            named.or_else(|| written.iter().position(|field| field.aliases.iter().any(|alias| alias == name)))
        };
        let places: Vec<Option<usize>> = (0..columns.len()).map(|column| field_of(&column)).collect();
        let plan = |(at, field): (usize, &Field)| {
            let named = (0..columns.len()).find(|&c| places[c] == Some(at) && name(c) == field.name);
            let column = named.or_else(|| places.iter().position(|place| *place == Some(at)));
            (field.node, column.map(|column| (column, Plan::of(schema, field.node, &columns[column]))))
        };
        let written: Vec<_> = written.iter().enumerate().map(plan).collect();
        let filled = |column: &usize| written.iter().any(|(_, to)| to.as_ref().is_some_and(|(to, _)| to == column));
        let missing = (0..columns.len()).filter(|column| !filled(column)).collect();
        Self { written, missing }
    }
}

impl Plan {
    fn of(schema: &Schema, id: NodeId, column: &Column) -> Self {
        match (&schema.node(id).kind, column) {
            (Kind::Union(branches), _) => {
                Self::Union(branches.iter().map(|branch| Self::of(schema, *branch, column)).collect())
            }
            (Kind::Record { .. } | Kind::Array(_) | Kind::Map(_), Column::Json(_)) => Self::Json,
            (Kind::Record { fields, .. }, Column::Struct(to)) => {
                Self::Struct(Fields::of(schema, fields, |i| to.names.get(i), &to.children))
            }
            (Kind::Array(items), Column::List(to)) => Self::List(Box::new(Self::of(schema, *items, &to.items))),
            (Kind::Map(values), Column::Map(to)) => Self::Map(Box::new(Self::of(schema, *values, &to.values))),
            (Kind::Record { .. } | Kind::Array(_) | Kind::Map(_), _) => Self::Refuse,
            _ => Self::Plain,
        }
    }
}
