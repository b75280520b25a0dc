//! Numbers that an expectation allows.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use meshpack_sdk::config::{Node, Value};

/// What a number must be: exactly something, or between two limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) at_least: Option<f64>,
    pub(crate) at_most: Option<f64>,
}

impl Bounds {
    /// Exactly `number`.
    pub(crate) fn exactly(number: f64) -> Self {
        Self {
            at_least: Some(number),
            at_most: Some(number),
        }
    }

    /// Reads a number, or `{atLeast, atMost}` of which one may be missing.
    pub(crate) fn read(value: &Value<'_>, range: RangeInclusive<f64>) -> Option<Self> {
        if !matches!(value.node(), Node::Object(_)) {
            return value.number(range).map(Self::exactly);
        }
        Self::read_limits(value, |limit| limit.number(range.clone()))
    }

    /// Reads `{atLeast, atMost}` of durations, as seconds.
    pub(crate) fn read_seconds(value: &Value<'_>) -> Option<Self> {
        Self::read_limits(value, |limit| {
            limit.duration(Duration::ZERO).map(|d| d.as_secs_f64())
        })
    }

    fn read_limits(value: &Value<'_>, read: impl Fn(Value<'_>) -> Option<f64>) -> Option<Self> {
        let mut fields = value.object()?;
        let (low, high) = (fields.get("atLeast"), fields.get("atMost"));
        if low.is_none() && high.is_none() {
            return value.problem("says nothing: give atLeast, atMost or both");
        }
        let bounds = Self {
            at_least: low.map(&read).map_or(Some(None), |l| l.map(Some))?,
            at_most: high.map(&read).map_or(Some(None), |h| h.map(Some))?,
        };
        match (bounds.at_least, bounds.at_most) {
            (Some(low), Some(high)) if low > high => {
                value.problem("allows nothing: atLeast is larger than atMost")
            }
            _ => Some(bounds),
        }
    }

    /// Whether `number` is allowed.
    pub(crate) fn hold(&self, number: f64) -> bool {
        self.at_least.is_none_or(|low| number >= low)
            && self.at_most.is_none_or(|high| number <= high)
    }

    /// The bounds as words, each number written by `unit`.
    pub(crate) fn words(&self, unit: impl Fn(f64) -> String) -> String {
        match (self.at_least, self.at_most) {
            (Some(low), Some(high)) if low == high => format!("exactly {}", unit(low)),
            (Some(low), Some(high)) => format!("from {} to {}", unit(low), unit(high)),
            (Some(low), None) => format!("at least {}", unit(low)),
            (None, Some(high)) => format!("at most {}", unit(high)),
            (None, None) => "anything".to_owned(),
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(number))
    }
}

/// A number without a needless fraction: `3`, `1.25`.
pub(crate) fn number(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Seconds in the unit a reader would choose: `250 ms`, `2.5 s`.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{} ms", number((seconds * 1000.0).round()))
    } else {
        format!("{} s", number((seconds * 100.0).round() / 100.0))
    }
}

/// The share of the requests that something should have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Share {
    /// This percentage, give or take so many percentage points; without a
    /// tolerance whatever chance explains.
    About {
        percent: f64,
        tolerance: Option<f64>,
    },
    /// A percentage within limits.
    Within(Bounds),
}

impl Share {
    /// Reads a percentage, `{percent, tolerance}` or `{atLeast, atMost}`.
    pub(crate) fn read(value: &Value<'_>) -> Option<Self> {
        let Node::Object(entries) = value.node() else {
            let percent = value.number(0.0..=100.0)?;
            return Some(Self::About {
                percent,
                tolerance: None,
            });
        };
        let limits = |(key, _): &(String, Node)| key == "atLeast" || key == "atMost";
        if entries.iter().any(limits) {
            return Bounds::read(value, 0.0..=100.0).map(Self::Within);
        }
        let mut fields = value.object()?;
        let tolerance = match fields.get("tolerance") {
            Some(tolerance) => Some(tolerance.number(0.0..=100.0)?),
            None => None,
        };
        let percent = fields.required("percent")?.number(0.0..=100.0)?;
        Some(Self::About { percent, tolerance })
    }

    /// The percentage in the middle, if one is named.
    pub(crate) fn percent(&self) -> Option<f64> {
        match self {
            Self::About { percent, .. } => Some(*percent),
            Self::Within(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshpack_sdk::config::parse;

    fn bounds(json: &str) -> Result<Bounds, String> {
        parse(json.as_bytes(), |v| Bounds::read(&v, 0.0..=10.0)).map_err(|p| p[0].to_string())
    }

    #[test]
    fn a_number_is_exact_and_an_object_has_limits() {
        assert_eq!(bounds("3").unwrap().to_string(), "exactly 3");
        assert_eq!(
            bounds(r#"{"atMost": 1.25}"#).unwrap().to_string(),
            "at most 1.25"
        );
        let both = bounds(r#"{"atLeast": 1, "atMost": 2}"#).unwrap();
        assert!(both.hold(1.0) && both.hold(2.0) && !both.hold(2.1));
    }

    #[test]
    fn bounds_that_say_or_allow_nothing_are_refused() {
        assert!(bounds("{}").unwrap_err().contains("says nothing"));
        let crossed = bounds(r#"{"atLeast": 2, "atMost": 1}"#).unwrap_err();
        assert!(crossed.contains("allows nothing"), "{crossed}");
        assert!(bounds("11").unwrap_err().contains("out of range"));
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(number(3.0), "3");
        assert_eq!(number(1.2345), "1.234");
        assert_eq!(seconds(0.25), "250 ms");
        assert_eq!(seconds(2.5), "2.5 s");
    }
}
