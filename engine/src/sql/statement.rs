//! From SQL text to one planned and optimised statement.

use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::catalog::Catalog;
use super::error::SqlError;

/// Longest statement taken, in bytes.
const MAX_SQL_BYTES: usize = 256 * 1024;

/// A parsed query with the text it came from.
#[derive(Debug, Clone)]
pub(crate) struct ParsedQuery {
    pub(crate) query: Box<Query>,
}

/// Parses exactly one query.
pub(crate) fn parse(sql: &str) -> Result<ParsedQuery, SqlError> {
    if sql.len() > MAX_SQL_BYTES {
        return Err(SqlError::new(format!("the statement has {} bytes; at most {MAX_SQL_BYTES} are taken", sql.len())));
    }
    let text = blank_inner_table(sql);
    let dialect = GenericDialect {};
    let mut statements = DFParserBuilder::new(text.as_str())
        .with_dialect(&dialect)
        .with_recursion_limit(64)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(SqlError::from)?;
    let statement = match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => statement,
        (None, _) => return Err(SqlError::new("there is no SQL here").help("a pipeline is one SELECT")),
        (Some(_), false) => {
            return Err(SqlError::new("a pipeline is one statement; here are several")
                .help("make one [pipelines.NAME] for each of them"));
        }
    };
    match statement {
        Statement::Statement(inner) => match *inner {
            SqlStatement::Query(query) => Ok(ParsedQuery { query }),
            other => Err(not_a_query(&other.to_string())),
        },
        other => Err(not_a_query(&other.to_string())),
    }
}

fn not_a_query(statement: &str) -> SqlError {
    let verb = statement.split_whitespace().next().unwrap_or("this").to_uppercase();
    SqlError::new(format!("a pipeline is a SELECT, not {verb}"))
        .help("where rows go is said by `sink` in the region file, not in SQL")
}

/// Plans a query into a logical plan, as written.
pub(crate) async fn plan(
    context: &SessionContext,
    catalog: &Catalog,
    parsed: &ParsedQuery,
) -> Result<LogicalPlan, SqlError> {
    let statement = Statement::Statement(Box::new(SqlStatement::Query(parsed.query.clone())));
    context.state().statement_to_plan(statement).await.map_err(|error| {
        let error = SqlError::from(error);
        // DataFusion says: table 'datafusion.public.ordrs' not found.
        let missing = error.message.strip_prefix("table '").and_then(|rest| rest.strip_suffix("' not found"));
        match missing.map(|name| name.rsplit('.').next().unwrap_or(name)) {
            Some(name) => SqlError { position: error.position, ..catalog.unknown(name) },
            None => error,
        }
    })
}

/// Replaces the word TABLE in `(TABLE orders, …)` by blanks of the same length, so that Flink's spelling parses and
/// every position stays where it was. `TABLE(` itself, and TABLE anywhere else, is left alone.
fn blank_inner_table(sql: &str) -> String {
    let dialect = GenericDialect {};
    let Ok(tokens) = Tokenizer::new(&dialect, sql).tokenize_with_location() else {
        return sql.to_string();
    };
    let meaningful: Vec<_> =
        tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)).collect();
    let mut text = sql.to_string();
    for three in meaningful.windows(3) {
        let opens = matches!(three[0].token, Token::LParen | Token::Comma | Token::RArrow);
        let table = matches!(&three[1].token, Token::Word(word) if word.keyword == Keyword::TABLE);
        let named = matches!(three[2].token, Token::Word(_));
        if opens && table && named {
            let start = three[1].span.start;
            if let Some(offset) = offset_of(sql, start.line as usize, start.column as usize) {
                text.replace_range(offset..offset + "TABLE".len(), "     ");
            }
        }
    }
    text
}

/// Byte offset of a line and column (in characters), both from 1.
fn offset_of(text: &str, line: usize, column: usize) -> Option<usize> {
    let line_start = match line {
        1 => 0,
        _ => text.match_indices('\n').nth(line - 2)?.0 + 1,
    };
    let (offset, _) = text[line_start..].char_indices().nth(column - 1)?;
    Some(line_start + offset)
}
