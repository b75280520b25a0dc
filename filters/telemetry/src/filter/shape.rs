//! How many values a label can have, and which.

use std::rc::Rc;

use crate::config::{Config, Expression, Source};
use crate::policy::engine::ResultType;
use crate::policy::labels::GoldenLabel;
use crate::policy::series::{LabelShape, LastResort, ValueList};

/// Closed, but nobody counted.
const FEW: usize = usize::MAX;

fn listed(name: &str, config: &Config) -> Option<ValueList> {
    let mut lists = config.label_values.iter();
    let (_, list) = lists.find(|(label, _)| label == name)?;
    Some(Rc::clone(list))
}

/// Whether a client may choose the value of a label that an expression gives.
pub(super) fn is_open(name: &str, expression: &Expression, config: &Config) -> bool {
    !expression.closed && listed(name, config).is_none()
}

/// A label that an expression gives.
pub(super) fn label_shape(name: &str, expression: &Expression, config: &Config) -> LabelShape {
    let listed = listed(name, config);
    let closed = match (&listed, &expression.source) {
        // And `other`, and `unknown`.
        (Some(list), _) => Some(list.len() + 2),
        (None, Source::Constant(_)) => Some(1),
        (None, Source::Operation) => Some(config.operations.len() + 1),
        (None, Source::Engine(engine)) if expression.closed => match engine.result {
            ResultType::Bool => Some(3),
            _ => Some(FEW),
        },
        (None, Source::Engine(_)) => None,
    };
    let is_code = expression.text.trim() == "response.code";
    LabelShape {
        name: name.to_owned(),
        closed,
        last: if is_code && listed.is_none() {
            LastResort::CodeClass
        } else {
            LastResort::Other
        },
        listed,
    }
}

/// A standard label of a golden metric.
pub(super) fn standard_shape(label: GoldenLabel, config: &Config) -> LabelShape {
    use GoldenLabel as L;
    let listed = listed(label.name(), config);
    let (closed, last) = match label {
        L::Reporter => (Some(3), LastResort::Value),
        L::RequestProtocol => (Some(2), LastResort::Other),
        L::ConnectionSecurityPolicy => (Some(3), LastResort::Other),
        L::ResponseCode => (Some(FEW), LastResort::CodeClass),
        L::GrpcResponseStatus | L::ResponseFlags => (Some(FEW), LastResort::Other),
        _ => (None, LastResort::Other),
    };
    LabelShape {
        name: label.name().to_owned(),
        closed: listed.as_ref().map_or(closed, |list| Some(list.len() + 2)),
        last,
        listed,
    }
}
