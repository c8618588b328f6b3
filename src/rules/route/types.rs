//! Types of events that a rule of a route can be for, read from the rule.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue, operators};

/// The types of events for which a rule can say yes, as far as it names them: `event.type == "x"`, `event.type in [..]`,
/// and what `&&` and `||` make of those. `None`: any.
pub fn types(rule: &IdedExpr) -> Option<BTreeSet<String>> {
    let Expr::Call(call) = &rule.expr else { return None };
    let [left, right] = call.args.as_slice() else { return None };
    match call.func_name.as_str() {
        operators::LOGICAL_AND => match (types(left), types(right)) {
            (Some(one), Some(other)) => Some(one.intersection(&other).cloned().collect()),
            (one, other) => one.or(other),
        },
        operators::LOGICAL_OR => Some(types(left)?.into_iter().chain(types(right)?).collect()),
        operators::EQUALS if is_type(left) => Some(BTreeSet::from([text(right)?])),
        operators::EQUALS if is_type(right) => Some(BTreeSet::from([text(left)?])),
        operators::IN if is_type(left) => match &right.expr {
            Expr::List(list) => list.elements.iter().map(text).collect(),
            _ => None,
        },
        _ => None,
    }
}

fn is_type(part: &IdedExpr) -> bool {
    let Expr::Select(select) = &part.expr else { return false };
    select.field == "type" && matches!(&select.operand.expr, Expr::Ident(noun) if noun == "event")
}

fn text(part: &IdedExpr) -> Option<String> {
    match &part.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
        _ => None,
    }
}
