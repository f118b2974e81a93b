#![allow(clippy::unwrap_used)]

mod blocks;
mod model;
mod random;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::functions_aggregate::{count::count_udaf, min_max::max_udaf, sum::sum_udaf};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::Column;

use super::{SessionState, SessionStore, session_field};
use crate::aggregate::{AggregateCall, AggregateSpec};
use crate::checkpoint::{Block, Budget, Piece};
use crate::window::{ClosedSessions, Work};

/// One event. `user` is the session key; `shard` is one too where there are two.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    user: Option<u8>,
    shard: i32,
    time: i64,
    amount: i64,
}

/// How many of `user` and `shard` are session keys, and what is kept.
#[derive(Debug, Clone, Copy)]
struct Setup {
    keys: usize,
    collect: bool,
    gap: i64,
    lateness: i64,
}

/// One row of a closed session: start, end, user, count or 1, sum or amount, greatest or amount.
type Out = (i64, i64, Option<String>, i64, i64, i64);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("user", DataType::Utf8View, true),
        Field::new("shard", DataType::Int32, false),
        Field::new("amount", DataType::Int64, false),
    ]))
}

impl Setup {
    fn work(&self) -> Work {
        if self.collect {
            return Work::Collect;
        }
        let mut fields: Vec<_> = schema().fields().to_vec();
        fields.push(session_field());
        let with_session = Arc::new(Schema::new(fields));
        let column = |name: &str, index| Arc::new(Column::new(name, index)) as Arc<dyn PhysicalExpr>;
        let groups =
            vec![(column("__session", 3), session_field()), (column("user", 0), Arc::new(schema().field(0).clone()))];
        let calls = [count_udaf(), sum_udaf(), max_udaf()].map(|function| {
            let name = function.name().to_owned();
            let built = AggregateExprBuilder::new(function, vec![column("amount", 2)]);
            let function = Arc::new(built.schema(with_session.clone()).alias(name).build().unwrap());
            AggregateCall { function, filter: None }
        });
        Work::Aggregate(Arc::new(AggregateSpec::try_new(groups, calls.into()).unwrap()))
    }

    fn store(&self, budget: &Arc<Budget>) -> SessionStore {
        let types = [DataType::Utf8View, DataType::Int32][..self.keys].to_vec();
        SessionStore::new(self.gap, self.lateness, self.work(), types, budget.clone()).unwrap()
    }

    /// A new store with the state of another, as read back from storage.
    fn restored(&self, state: &SessionState, budget: &Arc<Budget>) -> SessionStore {
        let mut store = self.store(budget);
        let read = |blocks: &[Arc<Block>]| blocks.iter().map(|block| read_back(block, budget)).collect();
        let state = SessionState { next: state.next, sessions: read(&state.sessions), rows: read(&state.rows) };
        store.restore(state).unwrap();
        store
    }

    fn push(&self, store: &mut SessionStore, rows: &[Row], watermarks: &[i64]) -> Vec<u32> {
        let users: ArrayRef = Arc::new(StringViewArray::from_iter(rows.iter().map(|row| row.user.map(name))));
        let shards: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.shard)));
        let amounts: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.amount)));
        let times: Vec<i64> = rows.iter().map(|row| row.time).collect();
        let keys = [users.clone(), shards.clone()][..self.keys].to_vec();
        let batch = RecordBatch::try_new(schema(), vec![users, shards, amounts]).unwrap();
        store.push(&batch, &times, watermarks, &keys, &[]).unwrap().late
    }

    /// Pushes rows that are not late.
    fn push_all(&self, store: &mut SessionStore, rows: &[Row]) {
        assert!(self.push(store, rows, &vec![i64::MIN; rows.len()]).is_empty());
    }

    fn close(&self, store: &mut SessionStore, through: i64) -> Vec<Out> {
        store.close(through).unwrap().map(|closed| self.outs(&closed)).unwrap_or_default()
    }

    fn outs(&self, closed: &ClosedSessions) -> Vec<Out> {
        let rows = &closed.rows;
        let users = rows.column(0).as_string_view();
        let number = |column: usize, row| rows.column(column).as_primitive::<Int64Type>().value(row);
        let mut outs: Vec<Out> = (0..rows.num_rows())
            .map(|row| {
                let user = users.is_valid(row).then(|| users.value(row).to_owned());
                let (count, sum, greatest) = match self.collect {
                    true => (1, number(2, row), number(2, row)),
                    false => (number(1, row), number(2, row), number(3, row)),
                };
                (closed.starts[row], closed.ends[row], user, count, sum, greatest)
            })
            .collect();
        outs.sort();
        outs
    }
}

/// Longer than a view holds inline, so that strings live in buffers.
fn name(user: u8) -> String {
    format!("a user with quite a long name: {user}")
}

fn row(user: u8, time: i64, amount: i64) -> Row {
    Row { user: Some(user), shard: 0, time, amount }
}

fn read_back(block: &Block, budget: &Arc<Budget>) -> Arc<Block> {
    let batch = block.batch().unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let batch = StreamReader::try_new(bytes.as_slice(), None).unwrap().next().unwrap().unwrap();
    let rows = batch.num_rows() as u64;
    let piece = Piece { segment: "1-a.seg".to_owned(), offset: 0, length: bytes.len() as u64, rows, crc32: 0 };
    Block::restored(batch, piece, budget)
}
