//! What telemetry would record, as far as it is known without Envoy.

use std::fmt;

use meshpack_authz_policy::policy::request::Attribute;
use meshpack_sdk::metrics::label::push_value;
use meshpack_telemetry::config::{
    Config, Expression, GOLDEN_METRICS, GoldenMetric, GoldenSource, Metric, MetricKind, Source,
};
use meshpack_telemetry::policy::cel::{self, Path, Segment, Shape};
use meshpack_telemetry::policy::golden::is_grpc;
use meshpack_telemetry::policy::labels::GoldenLabel;
use meshpack_telemetry::policy::sample::{Share, spread};
use meshpack_telemetry::policy::series::UNKNOWN;
use meshpack_telemetry::policy::trace::{self, Missing, TraceContext};
use serde_json::{Map, Value, json};

use super::request::Request;

/// So many labels are counted in the report for people, fewer are named.
const MANY: usize = 8;
/// Index of the first golden metric that only gRPC requests have.
const FIRST_OF_GRPC: usize = 4;

/// What is recorded of a request.
pub(super) struct Observation {
    path_template: Option<String>,
    metrics: Vec<Recorded>,
    /// Whether it is logged, in words.
    logged: Option<String>,
    /// What becomes of its trace context, in words.
    trace: Option<String>,
}

/// Metrics with the same labels.
struct Recorded {
    names: Vec<String>,
    kind: &'static str,
    /// What Envoy decides on.
    when: Option<String>,
    labels: Vec<(String, Label)>,
}

/// The value of a label.
enum Label {
    Known(String),
    /// And who knows it, in words.
    Unknown(String),
}

/// A request, and how it ended if that is known.
struct Facts<'a> {
    config: &'a Config,
    request: &'a Request,
    /// Status of the denial.
    denied: Option<u16>,
    trace: Option<TraceContext>,
}

impl Observation {
    pub(super) fn new(config: &Config, request: &Request, denied: Option<u16>) -> Self {
        let mut facts = Facts {
            config,
            request,
            denied,
            trace: None,
        };
        let trace = config
            .trace
            .map(|trace| facts.judge(trace.generate_when_missing));
        let mut metrics: Vec<Recorded> = Vec::new();
        let grpc = facts.is_grpc();
        let golden = config.golden.iter();
        for metric in golden.filter(|metric| grpc || metric.which < FIRST_OF_GRPC) {
            let recorded = facts.golden(metric);
            let same = metrics
                .iter_mut()
                .find(|known| known.has_labels_of(&recorded));
            match same {
                Some(known) => known.names.extend(recorded.names),
                None => metrics.push(recorded),
            }
        }
        metrics.extend(config.metrics.iter().map(|metric| facts.custom(metric)));
        let operation = (!config.operations.is_empty()).then(|| facts.operation());
        Self {
            path_template: operation,
            metrics,
            logged: config
                .access_log
                .as_ref()
                .map(|log| facts.logged(log.share, log.always.as_ref())),
            trace,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let metrics: Vec<Value> = self.metrics.iter().map(Recorded::to_json).collect();
        json!({
            "pathTemplate": self.path_template,
            "metrics": metrics,
            "accessLog": self.logged,
            "trace": self.trace,
        })
    }
}

impl Recorded {
    fn has_labels_of(&self, other: &Self) -> bool {
        let shown = |(name, label): &(String, Label)| format!("{name}={label}");
        self.kind == other.kind
            && self
                .labels
                .iter()
                .map(shown)
                .eq(other.labels.iter().map(shown))
    }

    fn to_json(&self) -> Value {
        let (mut known, mut unknown) = (Map::new(), Map::new());
        for (name, label) in &self.labels {
            match label {
                Label::Known(value) => known.insert(name.clone(), json!(value)),
                Label::Unknown(why) => unknown.insert(name.clone(), json!(why)),
            };
        }
        json!({
            "names": self.names,
            "type": self.kind,
            "when": self.when,
            "labels": known,
            "toldLater": unknown,
        })
    }
}

impl Facts<'_> {
    fn golden(&self, metric: &GoldenMetric) -> Recorded {
        let labels = metric.labels.iter().map(|label| {
            let value = match &label.source {
                GoldenSource::Standard(standard) => self.standard(*standard),
                GoldenSource::Expression(expression) => self.value(expression),
            };
            (label.name.clone(), value)
        });
        let name = GOLDEN_METRICS
            .get(metric.which)
            .copied()
            .unwrap_or_default();
        Recorded {
            names: vec![name.to_owned()],
            kind: "golden",
            when: None,
            labels: labels.collect(),
        }
    }

