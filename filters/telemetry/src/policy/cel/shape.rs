//! What an expression is, beyond being valid: a constant, a plain attribute
//! path, or something that only the engine can compute, and of which type.

use super::attributes::{AttributeType, attribute};
use super::parser::{Expr, ExprKind};

/// A plain path, `request.headers["x-tenant"]`: its segments.
pub type Path = Vec<Segment>;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Field, key, or the root's name.
    pub name: String,
    /// Written as `["name"]`, so a key of a map.
    pub indexed: bool,
}

/// The shape of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A string literal.
    Constant(String),
    /// Names and string indexes only.
    Path(Path),
    /// Anything else.
    Computed,
}

/// The type that an expression has by its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Text or bytes.
    Text,
    /// A whole number.
    Int,
    /// A number with a fraction.
    Double,
    /// True or false.
    Bool,
    /// A span of time.
    Duration,
    /// Only the engine knows.
    Unknown,
}

/// The shape of an expression.
#[must_use]
pub fn shape(expr: &Expr) -> Shape {
    if let ExprKind::String(value) = &expr.kind {
        return Shape::Constant(value.clone());
    }
    let mut path = Vec::new();
    if collect_path(expr, &mut path) {
        Shape::Path(path)
    } else {
        Shape::Computed
    }
}

fn segment(name: &str, indexed: bool) -> Segment {
    Segment {
        name: name.to_owned(),
        indexed,
    }
}

fn collect_path(expr: &Expr, path: &mut Path) -> bool {
    match &expr.kind {
        ExprKind::Ident(name) => {
            path.push(segment(name, false));
            true
        }
        ExprKind::Select(operand, field) => {
            let plain = collect_path(operand, path);
            path.push(segment(field, false));
            plain
        }
        ExprKind::Index(operand, index) => match &index.kind {
            ExprKind::String(key) => {
                let plain = collect_path(operand, path);
                path.push(segment(key, true));
                plain
            }
            _ => false,
        },
        _ => false,
    }
}

/// The type of an expression as far as its form tells.
#[must_use]
pub fn value_type(expr: &Expr) -> ValueType {
    match &expr.kind {
        ExprKind::Bool(_) => ValueType::Bool,
        ExprKind::Int(_) => ValueType::Int,
        ExprKind::Double(_) => ValueType::Double,
        ExprKind::String(_) | ExprKind::Bytes => ValueType::Text,
        ExprKind::Unary("!", _) => ValueType::Bool,
        ExprKind::Unary(_, operand) => value_type(operand),
        ExprKind::Binary(op, left, right) => match *op {
            "+" | "-" | "*" | "/" | "%" => common(value_type(left), value_type(right)),
            _ => ValueType::Bool,
        },
        ExprKind::Conditional(_, yes, no) => common(value_type(yes), value_type(no)),
        ExprKind::Call(target, function, arguments) => {
            call_type(target.as_deref(), function, arguments)
        }
        _ => path_type(expr),
    }
}

fn common(left: ValueType, right: ValueType) -> ValueType {
    if left == right {
        left
    } else {
        ValueType::Unknown
    }
}

fn call_type(target: Option<&Expr>, function: &str, arguments: &[Expr]) -> ValueType {
    match function {
        "has" | "all" | "exists" | "exists_one" | "startsWith" | "endsWith" | "contains"
        | "matches" | "bool" => ValueType::Bool,
        "size" | "int" | "uint" => ValueType::Int,
        "double" => ValueType::Double,
        "string" | "bytes" | "lowerAscii" | "upperAscii" => ValueType::Text,
        "duration" => ValueType::Duration,
        "getMilliseconds" | "getSeconds" | "getMinutes" | "getHours" | "getDate"
        | "getDayOfMonth" | "getDayOfWeek" | "getDayOfYear" | "getFullYear" | "getMonth"
            if target.is_some() && arguments.len() < 2 =>
        {
            ValueType::Int
        }
        _ => ValueType::Unknown,
    }
}

fn path_type(expr: &Expr) -> ValueType {
    let Shape::Path(path) = shape(expr) else {
        return ValueType::Unknown;
    };
    if let [root, map, _] = path.as_slice()
        && matches!(root.name.as_str(), "request" | "response")
        && matches!(map.name.as_str(), "headers" | "trailers")
    {
        return ValueType::Text;
    }
    let whole = if path.len() == 1 || path.len() == 2 {
        attribute(&path)
    } else {
        None
    };
    match whole {
        Some((AttributeType::Text, _)) => ValueType::Text,
        Some((AttributeType::Int, _)) => ValueType::Int,
        Some((AttributeType::Bool, _)) => ValueType::Bool,
        Some((AttributeType::Duration, _)) => ValueType::Duration,
        Some((AttributeType::Timestamp | AttributeType::Composite, _)) | None => ValueType::Unknown,
    }
}

