//! Reads the configuration; every problem is reported with its path.

use std::rc::Rc;
use std::time::Duration;

use meshpack_sdk::config::{self, Problem, Value};
use meshpack_sdk::texts::Texts;

use super::expression::{Expression, Source, Use};
use super::{
    AccessLog, Cardinality, Config, GOLDEN_METRICS, GoldenMetric, GoldenSource, Label, Metric,
    MetricKind, Sink, Trace, overrides,
};
use crate::policy::labels::{
    GOLDEN_LABELS, LabelProblem, MESSAGE_LABELS, check_label, check_metric_name,
};
use crate::policy::path_template::Operations;
use crate::policy::sample::Share;
use crate::policy::series::ValueList;

/// Most labels of one metric: with the longest values a stat name stays a few
/// kilobytes long.
pub(super) const MAX_LABELS: usize = 40;

/// Most custom metrics: each is recorded for every request.
pub const MAX_METRICS: usize = 1000;

/// Most different label names of a configuration: Envoy searches every new stat
/// name for each of them.
pub const MAX_LABEL_NAMES: usize = 256;

/// Most listed values of a label.
const MAX_LISTED: usize = 1000;

/// Most path templates: they are tried one after the other.
pub const MAX_TEMPLATES: usize = 2000;

/// Parses a plugin configuration.
///
/// # Errors
/// Every problem found.
pub fn parse(bytes: &[u8]) -> Result<Config, Vec<Problem>> {
    config::parse(bytes, |value| read(&value))
}

/// Reads a configuration out of a larger document.
pub fn read(value: &Value<'_>) -> Option<Config> {
    let mut fields = value.object()?;
    let enabled = fields.get("golden").map_or(Some(true), |v| read_golden(&v));
    let overrides = fields.get("tagOverrides");
    let metrics_value = fields.get("metrics");
    let names = LabelNames::check(value, metrics_value.as_ref(), overrides.as_ref())?;
    let metrics = metrics_value.map_or(Some(Vec::new()), |v| read_metrics(&v, &names));
    let operations = fields
        .get("pathTemplates")
        .map_or(Some(Operations::default()), |v| read_operations(&v));
    let cardinality = fields.get("cardinality");
    let cardinality =
        cardinality.map_or_else(|| Some(Default::default()), |v| read_cardinality(&v));
    let access_log = fields
        .get("accessLog")
        .map_or(Some(None), |v| read_log(&v).map(Some));
    let trace = fields
        .get("trace")
        .map_or(Some(None), |v| read_trace(&v).map(Some));

    let (mut metrics, enabled) = (metrics?, enabled?);
    let mut golden = if enabled {
        golden_metrics()
    } else {
        Vec::new()
    };
    if let Some(overrides) = &overrides {
        overrides::apply(overrides, &mut golden, &mut metrics, &names)?;
    }
    let (cardinality, label_values) = cardinality?;
    let config = Config {
        place: value.path(),
        golden,
        metrics,
        operations: Rc::new(operations?),
        cardinality,
        label_values,
        access_log: access_log?,
        trace: trace?,
    };
    check_operations(value, &config)?;
    Some(config)
}

fn read_golden(value: &Value<'_>) -> Option<bool> {
    value
        .object()?
        .get("enabled")
        .map_or(Some(true), |v| v.boolean())
}

fn golden_metrics() -> Vec<GoldenMetric> {
    (0..GOLDEN_METRICS.len())
        .map(|which| {
            let count = if which < 4 {
                GOLDEN_LABELS.len()
            } else {
                MESSAGE_LABELS
            };
            let labels = GOLDEN_LABELS.iter().take(count).map(|label| Label {
                name: label.name().to_owned(),
                source: GoldenSource::Standard(*label),
            });
            GoldenMetric {
                which,
                labels: labels.collect(),
            }
        })
        .collect()
}

/// The label names of the document that cannot be, each with the reason.
pub(super) struct LabelNames<'a>(Vec<(&'a str, LabelProblem)>);

impl<'a> LabelNames<'a> {
    /// Checks each label name of the document against all others, once.
    fn check(
        value: &Value<'_>,
        metrics: Option<&Value<'a>>,
        overrides: Option<&Value<'a>>,
    ) -> Option<Self> {
        let mut seen = Texts::default();
        let mut names = all_label_names(metrics, overrides);
        names.retain(|name| seen.insert(name.as_bytes()).is_new);
        if names.len() > MAX_LABEL_NAMES {
            return value.problem(format!(
                "has {} different label names, at most {MAX_LABEL_NAMES} are possible: Envoy searches every stat name for each of them",
                names.len()
            ));
        }
        let check = |name: &&'a str| Some((*name, check_label(name, names.iter().copied()).err()?));
        Some(Self(names.iter().filter_map(check).collect()))
    }