    fn custom(&self, metric: &Metric) -> Recorded {
        let labels = metric.labels.iter();
        Recorded {
            names: vec![metric.name.clone()],
            kind: match metric.kind {
                MetricKind::Counter => "counter",
                MetricKind::Histogram => "histogram",
                MetricKind::Gauge => "gauge",
            },
            when: metric.when.as_ref().map(|when| when.text.clone()),
            labels: labels
                .map(|label| (label.name.clone(), self.value(&label.source)))
                .collect(),
        }
    }

    /// A value as it stands in the stat name.
    fn known(&self, value: &str) -> Label {
        let mut clean = String::new();
        push_value(
            &mut clean,
            value.as_bytes(),
            self.config.cardinality.max_value_length,
        );
        Label::Known(clean)
    }

    fn standard(&self, label: GoldenLabel) -> Label {
        let unknown = |who: &str| Label::Unknown(who.to_owned());
        match label {
            GoldenLabel::RequestProtocol => {
                self.known(if self.is_grpc() { "grpc" } else { "http" })
            }
            GoldenLabel::ResponseCode => match self.denied {
                Some(status) => self.known(&status.to_string()),
                None => unknown("the answer"),
            },
            GoldenLabel::GrpcResponseStatus | GoldenLabel::ResponseFlags => unknown("the answer"),
            _ => unknown("the proxy and its peers"),
        }
    }

    fn value(&self, expression: &Expression) -> Label {
        match &expression.source {
            Source::Constant(text) => self.known(text),
            Source::Operation => self.known(&self.operation()),
            Source::Engine(_) => match cel::parse(&expression.text).map(|expr| cel::shape(&expr)) {
                Ok(Shape::Path(path)) => self.attribute(&path, &expression.text),
                _ => Label::Unknown(expression.text.clone()),
            },
        }
    }

    /// A plain attribute of the request, if the description tells it.
    fn attribute(&self, path: &Path, text: &str) -> Label {
        let names: Vec<&str> = path
            .iter()
            .map(|Segment { name, .. }| name.as_str())
            .collect();
        let header = |name: &str| {
            let values: Vec<&str> = self.request.header(name).collect();
            (!values.is_empty()).then(|| values.join(","))
        };
        let whole = header(":path").unwrap_or_default();
        let (url_path, query) = match whole.split_once('?') {
            Some((url_path, query)) => (url_path, Some(query)),
            None => (whole.as_str(), None),
        };
        let value = match names.as_slice() {
            ["request", "headers", name] => header(&name.to_ascii_lowercase()),
            ["request", "method"] => header(":method"),
            ["request", "host"] => header(":authority"),
            ["request", "path"] => Some(whole),
            ["request", "url_path"] => Some(url_path.to_owned()),
            ["request", "query"] => query.map(str::to_owned),
            ["request", "useragent"] => header("user-agent"),
            ["request", "referer"] => header("referer"),
            ["response", "code"] if self.denied.is_some() => {
                self.denied.map(|status| status.to_string())
            }
            ["connection", "requested_server_name"] => self.stated(Attribute::ServerName),
            ["connection", "uri_san_peer_certificate"] => self.stated(Attribute::UriSan),
            ["xds", "cluster_name"] if self.request.cluster.is_some() => {
                self.request.cluster.clone()
            }
            _ => return Label::Unknown(text.to_owned()),
        };
        let unknown = String::from_utf8_lossy(UNKNOWN);
        self.known(
            value
                .filter(|value| !value.is_empty())
                .as_deref()
                .unwrap_or(&unknown),
        )
    }

    fn stated(&self, attribute: Attribute) -> Option<String> {
        self.request.attribute(attribute).map(str::to_owned)
    }

