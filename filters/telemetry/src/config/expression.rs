//! An expression as its place in the configuration needs it.
//!
//! The engine's results carry no type and one failing part fails a whole list,
//! so each expression is turned into CEL whose result has a known form: text,
//! eight bytes of an integer, and nothing at all for an attribute that is not
//! there.

use meshpack_sdk::config::Value;

use crate::policy::cel::{self, AttributeType, Constant, Path, Segment, Shape, ValueType};
use crate::policy::engine::{Evaluation, ResultType};

/// Longest expression; Envoy itself stops at 100,000 characters of CEL.
const MAX_LENGTH: usize = 4096;

/// The filter's own variable, beside Envoy's attributes.
const PATH_TEMPLATE: &str = "path_template";

/// What the value of an expression is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A label value or a log field: anything that can be shown.
    Show,
    /// A whole number to add or record.
    Number,
    /// True or false.
    Condition,
}

/// A checked expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// Where it stands in the configuration.
    pub path: String,
    /// As it was written.
    pub text: String,
    /// How its value is found.
    pub source: Source,
    /// The number that it always is, if it is a number that no request changes.
    pub number: Option<i64>,
    /// Whether its values are few whatever clients send.
    pub closed: bool,
}

/// How the value of an expression is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It never changes.
    Constant(String),
    /// The path template that the request fits.
    Operation,
    /// Envoy computes it.
    Engine(Evaluation),
}

impl Expression {
    /// Reads an expression. `at_start` refuses attributes that exist only once
    /// the request is over.
    pub fn read(value: &Value<'_>, used: Use, at_start: bool) -> Option<Self> {
        let text = value.non_empty_string()?;
        if text.len() > MAX_LENGTH {
            return value.problem(format!("is longer than {MAX_LENGTH} characters"));
        }
        let expr = match cel::parse(text) {
            Ok(expr) => expr,
            Err(error) => return value.problem(format!("is not a valid CEL expression, {error}")),
        };
        for path in cel::identifiers(&expr) {
            check_identifier(value, &path, &expr, at_start)?;
        }
        let number = check_constant(value, cel::constant(&expr), used)?;
        let source = match cel::shape(&expr) {
            Shape::Constant(constant) if used == Use::Show => Source::Constant(constant),
            Shape::Path(path) if is_operation(&path) && used == Use::Show => Source::Operation,
            Shape::Path(path) if is_operation(&path) => {
                return value.problem("path_template is a text and can only be a label or a field");
            }
            shape => Source::Engine(evaluation(value, text, &expr, &shape, used)?),
        };
        Some(Self {
            path: value.path().to_owned(),
            text: text.to_owned(),
            closed: !matches!(source, Source::Engine(_)) || cel::is_closed(&expr),
            source,
            number,
        })
    }
}

/// Notes a problem with a value that no request changes and that can never be what
/// its place needs; gives the number that it always is.
fn check_constant(value: &Value<'_>, constant: Option<Constant>, used: Use) -> Option<Option<i64>> {
    let Some(constant) = constant else {
        return Some(None);
    };
    match (used, constant) {
        (Use::Show | Use::Number, Constant::Useless) => {
            value.problem("is never a text or a number, whatever the request: name an attribute")
        }
        (Use::Number, Constant::Text(text)) => match text.parse() {
            Ok(number) => Some(Some(number)),
            Err(_) => value.problem(format!(
                "is always the text {text:?}, which is no number: write a number or name an attribute"
            )),
        },
        (Use::Number, Constant::Bool(is_one)) => Some(Some(is_one.into())),
        (Use::Number, Constant::Number(number)) => Some(Some(number)),
        (Use::Condition, Constant::Bool(false)) => {
            value.problem("never holds, whatever the request: name an attribute")
        }
        _ => Some(None),
    }
}

fn is_operation(path: &[Segment]) -> bool {
    matches!(path, [only] if only.name == PATH_TEMPLATE)
}

fn check_identifier(
    value: &Value<'_>,
    path: &Path,
    expr: &cel::Expr,
    at_start: bool,
) -> Option<()> {
    let root = path.first()?;
    if root.name == PATH_TEMPLATE
        && !matches!(cel::shape(expr), Shape::Path(path) if is_operation(&path))
    {
        return value.problem(
            "path_template can not be part of a larger expression: use it alone, as a label of its own",
        );
    }
    let known = cel::attribute(path);
    if at_start && known.is_some_and(|(_, presence)| !presence.at_start()) {
        let name = names(path).join(".");
        return value.problem(format!(
            "{name} is known only at the end of a request, but a gauge goes up at its start: use attributes of the request, the connection or the route"
        ));
    }
    let documented = [
        "request",
        "response",
        "connection",
        "upstream",
        "source",
        "destination",
        "xds",
    ];
    if known.is_none() && path.len() > 1 && documented.contains(&root.name.as_str()) {
        let name = names(path.get(..2).unwrap_or(path)).join(".");
        return value.problem(format!(
            "Envoy has no attribute {name}: see the attributes page of Envoy's documentation"
        ));
    }
    Some(())
}