    /// Notes a problem unless `name` can be a label beside all others.
    pub(super) fn allow(&self, value: &Value<'_>, name: &str) -> Option<()> {
        match self.0.iter().find(|(bad, _)| *bad == name) {
            None => Some(()),
            Some((_, problem)) => value.problem(format!("label {name:?} {problem}")),
        }
    }
}

/// Every label name of the document, as often as it stands there.
fn all_label_names<'a>(metrics: Option<&Value<'a>>, overrides: Option<&Value<'a>>) -> Vec<&'a str> {
    use config::Node;
    let field = |node: &'a Node, key: &str| match node {
        Node::Object(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, node)| node),
        _ => None,
    };
    let mut owners: Vec<&'a Node> = Vec::new();
    if let Some(Node::List(list)) = metrics.map(Value::node) {
        owners.extend(list);
    }
    if let Some(Node::Object(entries)) = overrides.map(Value::node) {
        owners.extend(entries.iter().map(|(_, node)| node));
    }
    let mut names = Vec::new();
    for owner in owners {
        if let Some(Node::Object(labels)) = field(owner, "labels") {
            names.extend(labels.iter().map(|(name, _)| name.as_str()));
        }
    }
    names
}

fn read_metrics(value: &Value<'_>, names: &LabelNames<'_>) -> Option<Vec<Metric>> {
    value.at_most(MAX_METRICS, "each is recorded for every request")?;
    for (item, name) in value.repeated("name") {
        item.problem::<()>(format!("metric {name:?} stands more than once"));
    }
    value.list_of(|item| read_metric(item, names))
}

fn read_metric(value: &Value<'_>, names: &LabelNames<'_>) -> Option<Metric> {
    let mut fields = value.object()?;
    let name = fields.required("name").and_then(|v| {
        let name = v.non_empty_string()?;
        match check_metric_name(name) {
            Ok(()) => Some(name.to_owned()),
            Err(problem) => v.problem(format!("{name:?} {problem}")),
        }
    });
    let kind = fields.required("type").and_then(|v| {
        v.one_of(&[
            ("counter", MetricKind::Counter),
            ("histogram", MetricKind::Histogram),
            ("gauge", MetricKind::Gauge),
        ])
    });
    let at_start = kind == Some(MetricKind::Gauge);
    let number = fields.get("value").map_or(Some(None), |v| {
        Expression::read(&v, Use::Number, at_start).map(Some)
    });
    if number == Some(None) && kind == Some(MetricKind::Histogram) {
        fields
            .value()
            .problem::<()>("a histogram needs a value, as in value: request.duration");
    }
    if let (Some(Some(expression)), Some(kind)) = (&number, kind)
        && let Some(always) = expression.number
    {
        let problem = match kind {
            MetricKind::Counter if always <= 0 => "a counter that adds this counts nothing",
            MetricKind::Histogram if always < 0 => "a histogram takes nothing below 0",
            MetricKind::Gauge if always <= 0 => "a gauge that adds this shows nothing",
            _ => "",
        };
        if !problem.is_empty() {
            fields
                .value()
                .problem::<()>(format!("value: is always {always}: {problem}"));
        }
    }
    let when = fields.get("when").map_or(Some(None), |v| {
        Expression::read(&v, Use::Condition, at_start).map(Some)
    });
    let labels = fields
        .get("labels")
        .map_or(Some(Vec::new()), |v| read_labels(&v, names, at_start));
    let buckets = fields.get("buckets").map_or(Some(Vec::new()), |v| {
        if kind != Some(MetricKind::Histogram) {
            return v.problem("only a histogram has buckets");
        }
        read_buckets(&v)
    });
    Some(Metric {
        name: name?,
        kind: kind?,
        value: number?.filter(|expression| expression.text.trim() != "1"),
        when: when?,
        labels: labels?,
        buckets: buckets?,
    })
}

fn read_buckets(value: &Value<'_>) -> Option<Vec<f64>> {
    let bounds = value.non_empty_list_of(|v| v.number(0.0..=1e15))?;
    let ascending = bounds.iter().zip(bounds.iter().skip(1)).all(|(a, b)| a < b);
    if ascending {
        Some(bounds)
    } else {
        value.problem("bucket bounds must go up")
    }
}

fn read_labels(
    value: &Value<'_>,
    names: &LabelNames<'_>,
    at_start: bool,
) -> Option<Vec<Label<Expression>>> {
    let entries = value.entries()?;
    if entries.len() > MAX_LABELS {
        return value.problem(format!("has more than {MAX_LABELS} labels"));
    }
    let labels: Vec<_> = entries
        .iter()
        .map(|(name, expression)| {
            let checked = names.allow(expression, name);
            let source = Expression::read(expression, Use::Show, at_start);
            checked?;
            Some(Label {
                name: (*name).to_owned(),
                source: source?,
            })
        })
        .collect();
    labels.into_iter().collect()
}

