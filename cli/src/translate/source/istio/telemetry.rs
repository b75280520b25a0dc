//! Telemetry: overrides of metrics, access logs.

use meshpack_sdk::config::{Node, Number};

use super::super::Resource;
use crate::json::object;
use crate::translate::ledger::Field;
use crate::translate::model::Scope;
use crate::translate::model::attachment::canonical;
use crate::translate::model::telemetry::{ALL, Log, Telemetry, add};

/// Istio's metrics and the filter's.
const METRICS: [(&str, &str); 5] = [
    ("ALL_METRICS", ALL),
    ("REQUEST_COUNT", "meshpack_requests_total"),
    ("REQUEST_DURATION", "meshpack_request_duration_milliseconds"),
    ("REQUEST_SIZE", "meshpack_request_bytes"),
    ("RESPONSE_SIZE", "meshpack_response_bytes"),
];

pub(super) fn read(resource: &Resource<'_>) -> Option<Telemetry> {
    let spec = resource.field.get("spec")?;
    let selector = ["selector", "targetRef", "targetRefs"]
        .iter()
        .find_map(|key| {
            let field = spec.get(key)?;
            Some(((*key).to_owned(), field.take().clone()))
        });
    let overrides = read_metrics(&spec);
    let log = read_logs(&spec);
    spec.lose(
        "tracing",
        "the filter makes no spans: leave tracing with Istio (the filter keeps trace headers with trace: {propagate: w3c})",
    );
    Some(Telemetry {
        scope: Scope {
            name: format!("telemetry-{}", resource.name),
            namespace: resource.namespace.clone(),
            selector: canonical(selector),
            port: None,
        },
        overrides,
        log,
        spot: resource.field.spot(),
    })
}

/// The entries of `tagOverrides`.
fn read_metrics(spec: &Field<'_>) -> Vec<(String, Node)> {
    let mut entries: Vec<(String, Node)> = Vec::new();
    for metrics in spec.list("metrics") {
        metrics.lose(
            "providers",
            "Envoy serves the metrics to Prometheus; other providers are Istio's",
        );
        metrics.lose(
            "reportingInterval",
            "metrics are counted as requests end, not in intervals",
        );
        for change in metrics.list("overrides") {
            let Some((metric, change)) = read_override(&change) else {
                continue;
            };
            add(&mut entries, metric, &change);
        }
    }
    entries
}

fn read_override(change: &Field<'_>) -> Option<(&'static str, Node)> {
    let matcher = change.get("match");
    let mut name = "ALL_METRICS";
    if let Some(matcher) = &matcher {
        name = matcher.text_at("metric").unwrap_or(name);
        matcher.lose("customMetric", "metrics of providers are not the filter's");
        if let Some(mode) = matcher.get("mode")
            && mode.text() != Some("CLIENT_AND_SERVER")
        {
            mode.lost("the override holds for client and server alike: one configuration serves both listeners");
        }
    }
    let Some((_, metric)) = METRICS.iter().find(|(theirs, _)| *theirs == name) else {
        change.lost(format!(
            "there is no metric like {name}: the filter works on HTTP requests"
        ));
        return None;
    };
    let mut entries = Vec::new();
    if let Some(disabled) = change.get("disabled").and_then(|value| value.boolean()) {
        entries.push(("disabled", Node::Bool(disabled)));
    }
    let mut labels = Vec::new();
    let mut removed = Vec::new();
    let tags = change
        .get("tagOverrides")
        .map(|tags| tags.entries())
        .unwrap_or_default();
    for (label, tag) in tags {
        match tag.text_at("operation").unwrap_or("UPSERT") {
            "REMOVE" => removed.push(Node::String(label.to_owned())),
            other if other != "UPSERT" => {
                tag.lost(format!("{other:?} is not an operation of Istio's"))
            }
            _ => match tag.text_at("value") {
                Some(value) => labels.push((label.to_owned(), Node::String(value.to_owned()))),
                None => tag.lost("has no value to set the label to"),
            },
        }
    }
    if !labels.is_empty() {
        entries.push(("labels", Node::Object(labels)));
    }
    if !removed.is_empty() {
        entries.push(("remove", Node::List(removed)));
    }
    (!entries.is_empty()).then(|| (*metric, object(entries)))
}

fn read_logs(spec: &Field<'_>) -> Option<Log> {
    let mut found = None;
    for log in spec.list("accessLogging") {
        if log.get("disabled").and_then(|value| value.boolean()) == Some(true) {
            log.note("the filter writes no log either; that Istio writes none stays the business of this resource, so keep this part of it");
            log.take();
            found.get_or_insert(Log::Off);
            continue;
        }
        if matches!(found, Some(Log::To(_))) {
            log.lost("the filter writes one access log");
            continue;
        }
        for provider in log.list("providers") {
            if provider.text_at("name") != Some("envoy") {
                provider.lost("names a provider of the mesh configuration: give accessLog.sink its address (otlpHttp)");
            }
        }
        log.lose("match", "requests of client and server are logged alike");
        let mut entries = vec![("sink", Node::String("stdout".to_owned()))];
        if let Some(expression) = log
            .at(&["filter", "expression"])
            .and_then(|text| text.text())
        {
            // Only what the expression takes, as in Istio.
            let none = Node::Number(Number::Integer(0));
            let always = Node::String(expression.to_owned());
            entries.push(("sample", object([("percent", none), ("always", always)])));
        }
        found = Some(Log::To(object(entries)));
    }
    found
}