fn names(path: &[Segment]) -> Vec<&str> {
    path.iter().map(|segment| segment.name.as_str()).collect()
}

fn evaluation(
    value: &Value<'_>,
    text: &str,
    expr: &cel::Expr,
    shape: &Shape,
    used: Use,
) -> Option<Evaluation> {
    let typed = match shape {
        Shape::Path(path) if path.len() <= 2 => cel::attribute(path).map(|(kind, _)| kind),
        _ => None,
    };
    if typed == Some(AttributeType::Composite) {
        return value.problem(format!("{text} is a map: name one of its entries"));
    }
    let (wrapped, result) = wrap(value, text, cel::value_type(expr), typed, used)?;
    let guard = match shape {
        Shape::Path(path) => guard(path),
        _ => None,
    };
    let safe = match &guard {
        Some(guard) => format!("{guard} ? {wrapped} : \"\""),
        None => wrapped.clone(),
    };
    let certain = match shape {
        // Missing only when a request ends without an answer; then the safe
        // form is asked.
        Shape::Path(path) => matches!(
            names(path).as_slice(),
            ["response", "code" | "code_details"]
                | [
                    "request",
                    "duration" | "path" | "url_path" | "host" | "method" | "scheme" | "protocol"
                ]
        ),
        _ => false,
    };
    Some(Evaluation {
        cel: if certain { wrapped } else { safe.clone() },
        safe,
        result,
    })
}

/// CEL that turns an expression of some type into what its use needs.
fn wrap(
    value: &Value<'_>,
    text: &str,
    kind: ValueType,
    typed: Option<AttributeType>,
    used: Use,
) -> Option<(String, ResultType)> {
    let raw = || format!("({text})");
    Some(match (used, kind) {
        (Use::Show, ValueType::Text) => (raw(), ResultType::Text),
        (Use::Show | Use::Number, ValueType::Int) => (raw(), ResultType::Int),
        (Use::Show, ValueType::Bool) if typed == Some(AttributeType::Bool) => {
            (raw(), ResultType::Bool)
        }
        (Use::Show, ValueType::Bool) => {
            (format!("({text} ? \"true\" : \"false\")"), ResultType::Text)
        }
        (Use::Show, _) => (format!("string({text})"), ResultType::Text),
        (Use::Number, ValueType::Duration) => (raw(), ResultType::Nanoseconds),
        (Use::Number, ValueType::Bool) => (format!("({text} ? 1 : 0)"), ResultType::Int),
        (Use::Number, _) => (format!("int({text})"), ResultType::Int),
        (Use::Condition, ValueType::Bool | ValueType::Unknown) => {
            (format!("({text} ? 1 : 0)"), ResultType::Int)
        }
        (Use::Condition, _) => {
            return value.problem(
                "is not a condition: it must be true or false, as in 'response.code >= 500'",
            );
        }
    })
}

/// A condition under which every step of a path exists; `None` when nothing can
/// be asked (a variable of its own) or nothing need be.
fn guard(path: &[Segment]) -> Option<String> {
    let (root, steps) = path.split_first()?;
    let mut prefix = root.name.clone();
    let mut conditions = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let so_far = path.get(..index + 2).unwrap_or(path);
        let certain = so_far.len() == 2
            && cel::attribute(so_far).is_some_and(|(_, presence)| presence.certain_at_end());
        if step.indexed {
            let key = quoted(&step.name);
            if !certain {
                conditions.push(format!("{key} in {prefix}"));
            }
            prefix = format!("{prefix}[{key}]");
        } else {
            prefix = format!("{prefix}.{}", step.name);
            if !certain {
                conditions.push(format!("has({prefix})"));
            }
        }
    }
    (!conditions.is_empty()).then(|| conditions.join(" && "))
}

