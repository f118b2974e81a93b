//! Columns of a lake whose files were written with more than one type.
//!
//! The one idea: a type that holds every value of the other is the column's, and files with the narrower one are read as if
//! they had it. Where there is none such, nothing is read: a query is not to round or cut what is in a file.
//!
//! | one file | the other | read as |
//! |---|---|---|
//! | an integer | a longer one | the longer one |
//! | an integer, a float | a float | double |
//! | decimal | decimal | decimal with room for both |
//! | date | timestamp | timestamp |
//! | anything else | | refused, by the names of both |

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};

use crate::schema::type_name;
use crate::sql::SqlError;

/// What to do about a column of two types.
const HELP: &str = "move the older files to a folder of their own, or write the column anew by watershed replay";

/// The columns of two files, of which each is called by its name.
pub(super) fn merged(one: (&str, &Schema), other: (&str, &Schema)) -> Result<Schema, SqlError> {
    let mut fields: Vec<FieldRef> = Vec::with_capacity(one.1.fields().len());
    for field in one.1.fields() {
        let mut merged = field.as_ref().clone();
        if let Ok(theirs) = other.1.field_with_name(field.name())
            // What can be merged as it is: equal types, and structs that have gained fields.
            && merged.try_merge(theirs).is_err()
        {
            let Some(kind) = widest(field.data_type(), theirs.data_type()) else {
                let error = SqlError::new(format!(
                    "column `{}` is {} in {} and {} in {}",
                    field.name(),
                    type_name(field.data_type()),
                    one.0,
                    type_name(theirs.data_type()),
                    other.0,
                ));
                return Err(error.help(HELP));
            };
            merged = merged.with_data_type(kind).with_nullable(field.is_nullable() || theirs.is_nullable());
        }
        fields.push(Arc::new(merged));
    }
    let added = other.1.fields().iter().filter(|field| one.1.field_with_name(field.name()).is_err());
    fields.extend(added.cloned());
    Ok(Schema::new(fields))
}

/// The type that holds every value of both.
fn widest(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Date32, Decimal128, Float32, Float64, Int32, Int64, Timestamp};
    if a.equals_datatype(b) {
        return Some(a.clone());
    }
    Some(match (a, b) {
        (a, b) if a.is_signed_integer() && b.is_signed_integer() => {
            if a.primitive_width() > b.primitive_width() {
                a.clone()
            } else {
                b.clone()
            }
        }
        (Float32 | Float64, other) | (other, Float32 | Float64) if other.is_signed_integer() => Float64,
        (Float32 | Float64, Float32 | Float64) => Float64,
        (Decimal128(p1, s1), Decimal128(p2, s2)) => {
            let scale = *s1.max(s2);
            let whole = (i16::from(*p1) - i16::from(*s1)).max(i16::from(*p2) - i16::from(*s2));
            let precision = u8::try_from(whole + i16::from(scale)).ok()?;
            (precision <= 38).then_some(Decimal128(precision, scale))?
        }
        (Int32, decimal @ Decimal128(p, s)) | (decimal @ Decimal128(p, s), Int32)
            if i16::from(*p) - i16::from(*s) >= 10 =>
        {
            decimal.clone()
        }
        (Int64, decimal @ Decimal128(p, s)) | (decimal @ Decimal128(p, s), Int64)
            if i16::from(*p) - i16::from(*s) >= 19 =>
        {
            decimal.clone()
        }
        (Date32, time @ Timestamp(..)) | (time @ Timestamp(..), Date32) => time.clone(),
        _ => return None,
    })
}

/// Reads files as they are, or with wider types; refuses to read a number as one that does not hold it.
#[derive(Debug)]
pub(super) struct Widening;

impl PhysicalExprAdapterFactory for Widening {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let inner = DefaultPhysicalExprAdapterFactory.create(Arc::clone(&table), Arc::clone(&file))?;
        Ok(Arc::new(WideningFile { inner, table, file }))
    }
}

#[derive(Debug)]
struct WideningFile {
    inner: Arc<dyn PhysicalExprAdapter>,
    table: SchemaRef,
    file: SchemaRef,
}

impl PhysicalExprAdapter for WideningFile {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        for column in collect_columns(&expr) {
            let (Ok(wanted), Ok(found)) =
                (self.table.field_with_name(column.name()), self.file.field_with_name(column.name()))
            else {
                continue;
            };
            let (wanted, found) = (wanted.data_type(), found.data_type());
            let of_numbers = wanted.is_numeric() || found.is_numeric();
            if of_numbers && widest(wanted, found).as_ref() != Some(wanted) {
                let error = SqlError::new(format!(
                    "column `{}` is {} in one of the files, which does not fit {}, as it is in the oldest and the newest",
                    column.name(),
                    type_name(found),
                    type_name(wanted),
                ));
                return Err(error.help(HELP).into_datafusion());
            }
        }
        self.inner.rewrite(expr)
    }
}
