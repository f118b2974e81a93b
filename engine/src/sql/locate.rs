//! Finds the clause that a refusal is about in the parsed text, so that the error can point at it.
//!
//! Logical plans do not keep the places of their nodes; the outermost clause of the right kind is the best guess, and
//! where there is none the statement's beginning.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, JoinOperator, LimitClause, Query, Select, SetExpr, Spanned, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;

/// Kinds of clauses that can be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Aggregate,
    Distinct,
    Function(String),
    Join,
    Limit,
    OrderBy,
    Over,
    Subquery,
    Union,
}

/// Where the clause stands.
pub(crate) fn locate(query: &Query, place: &Place) -> Option<Span> {
    let mut finder = Finder { place, found: None };
    let _ = query.visit(&mut finder);
    finder.found.filter(|span| span.start.line > 0).or_else(|| Some(query.span()))
}

struct Finder<'a> {
    place: &'a Place,
    found: Option<Span>,
}

impl Finder<'_> {
    fn found(&mut self, span: Span) -> ControlFlow<()> {
        self.found = Some(span);
        ControlFlow::Break(())
    }

    fn in_select(&mut self, select: &Select) -> ControlFlow<()> {
        match self.place {
            Place::Distinct => match &select.distinct {
                Some(Distinct::Distinct | Distinct::On(_)) => self.found(select.select_token.0.span),
                _ => ControlFlow::Continue(()),
            },
            Place::Join => match select.from.iter().flat_map(|from| &from.joins).next() {
                Some(join) if !matches!(join.join_operator, JoinOperator::CrossApply) => {
                    self.found(join.relation.span())
                }
                _ => match select.from.get(1) {
                    Some(second) => self.found(second.relation.span()),
                    None => ControlFlow::Continue(()),
                },
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        match (self.place, &query.order_by, &query.limit_clause) {
            (Place::OrderBy, Some(order_by), _) => return self.found(order_by.span()),
            (Place::Limit, _, Some(LimitClause::LimitOffset { limit: Some(limit), .. })) => {
                return self.found(limit.span());
            }
            (Place::Limit, _, Some(limit)) => return self.found(limit.span()),
            _ => {}
        }
        match query.body.as_ref() {
            SetExpr::Select(select) => self.in_select(select),
            SetExpr::SetOperation { right, .. } if *self.place == Place::Union => self.found(right.span()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match (self.place, expr) {
            (Place::Over, Expr::Function(function)) if function.over.is_some() => self.found(expr.span()),
            (Place::Function(name), Expr::Function(function))
                if function.name.to_string().eq_ignore_ascii_case(name) =>
            {
                self.found(expr.span())
            }
            (Place::Aggregate, Expr::Function(function))
                if function.over.is_none() && is_aggregate(&function.name.to_string()) =>
            {
                self.found(expr.span())
            }
            (Place::Subquery, Expr::Subquery(query)) => self.found(query.span()),
            (Place::Subquery, Expr::InSubquery { subquery, .. } | Expr::Exists { subquery, .. }) => {
                self.found(subquery.span())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn is_aggregate(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    datafusion::functions_aggregate::all_default_aggregate_functions()
        .iter()
        .any(|function| function.name() == name || function.aliases().contains(&name))
}