    fn is_grpc(&self) -> bool {
        let content_type = self.request.header("content-type").next();
        content_type.is_some_and(|value| is_grpc(value.as_bytes()))
    }

    fn operation(&self) -> String {
        let path = self.request.header(":path").next().unwrap_or_default();
        self.config.operations.name(path.as_bytes()).to_owned()
    }

    /// What becomes of the trace context; it is remembered for the sampling.
    fn judge(&mut self, generate_when_missing: bool) -> String {
        let bytes = |name| self.request.header(name).map(str::as_bytes);
        let mut began = None;
        let judged = trace::judge(bytes("traceparent"), bytes("tracestate"), |missing| {
            began = Some(missing);
            None
        });
        let state = if judged.drop_tracestate {
            ", and tracestate is removed"
        } else {
            ""
        };
        let words = match (began, &judged.context, &judged.traceparent) {
            (Some(Missing::Absent), ..) if generate_when_missing => "a new trace begins".to_owned(),
            (Some(Missing::Absent), ..) => "there is none, and none is made".to_owned(),
            (Some(Missing::Invalid), ..) => {
                "traceparent is not valid: a new trace begins".to_owned()
            }
            (None, Some(context), None) => format!("{context} passes as it is"),
            (None, _, Some(written)) => format!("it goes on as {written}"),
            (None, None, None) => "there is none".to_owned(),
        };
        self.trace = judged.context;
        words + state
    }

    /// Whether the access log takes the request.
    fn logged(&self, share: Share, always: Option<&Expression>) -> String {
        let traceparent = self.request.header("traceparent").next();
        let parsed = traceparent.and_then(|value| trace::Traceparent::parse(value.as_bytes()));
        let trace = self.trace.or(parsed.map(|parsed| parsed.context));
        let by_share = if share == Share::percent(100.0) {
            "yes: every request is".to_owned()
        } else if share.is_none() {
            "no: its share is nothing".to_owned()
        } else if let Some(trace) = trace {
            match share.takes(spread(trace.trace_id())) {
                true => "yes: its trace is in the share".to_owned(),
                false => "no: its trace is not in the share".to_owned(),
            }
        } else {
            "by chance: the share goes by trace id or request id".to_owned()
        };
        match always {
            Some(always) if !by_share.starts_with("yes") => {
                format!("{by_share}; in any case if {}", always.text)
            }
            _ => by_share,
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(value) => f.write_str(value),
            Self::Unknown(why) => write!(f, "({why})"),
        }
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path_template {
            Some(template) => writeln!(f, "path template {template}")?,
            None => writeln!(f, "no path templates")?,
        }
        self.metrics.iter().try_for_each(|metric| metric.fmt(f))?;
        if let Some(logged) = &self.logged {
            writeln!(f, "  access log: {logged}")?;
        }
        if let Some(trace) = &self.trace {
            writeln!(f, "  trace context: {trace}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}", self.names.join(", "))?;
        if self.kind != "golden" {
            write!(f, " ({})", self.kind)?;
        }
        if let Some(when) = &self.when {
            write!(f, ", if {when}")?;
        }
        writeln!(f)?;
        let known = |(name, label): &(String, Label)| match label {
            Label::Known(value) => Some(format!("{name}={value:?}")),
            Label::Unknown(_) => None,
        };
        let known: Vec<String> = self.labels.iter().filter_map(known).collect();
        if !known.is_empty() {
            writeln!(f, "    {}", known.join(" "))?;
        }
        // Each source once, with all that wait for it.
        let mut later: Vec<(&str, Vec<&str>)> = Vec::new();
        for (name, label) in &self.labels {
            let Label::Unknown(why) = label else { continue };
            match later.iter_mut().find(|(known, _)| known == why) {
                Some((_, names)) => names.push(name),
                None => later.push((why, vec![name])),
            }
        }
        for (why, names) in later {
            match names.len() {
                MANY.. => writeln!(f, "    from {why}: {} labels", names.len())?,
                _ => writeln!(f, "    from {why}: {}", names.join(", "))?,
            }
        }
        Ok(())
    }
}