/// Whether the values of an expression are few whatever clients send: conditions, and
/// what is computed from attributes of which that is true.
#[must_use]
pub fn is_closed(expr: &Expr) -> bool {
    if let ExprKind::Conditional(_, yes, no) = &expr.kind {
        return is_closed(yes) && is_closed(no);
    }
    value_type(expr) == ValueType::Bool
        || identifiers(expr).iter().all(|path| {
            let names: Vec<&str> = path.iter().take(2).map(|step| step.name.as_str()).collect();
            CLOSED.contains(&names.join(".").as_str())
        })
}

/// Attributes that no client chooses, with few values.
const CLOSED: [&str; 17] = [
    "response.code",
    "response.flags",
    "response.grpc_status",
    "response.code_details",
    "request.protocol",
    "connection.tls_version",
    "upstream.tls_version",
    "upstream.request_attempt_count",
    "destination.port",
    "xds.node",
    "xds.cluster_name",
    "xds.route_name",
    "xds.virtual_host_name",
    "xds.filter_chain_name",
    "xds.listener_direction",
    "plugin_name",
    "plugin_root_id",
];

/// Every attribute path that an expression reads, longest form, so that a
/// caller can tell what it depends on. Variables of macros (`exists(i, …)`) are
/// left out.
#[must_use]
pub fn identifiers(expr: &Expr) -> Vec<Path> {
    let mut out = Vec::new();
    collect_identifiers(expr, &mut Vec::new(), &mut out);
    out
}

fn collect_identifiers(expr: &Expr, bound: &mut Vec<String>, out: &mut Vec<Path>) {
    let mut path = Vec::new();
    if collect_path(expr, &mut path) {
        if !path.first().is_some_and(|root| bound.contains(&root.name)) {
            out.push(path);
        }
        return;
    }
    match &expr.kind {
        ExprKind::Select(operand, _) | ExprKind::Unary(_, operand) => {
            collect_identifiers(operand, bound, out);
        }
        ExprKind::Index(left, right) | ExprKind::Binary(_, left, right) => {
            collect_identifiers(left, bound, out);
            collect_identifiers(right, bound, out);
        }
        ExprKind::Conditional(condition, yes, no) => {
            for part in [condition, yes, no] {
                collect_identifiers(part, bound, out);
            }
        }
        ExprKind::List(items) | ExprKind::Map(items) => {
            for item in items {
                collect_identifiers(item, bound, out);
            }
        }
        ExprKind::Call(target, function, arguments) => {
            if let Some(target) = target {
                collect_identifiers(target, bound, out);
            }
            let variable = match (target.is_some(), function.as_str(), arguments.first()) {
                (true, "all" | "exists" | "exists_one" | "map" | "filter", Some(first)) => {
                    match &first.kind {
                        ExprKind::Ident(name) => Some(name.clone()),
                        _ => None,
                    }
                }
                _ => None,
            };
            let skip = usize::from(variable.is_some());
            let depth = bound.len();
            bound.extend(variable);
            for argument in arguments.iter().skip(skip) {
                collect_identifiers(argument, bound, out);
            }
            bound.truncate(depth);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::cel::parse;

    fn path(segments: &[&str]) -> Shape {
        Shape::Path(
            segments
                .iter()
                .map(|s| segment(s.trim_matches('\''), s.starts_with('\'')))
                .collect(),
        )
    }

    #[test]
    fn plain_paths_and_constants_are_told_from_computations() {
        for (text, expected) in [
            ("response.code", path(&["response", "code"])),
            (
                "request.headers['x-a']",
                path(&["request", "headers", "'x-a'"]),
            ),
            ("(path_template)", path(&["path_template"])),
            ("'eu'", Shape::Constant("eu".into())),
            ("list[0]", Shape::Computed),
            ("a + b", Shape::Computed),
            ("f(a)", Shape::Computed),
        ] {
            assert_eq!(shape(&parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn types_follow_from_the_form() {
        for (text, expected) in [
            ("response.code", ValueType::Int),
            ("response.code >= 500", ValueType::Bool),
            ("'a' in request.headers", ValueType::Bool),
            ("request.headers['a']", ValueType::Text),
            ("request.duration", ValueType::Duration),
            ("response.code / 100", ValueType::Int),
            ("1.5", ValueType::Double),
            ("has(a.b) ? 'x' : 'y'", ValueType::Text),
            ("has(a.b) ? 'x' : 1", ValueType::Unknown),
            ("metadata.filter_metadata['a']['b']", ValueType::Unknown),
            ("size(request.path)", ValueType::Int),
        ] {
            assert_eq!(value_type(&parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_an_expression_reads_is_found_and_macro_variables_are_not() {
        let read = |text| -> Vec<Vec<String>> {
            let paths = identifiers(&parse(text).unwrap());
            let names = |path: Path| path.into_iter().map(|s| s.name).collect();
            paths.into_iter().map(names).collect()
        };
        assert_eq!(
            read("[1, 2].exists(i, i == response.code) && 'x' in request.headers"),
            [vec!["response", "code"], vec!["request", "headers"]]
        );
        assert_eq!(read("'constant'"), Vec::<Vec<String>>::new());
    }
}
