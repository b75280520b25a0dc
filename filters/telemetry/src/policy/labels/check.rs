//! Which names can stand in a stat name and come out of it again.
//!
//! Envoy searches a stat name for every extractor, so `code` would also find the
//! end of `response_code` and cut a piece out of it. Extractors are global to a
//! proxy, hence the check against everything else that may be there.

use std::fmt;

use super::standard::{GOLDEN_LABELS, PACK_LABELS};
use crate::record::GOLDEN;

/// Why a label name is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelProblem {
    /// Not `[a-zA-Z_][a-zA-Z0-9_]*`.
    Form,
    /// Prometheus reserves names that begin with two underscores.
    Reserved,
    /// Prometheus or Envoy adds a label of this name by itself.
    Taken,
    /// The tail of another label.
    TailOf(String),
    /// Another label is the tail of it.
    HasTail(String),
}

impl fmt::Display for LabelProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str(
                "is not a label name: use letters, digits and _, not beginning with a digit",
            ),
            Self::Reserved => f.write_str("begins with __, which Prometheus keeps for itself"),
            Self::Taken => f.write_str("is a label that Prometheus adds itself: choose another"),
            Self::TailOf(other) => write!(
                f,
                "is the tail of label {other}, whose value Envoy would then extract twice: choose a name that no other label ends with"
            ),
            Self::HasTail(other) => write!(
                f,
                "ends with label {other}, which Envoy would then cut out of it: choose a name that does not end with another label"
            ),
        }
    }
}

/// Checks a label against Istio's standard labels, the pack's and `others`, the
/// further labels of the same configuration. A label equal to another is that
/// label, so it is fine.
///
/// # Errors
/// The first rule that is broken.
pub fn check_label<'a>(
    name: &str,
    others: impl IntoIterator<Item = &'a str>,
) -> Result<(), LabelProblem> {
    let mut bytes = name.bytes();
    let starts = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let goes_on = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if !bytes.next().is_some_and(starts) || !bytes.all(goes_on) {
        return Err(LabelProblem::Form);
    }
    if name.starts_with("__") {
        return Err(LabelProblem::Reserved);
    }
    if matches!(name, "le" | "quantile" | "job" | "instance") {
        return Err(LabelProblem::Taken);
    }
    let standard = GOLDEN_LABELS.iter().map(|label| label.name());
    for other in standard.chain(PACK_LABELS.iter().copied()).chain(others) {
        if other == name {
            continue;
        }
        if other.ends_with(name) {
            return Err(LabelProblem::TailOf(other.to_owned()));
        }
        if name.ends_with(other) {
            return Err(LabelProblem::HasTail(other.to_owned()));
        }
    }
    Ok(())
}

/// Why a metric name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricNameProblem {
    /// Not `[a-zA-Z_][a-zA-Z0-9_]*`.
    Form,
    /// Envoy reads an end like `_rq_200` or `_rq_2xx` as a response code.
    ResponseCodeTail,
    /// A golden metric or one of the pack's own.
    Taken,
}

impl fmt::Display for MetricNameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => {
                "is not a metric name: use letters, digits and _, not beginning with a digit"
            }
            Self::ResponseCodeTail => {
                "ends as Envoy's response code counters do (_rq_200, _rq_2xx), which Envoy would take apart: choose another end"
            }
            Self::Taken => "is a metric of the pack itself: choose another name",
        })
    }
}

/// Checks the name of a custom metric.
///
/// # Errors
/// The first rule that is broken.
pub fn check_metric_name(name: &str) -> Result<(), MetricNameProblem> {
    let mut bytes = name.bytes();
    let starts = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let goes_on = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if !bytes.next().is_some_and(starts) || !bytes.all(goes_on) {
        return Err(MetricNameProblem::Form);
    }
    if let Some((_, code)) = name.rsplit_once("_rq_")
        && let [class, tail @ ..] = code.as_bytes()
        && tail.len() == 2
        && class.is_ascii_digit()
        && (tail == b"xx" || tail.iter().all(u8::is_ascii_digit))
    {
        return Err(MetricNameProblem::ResponseCodeTail);
    }
    if GOLDEN.iter().any(|metric| metric.name == name) || name.starts_with("meshpack_") {
        return Err(MetricNameProblem::Taken);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_shares_its_tail_with_another_is_refused() {
        let tail = |other: &str| Err(LabelProblem::TailOf(other.into()));
        let has = |other: &str| Err(LabelProblem::HasTail(other.into()));
        for (name, others, expected) in [
            ("tenant", &[][..], Ok(())),
            ("http_code", &[], Ok(())),
            ("code", &[], tail("response_code")),
            ("status", &[], tail("grpc_response_status")),
            ("version", &[], tail("source_version")),
            ("my_split", &[], has("split")),
            ("alarm", &[], has("arm")),
            ("tenant", &["sub_tenant"], tail("sub_tenant")),
            ("sub_tenant", &["tenant"], has("tenant")),
            ("response_code", &[], Ok(())),
            ("tenant", &["tenant"], Ok(())),
        ] {
            assert_eq!(
                check_label(name, others.iter().copied()),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn names_prometheus_can_not_take_are_refused() {
        for name in ["", "1a", "a-b", "a.b", "é", "a b"] {
            assert_eq!(check_label(name, []), Err(LabelProblem::Form), "{name}");
            assert_eq!(
                check_metric_name(name),
                Err(MetricNameProblem::Form),
                "{name}"
            );
        }
        assert_eq!(check_label("__name__", []), Err(LabelProblem::Reserved));
        assert_eq!(check_label("le", []), Err(LabelProblem::Taken));
    }

    #[test]
    fn metric_names_that_envoy_takes_apart_or_that_are_taken_are_refused() {
        for (name, expected) in [
            ("checkout_rq_200", Err(MetricNameProblem::ResponseCodeTail)),
            ("checkout_rq_5xx", Err(MetricNameProblem::ResponseCodeTail)),
            ("checkout_rq_total", Ok(())),
            ("checkout_requests_total", Ok(())),
            ("meshpack_requests_total", Err(MetricNameProblem::Taken)),
            ("meshpack_canary_weight", Err(MetricNameProblem::Taken)),
        ] {
            assert_eq!(check_metric_name(name), expected, "{name}");
        }
    }
}