/// A CEL string literal.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshpack_sdk::config::{Node, read_node};

    fn read(text: &str, used: Use, at_start: bool) -> Result<Source, String> {
        let node = Node::Object(vec![("label".into(), Node::String(text.into()))]);
        read_node(&node, |root| {
            let mut fields = root.object()?;
            Expression::read(&fields.required("label")?, used, at_start)
        })
        .map(|expression| expression.source)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn engine(text: &str, used: Use) -> (String, String, ResultType) {
        match read(text, used, false) {
            Ok(Source::Engine(e)) => (e.cel, e.safe, e.result),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn results_have_a_known_form() {
        for (text, used, cel, result) in [
            (
                "response.flags",
                Use::Show,
                "(response.flags)",
                ResultType::Int,
            ),
            (
                "response.code / 100",
                Use::Show,
                "(response.code / 100)",
                ResultType::Int,
            ),
            (
                "connection.mtls",
                Use::Show,
                "(connection.mtls)",
                ResultType::Bool,
            ),
            (
                "1 < 2",
                Use::Show,
                "(1 < 2 ? \"true\" : \"false\")",
                ResultType::Text,
            ),
            ("f(1)", Use::Show, "string(f(1))", ResultType::Text),
            ("f(1)", Use::Number, "int(f(1))", ResultType::Int),
            ("f(1)", Use::Condition, "(f(1) ? 1 : 0)", ResultType::Int),
            (
                "request.total_size",
                Use::Number,
                "(request.total_size)",
                ResultType::Int,
            ),
            (
                "request.duration",
                Use::Number,
                "(request.duration)",
                ResultType::Nanoseconds,
            ),
        ] {
            let (found, _, kind) = engine(text, used);
            assert_eq!((found.as_str(), kind), (cel, result), "{text}");
        }
    }

    #[test]
    fn what_may_be_missing_is_asked_for_first() {
        for (text, safe) in [
            (
                "request.headers[\"x-a\"]",
                "\"x-a\" in request.headers ? (request.headers[\"x-a\"]) : \"\"",
            ),
            (
                "metadata.filter_metadata['a'].b",
                "has(metadata.filter_metadata) && \"a\" in metadata.filter_metadata && has(metadata.filter_metadata[\"a\"].b) ? string(metadata.filter_metadata['a'].b) : \"\"",
            ),
            (
                "response.code",
                "has(response.code) ? (response.code) : \"\"",
            ),
            ("response.flags", "(response.flags)"),
        ] {
            assert_eq!(engine(text, Use::Show).1, safe, "{text}");
        }
        assert_eq!(engine("response.code", Use::Show).0, "(response.code)");
    }

    #[test]
    fn constants_and_path_templates_ask_nothing() {
        assert_eq!(
            read("'eu'", Use::Show, false),
            Ok(Source::Constant("eu".into()))
        );
        assert_eq!(
            read("path_template", Use::Show, true),
            Ok(Source::Operation)
        );
    }

    #[test]
    fn mistakes_are_refused_with_their_place() {
        for (text, used, at_start, expected) in [
            (
                "request.",
                Use::Show,
                false,
                "label: is not a valid CEL expression, column 9: expected a field name, found the end",
            ),
            (
                "request.heders['a']",
                Use::Show,
                false,
                "label: Envoy has no attribute request.heders: see the attributes page of Envoy's documentation",
            ),
            (
                "request.headers",
                Use::Show,
                false,
                "label: request.headers is a map: name one of its entries",
            ),
            (
                "path_template + 'a'",
                Use::Show,
                false,
                "label: path_template can not be part of a larger expression: use it alone, as a label of its own",
            ),
            (
                "response.code",
                Use::Condition,
                false,
                "label: is not a condition: it must be true or false, as in 'response.code >= 500'",
            ),
            (
                "response.code",
                Use::Show,
                true,
                "label: response.code is known only at the end of a request, but a gauge goes up at its start: use attributes of the request, the connection or the route",
            ),
            ("", Use::Show, false, "label: must not be empty"),
            (
                "'a'",
                Use::Number,
                false,
                "label: is always the text \"a\", which is no number: write a number or name an attribute",
            ),
            (
                "[1]",
                Use::Show,
                false,
                "label: is never a text or a number, whatever the request: name an attribute",
            ),
            (
                "null",
                Use::Number,
                false,
                "label: is never a text or a number, whatever the request: name an attribute",
            ),
            (
                "1 > 2",
                Use::Condition,
                false,
                "label: never holds, whatever the request: name an attribute",
            ),
        ] {
            assert_eq!(
                read(text, used, at_start),
                Err(expected.to_owned()),
                "{text}"
            );
        }
    }
}