fn read_operations(value: &Value<'_>) -> Option<Operations> {
    value.at_most(MAX_TEMPLATES, "they are tried one after the other")?;
    let mut operations = Operations::default();
    value.list_of(|item| match operations.push(item.non_empty_string()?) {
        Ok(()) => Some(()),
        Err(error) => item.problem(error.to_string()),
    })?;
    Some(operations)
}

/// `path_template` without templates would be `unmatched` for every request.
fn check_operations(value: &Value<'_>, config: &Config) -> Option<()> {
    if !config.operations.is_empty() {
        return Some(());
    }
    let custom = config
        .metrics
        .iter()
        .flat_map(|metric| metric.labels.iter().map(|l| &l.source));
    let golden = config.golden.iter().flat_map(|metric| &metric.labels);
    let golden = golden.filter_map(|label| match &label.source {
        GoldenSource::Expression(expression) => Some(expression),
        GoldenSource::Standard(_) => None,
    });
    let fields = config
        .access_log
        .iter()
        .flat_map(|log| log.fields.iter().map(|f| &f.source));
    match custom
        .chain(golden)
        .chain(fields)
        .find(|e| e.source == Source::Operation)
    {
        Some(expression) => value.problem(format!(
            "{} uses path_template, but pathTemplates is empty: list the templates",
            expression.path
        )),
        None => Some(()),
    }
}

type Bounds = (Cardinality, Vec<(String, ValueList)>);

impl Default for Cardinality {
    fn default() -> Self {
        Self {
            max_series: 1000,
            max_values: 1000,
            max_value_length: 100,
        }
    }
}

fn read_cardinality(value: &Value<'_>) -> Option<Bounds> {
    let default = Cardinality::default();
    let mut fields = value.object()?;
    let count = |v: Option<Value<'_>>, default: usize, range| match v {
        Some(v) => v.integer(range).and_then(|n| usize::try_from(n).ok()),
        None => Some(default),
    };
    let max_series = count(
        fields.get("maxSeriesPerMetric"),
        default.max_series,
        2..=100_000,
    );
    let most = max_series.unwrap_or(default.max_series);
    let max_values = count(fields.get("maxValuesPerLabel"), most, 2..=100_000);
    let max_value_length = count(
        fields.get("maxValueLength"),
        default.max_value_length,
        8..=1000,
    );
    let lists = fields
        .get("labelValues")
        .map_or(Some(Vec::new()), |v| read_lists(&v));
    let cardinality = Cardinality {
        max_series: max_series?,
        max_values: max_values?,
        max_value_length: max_value_length?,
    };
    Some((cardinality, lists?))
}

fn read_lists(value: &Value<'_>) -> Option<Vec<(String, ValueList)>> {
    let entries = value.entries()?;
    if entries.len() > MAX_LABELS {
        return value.problem(format!("has more than {MAX_LABELS} labels"));
    }
    let mut lists = Vec::new();
    for (name, values) in entries {
        values.at_most(MAX_LISTED, "they are there to be few")?;
        let texts = values.non_empty_list_of(Value::non_empty_string)?;
        let mut list = Texts::default();
        for text in texts {
            list.insert(text.as_bytes());
        }
        lists.push((name.to_owned(), Rc::new(list)));
    }
    Some(lists)
}

fn read_log(value: &Value<'_>) -> Option<AccessLog> {
    let mut fields = value.object()?;
    let sink = fields.required("sink").and_then(|v| read_sink(&v));
    let (share, always) = match fields.get("sample") {
        Some(sample) => read_sample(&sample),
        None => (Some(Share::percent(100.0)), Some(None)),
    };
    let extra = fields
        .get("fields")
        .map_or(Some(Vec::new()), |v| read_fields(&v));
    let batch = match fields.get("batch") {
        Some(batch) => read_batch(&batch),
        None => Some((512, Duration::from_secs(1), 8192)),
    };
    let (max_records, interval, max_queue) = batch?;
    Some(AccessLog {
        sink: sink?,
        share: share?,
        always: always?,
        fields: extra?,
        max_records,
        interval,
        max_queue,
    })
}

