//! What a step expects of its requests.

use meshpack_sdk::config::{Fields, Node, Value};
use meshpack_sdk::matching::TextMatch;

use super::bounds::{Bounds, Share};

/// Everything that a step expects; what is not said is not looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Expect {
    /// Every answer has one of these.
    pub(crate) status: Vec<Status>,
    /// So many answers have each of these, and none another.
    pub(crate) statuses: Vec<(Status, Share)>,
    /// Envoy's response code details of every answer.
    pub(crate) details: Option<Text>,
    pub(crate) headers: Vec<(String, Text)>,
    pub(crate) absent_headers: Vec<String>,
    pub(crate) body: Option<Body>,
    /// Every answer came from this upstream; empty: from none.
    pub(crate) upstream: Option<String>,
    pub(crate) upstream_headers: Vec<(String, Text)>,
    pub(crate) absent_upstream_headers: Vec<String>,
    pub(crate) shares: Vec<(String, Share)>,
    pub(crate) shares_by: Option<String>,
    /// Every user met one upstream only.
    pub(crate) sticky: bool,
    /// Attempts of each request.
    pub(crate) attempts: Option<Bounds>,
    /// Attempts of all requests together, per request.
    pub(crate) amplification: Option<Bounds>,
    /// Seconds that each answer took.
    pub(crate) latency: Option<Bounds>,
    pub(crate) metrics: Vec<Metric>,
    /// Texts in Envoy's log.
    pub(crate) log: Vec<String>,
}

/// A status, a class of them, or no complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Code(u16),
    Class(u16),
    NoAnswer,
}

/// A text in one of Istio's four forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) written: String,
    pub(crate) matcher: TextMatch,
}

/// What a response body must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Equals(String),
    Contains(String),
}

/// What a metric must show after the step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Metric {
    pub(crate) series: Series,
    /// Growth during the step rather than the value after it.
    pub(crate) increase: bool,
    pub(crate) bounds: Bounds,
}

/// Which series; of several that fit the sum counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Series {
    /// Envoy's full stat name.
    Stat(String),
    /// A Prometheus name, with at least these labels.
    Labelled {
        name: String,
        labels: Vec<(String, String)>,
    },
}

impl Expect {
    /// Reads the expectations of a step behind which `upstreams` stand.
    pub(crate) fn read(value: &Value<'_>, upstreams: &[String]) -> Option<Self> {
        let mut fields = value.object()?;
        let clean = value.problem_count();
        let mut expect = Self::default();
        if let Some(value) = fields.get("status") {
            expect.read_status(&value);
        }
        let texts = |v: Option<Value<'_>>| v.and_then(|v| texts(&v)).unwrap_or_default();
        let names = |v: Option<Value<'_>>| {
            v.and_then(|v| v.list_of(|v| v.non_empty_string().map(str::to_owned)))
                .unwrap_or_default()
        };
        expect.details = fields.get("details").and_then(|v| Text::read(&v));
        expect.headers = texts(fields.get("headers"));
        expect.absent_headers = names(fields.get("absentHeaders"));
        expect.body = fields.get("body").and_then(|v| Body::read(&v));
        expect.upstream = fields.get("upstream").and_then(|v| match v.string()? {
            "" => Some(String::new()),
            name => super::upstream_name(&v, name, upstreams),
        });
        expect.upstream_headers = texts(fields.get("upstreamHeaders"));
        expect.absent_upstream_headers = names(fields.get("absentUpstreamHeaders"));
        expect.read_shares(&mut fields, upstreams);
        expect.sticky = fields.get("sticky").and_then(|v| v.boolean()) == Some(true);
        expect.attempts = fields
            .get("attempts")
            .and_then(|v| Bounds::read(&v, 0.0..=1000.0));
        expect.amplification = fields
            .get("amplification")
            .and_then(|v| Bounds::read(&v, 0.0..=1000.0));
        expect.latency = fields.get("latency").and_then(|v| Bounds::read_seconds(&v));
        expect.metrics = fields
            .get("metrics")
            .and_then(|v| v.non_empty_list_of(Metric::read))
            .unwrap_or_default();
        expect.log = names(fields.get("log"));
        // The reader of unknown keys reports when it drops.
        drop(fields);
        (value.problem_count() == clean).then_some(expect)
    }

    fn read_status(&mut self, value: &Value<'_>) -> Option<()> {
        match value.node() {
            Node::Object(_) => {
                for (word, share) in value.entries()? {
                    let status = Status::parse(word).or_else(|| bad_status(&share, word));
                    if let (Some(status), Some(share)) = (status, Share::read(&share)) {
                        self.statuses.push((status, share));
                    }
                }
                sum_is_100(value, self.statuses.iter().map(|(_, share)| share))
            }
            Node::List(_) => {
                self.status = value.non_empty_list_of(Status::read)?;
                Some(())
            }
            _ => {
                self.status = vec![Status::read(value)?];
                Some(())
            }
        }
    }

    fn read_shares(&mut self, fields: &mut Fields<'_>, upstreams: &[String]) -> Option<()> {
        let by = fields.get("sharesBy");
        let Some(value) = fields.get("shares") else {
            return by.map_or(Some(()), |by| by.problem("means nothing without shares"));
        };
        if let Some(by) = by {
            self.shares_by = Some(by.non_empty_string()?.to_owned());
        }
        for (name, entry) in value.entries()? {
            if self.shares_by.is_none() {
                super::upstream_name(&entry, name, upstreams)?;
            }
            if let Some(share) = Share::read(&entry) {
                self.shares.push((name.to_owned(), share));
            }
        }
        sum_is_100(&value, self.shares.iter().map(|(_, share)| share))
    }

    /// Whether anything is looked for that only requests can show.
    pub(crate) fn needs_requests(&self) -> bool {
        *self
            != Self {
                metrics: self.metrics.clone(),
                log: self.log.clone(),
                ..Self::default()
            }
    }
}

