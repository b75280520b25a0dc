//! What an expression comes to when nothing of a request can change it.

use super::parser::{Expr, ExprKind};

/// The value of an expression that is the same for every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constant {
    /// A number, its fraction cut off.
    Number(i64),
    /// True or false.
    Bool(bool),
    /// A text.
    Text(String),
    /// Something that is neither, or that always fails: `null`, a list, `int("a")`.
    Useless,
}

use Constant::{Bool, Number, Text, Useless};

/// The value of an expression, if it is certain to be the same for every request.
/// `None` for what depends on one, and for functions that only the engine knows.
#[must_use]
pub fn constant(expr: &Expr) -> Option<Constant> {
    Some(match &expr.kind {
        ExprKind::Null | ExprKind::Bytes | ExprKind::List(_) | ExprKind::Map(_) => Useless,
        ExprKind::Bool(value) => Bool(*value),
        ExprKind::Int(value) => Number(*value),
        ExprKind::Double(whole) => Number((*whole)?),
        ExprKind::String(text) => Text(text.clone()),
        ExprKind::Unary(op, operand) => match (*op, constant(operand)?) {
            ("-", Number(value)) => Number(value.checked_neg()?),
            ("!", Bool(value)) => Bool(!value),
            _ => Useless,
        },
        ExprKind::Conditional(condition, yes, no) => match constant(condition)? {
            Bool(true) => constant(yes)?,
            Bool(false) => constant(no)?,
            _ => Useless,
        },
        ExprKind::Binary(op, left, right) => match (*op, constant(left), constant(right)) {
            // Of two that are left neither decides alone.
            ("&&", Some(Bool(false)), _) | ("&&", _, Some(Bool(false))) => Bool(false),
            ("||", Some(Bool(true)), _) | ("||", _, Some(Bool(true))) => Bool(true),
            (op, left, right) => binary(op, &left?, &right?)?,
        },
        ExprKind::Call(None, function, arguments) => {
            match (function.as_str(), arguments.as_slice()) {
                ("int" | "uint", [argument]) => match constant(argument)? {
                    Number(value) => Number(value),
                    Text(text) => text.parse().map_or(Useless, Number),
                    _ => Useless,
                },
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn binary(op: &str, left: &Constant, right: &Constant) -> Option<Constant> {
    match op {
        "==" => return Some(Bool(left == right)),
        "!=" => return Some(Bool(left != right)),
        _ => {}
    }
    Some(match (left, right) {
        (Number(a), Number(b)) => match op {
            "+" => Number(a.checked_add(*b)?),
            "-" => Number(a.checked_sub(*b)?),
            "*" => Number(a.checked_mul(*b)?),
            "/" | "%" if *b == 0 => Useless,
            "<" => Bool(a < b),
            "<=" => Bool(a <= b),
            ">" => Bool(a > b),
            ">=" => Bool(a >= b),
            _ => return None,
        },
        (Bool(_), Bool(_)) if op == "&&" || op == "||" => right.clone(),
        (Text(a), Text(b)) if op == "+" => Text(format!("{a}{b}")),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::cel::parse;

    #[test]
    fn what_no_request_changes_is_known() {
        let text = |text: &str| Some(Text(text.to_owned()));
        for (expression, expected) in [
            ("1", Some(Number(1))),
            ("(-7)", Some(Number(-7))),
            ("0x0u", Some(Number(0))),
            ("0.9", Some(Number(0))),
            ("-1.5", Some(Number(-1))),
            ("1e3", None),
            ("2 * 3 - 6", Some(Number(0))),
            ("1 / 0", Some(Useless)),
            ("'a'", text("a")),
            ("'a' + 'b'", text("ab")),
            ("int('a')", Some(Useless)),
            ("int('12')", Some(Number(12))),
            ("null", Some(Useless)),
            ("[1]", Some(Useless)),
            ("{'a': 1}", Some(Useless)),
            ("b'a'", Some(Useless)),
            ("false", Some(Bool(false))),
            ("!false", Some(Bool(true))),
            ("1 < 2", Some(Bool(true))),
            ("1 == 2 || false", Some(Bool(false))),
            ("false && response.code == 200", Some(Bool(false))),
            ("response.code == 200 || true", Some(Bool(true))),
            ("true && response.code == 200", None),
            ("true ? 'a' : request.path", text("a")),
            ("response.code", None),
            ("f(1)", None),
            ("request.headers['a'] == 'b' ? 1 : 0", None),
        ] {
            assert_eq!(
                constant(&parse(expression).unwrap()),
                expected,
                "{expression}"
            );
        }
    }
}