fn read_sink(value: &Value<'_>) -> Option<Sink> {
    if let config::Node::String(_) = value.node() {
        return value.one_of(&[("stdout", ())]).map(|()| Sink::Stdout);
    }
    let mut fields = value.object()?;
    let otlp = fields.required("otlpHttp")?;
    let mut fields = otlp.object()?;
    let cluster = fields
        .required("cluster")
        .and_then(|v| v.non_empty_string());
    let path = fields.get("path").map_or(Some("/v1/logs"), |v| {
        let path = v.string()?;
        let fine = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
        if fine {
            Some(path)
        } else {
            v.problem("must begin with / and hold no blanks")
        }
    });
    let authority = fields.get("authority").map_or(Some(None), |v| {
        let authority = v.non_empty_string()?;
        if authority.bytes().all(|b| b.is_ascii_graphic()) {
            Some(Some(authority))
        } else {
            v.problem("must hold no blanks")
        }
    });
    let timeout = fields
        .get("timeout")
        .map_or(Some(Duration::from_secs(5)), |v| {
            v.duration(Duration::from_millis(10))
        });
    let cluster = cluster?;
    Some(Sink::OtlpHttp {
        cluster: cluster.to_owned(),
        path: path?.to_owned(),
        authority: authority?.map_or_else(|| host_of(cluster), str::to_owned),
        timeout: timeout?,
    })
}

/// A cluster's name as a host that every server takes. Istio's names carry the port and
/// the direction before it (`outbound|4318||collector.shop`), and servers refuse a `|`.
#[cold]
fn host_of(cluster: &str) -> String {
    let host = cluster.rsplit('|').find(|part| !part.is_empty());
    host.unwrap_or("otlp")
        .chars()
        .map(|c| match c {
            // RFC 3986, 3.2.2: what a registered name and an address hold.
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~' | ':' | '[' | ']' => c,
            _ => '_',
        })
        .collect()
}

type Sample = (Option<Share>, Option<Option<Expression>>);

fn read_sample(value: &Value<'_>) -> Sample {
    let Some(mut fields) = value.object() else {
        return (None, None);
    };
    let percent = fields
        .get("percent")
        .map_or(Some(100.0), |v| v.number(0.0..=100.0));
    let always = fields.get("always").map_or(Some(None), |v| {
        Expression::read(&v, Use::Condition, false).map(Some)
    });
    (percent.map(Share::percent), always)
}

fn read_fields(value: &Value<'_>) -> Option<Vec<Label<Expression>>> {
    let entries = value.entries()?;
    if entries.len() > MAX_LABELS {
        return value.problem(format!("has more than {MAX_LABELS} fields"));
    }
    let fields: Vec<_> = entries
        .iter()
        .map(|(name, expression)| {
            if name.is_empty() {
                return expression.problem("a field needs a name");
            }
            Some(Label {
                name: (*name).to_owned(),
                source: Expression::read(expression, Use::Show, false)?,
            })
        })
        .collect();
    fields.into_iter().collect()
}

fn read_batch(value: &Value<'_>) -> Option<(usize, Duration, usize)> {
    let mut fields = value.object()?;
    let count = |v: Option<Value<'_>>, default: i64, range| match v {
        Some(v) => v.integer(range),
        None => Some(default),
    };
    let max_records = count(fields.get("maxRecords"), 512, 1..=10_000);
    let max_queue = count(fields.get("maxQueue"), 8192, 1..=1_000_000);
    let interval = fields
        .get("interval")
        .map_or(Some(Duration::from_secs(1)), |v| {
            v.duration(Duration::from_millis(100))
        });
    let (max_records, max_queue) = (max_records?, max_queue?);
    if max_queue < max_records {
        return value.problem(format!(
            "maxQueue ({max_queue}) is smaller than maxRecords ({max_records}): a batch could never fill"
        ));
    }
    Some((
        usize::try_from(max_records).ok()?,
        interval?,
        usize::try_from(max_queue).ok()?,
    ))
}

fn read_trace(value: &Value<'_>) -> Option<Trace> {
    let mut fields = value.object()?;
    let propagate = fields
        .required("propagate")
        .and_then(|v| v.one_of(&[("w3c", ())]));
    let generate = fields
        .get("generateWhenMissing")
        .map_or(Some(false), |v| v.boolean());
    propagate?;
    Some(Trace {
        generate_when_missing: generate?,
    })
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn a_clusters_name_becomes_a_host_that_servers_take() {
        for (cluster, host) in [
            ("otel-collector", "otel-collector"),
            ("collector.shop:4318", "collector.shop:4318"),
            (
                "outbound|4318||otel.observability.svc.cluster.local",
                "otel.observability.svc.cluster.local",
            ),
            ("outbound|4318|v1|otel.shop", "otel.shop"),
            ("outbound|4318||", "4318"),
            ("httproute/shop/logs/rule/0", "httproute_shop_logs_rule_0"),
            ("a b\u{e9}", "a_b_"),
            ("|", "otlp"),
        ] {
            assert_eq!(host_of(cluster), host, "{cluster}");
        }
    }
}
