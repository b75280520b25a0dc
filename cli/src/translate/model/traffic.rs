//! Routes, splits, retries, and the services behind them.

use std::time::Duration;

use meshpack_sdk::config::Node;

use crate::translate::ledger::Spot;

/// How requests to some hosts are routed: the first rule that matches decides.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// Name in metrics, unique among all routes.
    pub(crate) label: String,
    /// Host names as clients write them, `*.suffix` allowed; `*` for all. None for
    /// routes that others delegate to.
    pub(crate) hosts: Vec<String>,
    /// The hosts of the routes that delegate to these.
    pub(crate) delegated: Vec<String>,
    pub(crate) rules: Vec<Rule>,
    /// Whose proxies follow these routes.
    pub(crate) reach: Reach,
    /// The namespace of the proxies for which names are asked; its own if none is said.
    pub(crate) seen_from: Option<String>,
    /// Labels and annotations as they were written.
    pub(crate) metadata: Vec<(String, Node)>,
    /// Fields of an Istio VirtualService that only Istio understands.
    pub(crate) kept: Vec<(String, Node)>,
    /// Whether no resource says so: a service that is reached as it is.
    pub(crate) unwritten: bool,
    /// The HTTPRoutes that these were, which the split's routes are added to.
    pub(crate) http_routes: Vec<WrittenRoute>,
}

/// Whose proxies follow some routes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) callers: Callers,
    pub(crate) gateways: Vec<GatewayRef>,
}

/// Workloads that call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Callers {
    /// In every namespace.
    #[default]
    All,
    /// In these alone.
    Of(Vec<String>),
}

/// A Gateway by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GatewayRef {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Of the Gateway API, rather than Istio's own.
    pub(crate) of_api: bool,
}

/// An HTTPRoute as it was written.
#[derive(Debug, Clone)]
pub(crate) struct WrittenRoute {
    pub(crate) node: Node,
    /// Group of its first rule.
    pub(crate) first_group: usize,
}

impl Routes {
    /// All names by which clients in Kubernetes reach the hosts.
    pub(crate) fn names(&self) -> Vec<String> {
        let from = self.seen_from.as_ref().unwrap_or(&self.namespace);
        let mut names: Vec<String> = Vec::new();
        for host in self.hosts.iter().chain(&self.delegated) {
            let mut of_host = Vec::new();
            match service_of(host, &self.namespace) {
                Some((service, namespace)) => {
                    // Short names are those of the caller's own namespace.
                    if namespace == from {
                        of_host.push(service.to_owned());
                    }
                    of_host.push(format!("{service}.{namespace}"));
                    of_host.push(format!("{service}.{namespace}.svc"));
                    of_host.push(format!("{service}.{namespace}.svc.cluster.local"));
                }
                None => of_host.push(host.clone()),
            }
            for name in of_host {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// The kind of the Gateway API's resource that these were.
    pub(crate) fn kind(&self) -> Option<&Node> {
        match &self.http_routes.first()?.node {
            Node::Object(entries) => entries
                .iter()
                .find(|(key, _)| key == "kind")
                .map(|(_, kind)| kind),
            _ => None,
        }
    }

    /// Whether a plugin has anything to do for these routes.
    pub(crate) fn has_work(&self) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.arms.len() > 1 || matches!(rule.retry, Retry::On(_)))
    }
}

/// A service's full name, by which all spellings of it are one; other hosts as they are.
pub(crate) fn full_name(host: &str, namespace: &str) -> String {
    match service_of(host, namespace) {
        Some((service, namespace)) => format!("{service}.{namespace}.svc.cluster.local"),
        None => host.to_owned(),
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
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// Any of them; none means every request.
    pub(crate) matches: Vec<Match>,
    /// The same with the conditions of those that delegate to this rule.
    pub(crate) delegated: Option<Vec<Match>>,
    /// Namespace and name of the routes that this rule leaves its requests to.
    pub(crate) delegate: Option<(String, String)>,
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
    /// Conditions of an Istio match that the filters have no words for.
    pub(crate) kept: Vec<(String, Node)>,
    /// What those of them mean that Envoy has words for, too.
    pub(crate) extra: Vec<Extra>,
}

/// A condition beyond the filters' `match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Extra {
    /// The path is compared without regard to case.
    IgnoreCase,
    /// The header has no such value.
    Without(String, TextMatch),
    /// A pseudo header: `:authority`, `:scheme`, `:method`.
    Pseudo(&'static str, TextMatch),
    /// What an Envoy outside of Istio cannot know.
    Unknown,
}

impl Rule {
    /// The conditions on the requests that get here.
    pub(crate) fn conditions(&self) -> &[Match] {
        self.delegated.as_ref().unwrap_or(&self.matches)
    }

    /// Puts the arm with the largest share first: the default, which requests get that no
    /// plugin looked at. So they never reach a version that is drained.
    pub(crate) fn default_to_heaviest(&mut self) {
        let weights: Vec<f64> = self.arms.iter().map(|arm| arm.weight).collect();
        if let Some(arms) = self.arms.get_mut(..=heaviest(&weights)) {
            arms.rotate_right(1);
        }
    }
}

/// Which weight is the largest, the first of equals.
pub(crate) fn heaviest(weights: &[f64]) -> usize {
    let mut largest = 0;
    for (index, weight) in weights.iter().enumerate() {
        if weights.get(largest).is_some_and(|known| weight > known) {
            largest = index;
        }
    }
    largest
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

impl RetryPolicy {
    /// What Istio does for routes that say nothing about retries.
    pub(crate) fn istio_default() -> Self {
        let on = [
            "connect-failure",
            "refused-stream",
            "unavailable",
            "cancelled",
        ];
        Self {
            retries: 2,
            on: on.map(str::to_owned).to_vec(),
            per_try_timeout: None,
            budget: Budget::default(),
            backoff: None,
            kept: Vec::new(),
        }
    }
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
    /// Where it was said.
    pub(crate) namespace: String,
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
    pub(crate) fn new(
        host: impl Into<String>,
        namespace: impl Into<String>,
        subset: Option<String>,
    ) -> Self {
        Self {
            host: host.into(),
            namespace: namespace.into(),
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