impl Status {
    fn read(value: &Value<'_>) -> Option<Self> {
        let word = super::scalar(value)?;
        Self::parse(&word).or_else(|| bad_status(value, &word))
    }

    fn parse(word: &str) -> Option<Self> {
        if word == "none" {
            return Some(Self::NoAnswer);
        }
        if let Some(class) = word.strip_suffix("xx") {
            let class = class.parse().ok()?;
            return (1..=5).contains(&class).then_some(Self::Class(class));
        }
        let code = word.parse().ok()?;
        (100..=599).contains(&code).then_some(Self::Code(code))
    }

    /// Whether an answer (or none) with this status fits.
    pub(crate) fn fits(self, status: Option<u16>) -> bool {
        match (self, status) {
            (Self::Code(code), Some(status)) => code == status,
            (Self::Class(class), Some(status)) => status / 100 == class,
            (Self::NoAnswer, None) => true,
            _ => false,
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{code}"),
            Self::Class(class) => write!(f, "{class}xx"),
            Self::NoAnswer => f.write_str("no answer"),
        }
    }
}

fn bad_status<T>(value: &Value<'_>, word: &str) -> Option<T> {
    value.problem(format!(
        "{word:?} is not a status: use a code such as 200, a class such as \"5xx\", or \"none\" for no answer"
    ))
}

/// Percentages that are all given must be the whole.
fn sum_is_100<'a>(value: &Value<'_>, shares: impl Iterator<Item = &'a Share>) -> Option<()> {
    let mut sum = 0.0;
    for share in shares {
        match share.percent() {
            Some(percent) => sum += percent,
            None => return Some(()),
        }
    }
    if (sum - 100.0_f64).abs() < 1e-6 {
        Some(())
    } else {
        value.problem(format!(
            "adds up to {} %, not 100 %: give the share of everything that may occur",
            super::bounds::number(sum)
        ))
    }
}

impl Text {
    fn read(value: &Value<'_>) -> Option<Self> {
        let written = super::scalar(value)?;
        let matcher = TextMatch::parse(&written);
        Some(Self { written, matcher })
    }
}

fn texts(value: &Value<'_>) -> Option<Vec<(String, Text)>> {
    let entries = value.entries()?;
    entries
        .iter()
        .map(|(name, value)| Some(((*name).to_owned(), Text::read(value)?)))
        .collect()
}

impl Body {
    fn read(value: &Value<'_>) -> Option<Self> {
        if let Node::String(text) = value.node() {
            return Some(Self::Equals(text.clone()));
        }
        let mut fields = value.object()?;
        fields
            .required("contains")?
            .non_empty_string()
            .map(|text| Self::Contains(text.to_owned()))
    }
}

