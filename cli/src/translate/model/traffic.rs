//! Routes, splits, retries, and the services behind them.

use std::time::Duration;

use meshpack_sdk::config::Node;

use crate::translate::ledger::Spot;

/// How requests to some hosts are routed: the first rule that matches decides.
#[derive(Debug)]
pub(crate) struct Routes {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// Name in metrics, unique among all routes.
    pub(crate) label: String,
    /// Host names as clients write them, `*.suffix` allowed; `*` for all.
    pub(crate) hosts: Vec<String>,
    pub(crate) rules: Vec<Rule>,
    /// Fields of an Istio VirtualService that only Istio understands.
    pub(crate) kept: Vec<(String, Node)>,
    /// The HTTPRoutes that these were, which the split's routes are added to.
    pub(crate) http_routes: Vec<WrittenRoute>,
}

/// An HTTPRoute as it was written.
#[derive(Debug)]
pub(crate) struct WrittenRoute {
    pub(crate) node: Node,
    /// Group of its first rule.
    pub(crate) first_group: usize,
}

impl Routes {
    /// All names by which clients in Kubernetes reach the hosts.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for host in &self.hosts {
            let mut of_host = vec![host.clone()];
            if let Some((service, namespace)) = service_of(host, &self.namespace) {
                if namespace == self.namespace {
                    of_host.push(service.to_owned());
                }
                of_host.push(format!("{service}.{namespace}"));
                of_host.push(format!("{service}.{namespace}.svc"));
                of_host.push(format!("{service}.{namespace}.svc.cluster.local"));
            }
            for name in of_host {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }
}

/// Service and namespace of a Kubernetes host name.
fn service_of<'h>(host: &'h str, namespace: &'h str) -> Option<(&'h str, &'h str)> {
    if host.contains('*') || host.contains(':') {
        return None;
    }
    match host.strip_suffix(".svc.cluster.local") {
        Some(name) => name.split_once('.'),
        None if !host.contains('.') => Some((host, namespace)),
        None => None,
    }
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Any of them; none means every request.
    pub(crate) matches: Vec<Match>,
    /// Where requests go, with their shares; the first is the default.
    pub(crate) arms: Vec<Arm>,
    pub(crate) retry: Retry,
    /// Of the request with all its attempts.
    pub(crate) timeout: Option<Duration>,
    /// Fields of an Istio HTTP route that only Istio understands.
    pub(crate) kept: Vec<(String, Node)>,
    /// Number of the rule as it was written: a written rule may be several here,
    /// which then split alike.
    pub(crate) group: usize,
    /// Where the rule was written.
    pub(crate) spot: Spot,
}

/// Conditions on a request, all of which must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Match {
    pub(crate) path: Option<PathMatch>,
    /// Any of them; none means every method.
    pub(crate) methods: Vec<String>,
    pub(crate) headers: Vec<(String, TextMatch)>,
    pub(crate) query: Vec<(String, TextMatch)>,
    /// Conditions of an Istio match that only Istio understands.
    pub(crate) kept: Vec<(String, Node)>,
}

impl Match {
    pub(crate) fn is_any(&self) -> bool {
        *self == Self::default()
    }
}

/// A condition on the path without its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathMatch {
    Exact(String),
    /// Starts with this text: `/a` matches `/ab`.
    Prefix(String),
    /// Starts with these segments: `/a` matches `/a` and `/a/b`, not `/ab`.
    Segments(String),
    /// The whole path matches this regular expression (RE2).
    Regex(String),
}

/// A condition on a header or a query parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TextMatch {
    Present,
    Exact(String),
    Prefix(String),
    Suffix(String),
    Regex(String),
}

/// A destination and its share.
#[derive(Debug, Clone)]
pub(crate) struct Arm {
    pub(crate) to: Destination,
    pub(crate) weight: f64,
    /// Fields of an Istio route destination that only Istio understands.
    pub(crate) kept: Vec<(String, Node)>,
}

/// A service, or a subset of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Destination {
    pub(crate) host: String,
    pub(crate) subset: Option<String>,
    pub(crate) port: Option<u16>,
}

impl Destination {
    /// Name of its cluster in Envoy, and in `--endpoint`.
    pub(crate) fn cluster(&self) -> String {
        let mut name = self.host.clone();
        if let Some(port) = self.port {
            name.push_str(&format!(":{port}"));
        }
        if let Some(subset) = &self.subset {
            name.push_str(&format!("/{subset}"));
        }
        name
    }
}

/// Whether failed requests are tried again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Retry {
    /// Nothing was said; the system that the configuration is for decides.
    Default,
    /// Never.
    Off,
    On(RetryPolicy),
}

/// When and how often a request is tried again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RetryPolicy {
    /// Retries of one request, the first attempt not counted.
    pub(crate) retries: u32,
    /// Envoy's conditions and status codes.
    pub(crate) on: Vec<String>,
    pub(crate) per_try_timeout: Option<Duration>,
    /// Pause before the first retry; Envoy's own unless set.
    pub(crate) backoff: Option<Duration>,
    pub(crate) budget: Budget,
    /// Fields of Istio's retries that only Istio understands.
    pub(crate) kept: Vec<(String, Node)>,
}

/// How many retries a number of requests pays for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Budget {
    pub(crate) percent: f64,
    pub(crate) interval: Duration,
    pub(crate) floor_count: u32,
    pub(crate) floor_interval: Duration,
    /// Whether refused retries end with 503 rather than the upstream's answer.
    pub(crate) unavailable_when_exhausted: bool,
}

impl Default for Budget {
    /// What Gateway API's GEP-3388, Linkerd and Finagle agree on.
    fn default() -> Self {
        Self {
            percent: 20.0,
            interval: Duration::from_secs(10),
            floor_count: 10,
            floor_interval: Duration::from_secs(1),
            unavailable_when_exhausted: false,
        }
    }
}

/// What is known about a service or a subset.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    pub(crate) host: String,
    /// None for the service as a whole, and all subsets that say nothing themselves.
    pub(crate) subset: Option<String>,
    /// Where it is, if the source says so.
    pub(crate) address: Option<(String, u16)>,
    pub(crate) outlier: Option<Outlier>,
    pub(crate) limits: Limits,
    /// How many retries its requests pay for.
    pub(crate) budget: Option<Budget>,
    pub(crate) http2: bool,
}

impl Backend {
    pub(crate) fn new(host: impl Into<String>, subset: Option<String>) -> Self {
        Self {
            host: host.into(),
            subset,
            address: None,
            outlier: None,
            limits: Limits::default(),
            budget: None,
            http2: false,
        }
    }
}

/// When an endpoint is taken out for a while.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outlier {
    pub(crate) consecutive_5xx: Option<u32>,
    pub(crate) consecutive_gateway_errors: Option<u32>,
    pub(crate) interval: Option<Duration>,
    pub(crate) base_ejection_time: Option<Duration>,
    pub(crate) max_ejection_percent: Option<u32>,
    pub(crate) min_health_percent: Option<u32>,
}

/// Limits of a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Limits {
    pub(crate) connections: Option<u32>,
    pub(crate) pending_requests: Option<u32>,
    pub(crate) requests: Option<u32>,
    pub(crate) requests_per_connection: Option<u32>,
    pub(crate) connect_timeout: Option<Duration>,
}