impl Metric {
    fn read(value: &Value<'_>) -> Option<Self> {
        let mut fields = value.object()?;
        let stat = fields.get("stat");
        let name = fields.get("name");
        let labels = fields.get("labels");
        let after = fields.get("value");
        let increase = fields.get("increase");
        let series = match (stat, name) {
            (Some(stat), None) if labels.is_none() => {
                Series::Stat(stat.non_empty_string()?.to_owned())
            }
            (None, Some(name)) => Series::Labelled {
                name: name.non_empty_string()?.to_owned(),
                labels: labels.map_or(Some(Vec::new()), |labels| {
                    let entries = labels.entries()?;
                    entries
                        .iter()
                        .map(|(key, v)| Some(((*key).to_owned(), super::scalar(v)?)))
                        .collect()
                })?,
            },
            _ => {
                return value.problem(
                    "must say which metric: give stat (Envoy's full name), or name and perhaps labels (as Prometheus has them)",
                );
            }
        };
        let (increase, bounds) = match (after, increase) {
            (Some(value), None) => (false, value),
            (None, Some(value)) => (true, value),
            _ => {
                return value
                    .problem("must say what it should be: give value (after the step) or increase (during it)");
            }
        };
        Some(Self {
            series,
            increase,
            bounds: Bounds::read(&bounds, f64::MIN..=f64::MAX)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshpack_sdk::config::parse;

    fn read(json: &str) -> Result<Expect, String> {
        let upstreams = ["v1".to_owned(), "v2".to_owned()];
        parse(json.as_bytes(), |v| Expect::read(&v, &upstreams)).map_err(|p| p[0].to_string())
    }

    #[test]
    fn statuses_are_codes_classes_or_none() {
        let expect = read(r#"{"status": [200, "5xx", "none"]}"#).unwrap();
        let fits = |status| expect.status.iter().any(|s| s.fits(status));
        assert!(fits(Some(200)) && fits(Some(503)) && fits(None));
        assert!(!fits(Some(404)));
        assert!(
            read(r#"{"status": 99}"#)
                .unwrap_err()
                .contains("\"99\" is not a status")
        );
    }

    #[test]
    fn shares_must_be_the_whole() {
        assert!(read(r#"{"shares": {"v1": 95, "v2": 5}}"#).is_ok());
        assert!(read(r#"{"shares": {"v2": {"atMost": 6}}}"#).is_ok());
        let problem = read(r#"{"shares": {"v1": 95, "v2": 4}}"#).unwrap_err();
        assert!(problem.contains("adds up to 99 %"), "{problem}");
        assert!(
            read(r#"{"sharesBy": "x"}"#)
                .unwrap_err()
                .contains("without shares")
        );
    }

    #[test]
    fn upstreams_must_exist() {
        let problem = read(r#"{"upstream": "v3"}"#).unwrap_err();
        assert_eq!(
            problem,
            "upstream: there is no upstream \"v3\"; there are v1, v2"
        );
        assert!(
            read(r#"{"shares": {"v3": 100}}"#)
                .unwrap_err()
                .contains("no upstream")
        );
        assert!(read(r#"{"sharesBy": "x-arm", "shares": {"v3": 100}}"#).is_ok());
    }

    #[test]
    fn a_metric_is_named_one_way_and_bounded_one_way() {
        assert!(read(r#"{"metrics": [{"name": "m", "labels": {"a": 1}, "increase": 3}]}"#).is_ok());
        let unnamed = read(r#"{"metrics": [{"value": 1}]}"#).unwrap_err();
        assert!(unnamed.contains("which metric"), "{unnamed}");
        let unbounded = read(r#"{"metrics": [{"stat": "m"}]}"#).unwrap_err();
        assert!(unbounded.contains("what it should be"), "{unbounded}");
    }

    #[test]
    fn unknown_keys_are_errors() {
        let problem = read(r#"{"state": 200}"#).unwrap_err();
        assert!(
            problem.starts_with("state: unknown key; known keys here: status,"),
            "{problem}"
        );
    }

    #[test]
    fn metrics_and_logs_can_be_looked_at_without_requests() {
        assert!(!read(r#"{"log": ["ready"]}"#).unwrap().needs_requests());
        assert!(read(r#"{"attempts": 1}"#).unwrap().needs_requests());
    }
}
