//! What one measurement runs: a filter chain, its routes, and the proof that the
//! chain does what its name says.

use std::path::Path;

use anyhow::Result;
use meshpack_harness::{Cluster, HttpFilter, Listener, Request, Route, WasmFilter, wasm_module};
use serde_json::{Value, json};

/// One filter of a chain; modules are looked for only when they are measured.
#[derive(Debug, Clone)]
enum Step {
    Native(HttpFilter),
    Wasm(&'static str, Value),
}

/// The routes behind a chain. Each kind costs something without any filter, so a
/// chain is compared with no filter on the same routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Routes {
    /// One route.
    Plain,
    /// The steering header chooses between two.
    Canary,
    /// One route with a retry policy.
    Retry,
    /// Both.
    CanaryRetry,
    /// Envoy's own split by weight.
    Weighted,
}

impl Routes {
    /// The row of the table that has no filter on these routes.
    pub(crate) const fn baseline(self) -> &'static str {
        match self {
            // Envoy's own split is what is compared, so it is no baseline.
            Self::Plain | Self::Weighted => "no filter",
            Self::Canary => "no filter, the two routes of a canary",
            Self::Retry => "no filter, a route that retries",
            Self::CanaryRetry => "no filter, the two routes of a canary, both retry",
        }
    }

    fn routes(self) -> Vec<Route> {
        // One retry: a filter that allows two shows in the number of attempts.
        let retry = || json!({"retry_on": "5xx", "num_retries": 1});
        let canary = || Route::to("v2").when_header("x-meshpack-subset", "v2");
        match self {
            Self::Plain => vec![Route::to("v1")],
            Self::Canary => vec![canary(), Route::to("v1")],
            Self::Retry => vec![Route::to("v1").retry(retry())],
            Self::CanaryRetry => vec![canary().retry(retry()), Route::to("v1").retry(retry())],
            Self::Weighted => vec![Route::from(json!({
                "match": {"prefix": "/"},
                "route": {"weighted_clusters": {"clusters": [
                    {"name": "v1", "weight": 95},
                    {"name": "v2", "weight": 5},
                ]}},
            }))],
        }
    }
}

/// What must hold after the requests, or the figure is refused: a chain that does
/// nothing is cheap.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// An Envoy counter has counted every request.
    Counter(&'static str),
    /// The series with at least these labels have counted every request.
    Series(&'static str, Vec<(&'static str, &'static str)>),
    /// The upstream got this header; any value without one.
    UpstreamHeader(&'static str, Option<&'static str>),
    /// A request that fails upstream is tried this often.
    Attempts(u64),
    /// The access log has a line for every request.
    LogLines,
}

/// One chain and the requests that go through it.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    filters: Vec<Step>,
    pub(crate) routes: Routes,
    /// Envoy's own retry budget on the clusters.
    native_budget: bool,
    /// Envoy's own access log, in this format.
    access_log: Option<Value>,
    pub(crate) proofs: Vec<Proof>,
    /// Headers of a request beside `host`.
    headers: Vec<(String, String)>,
    pub(crate) workers: u32,
}

impl Chain {
    pub(crate) fn on(routes: Routes) -> Self {
        Self {
            filters: Vec::new(),
            routes,
            native_budget: false,
            access_log: None,
            proofs: Vec::new(),
            // As short as the work allows: every header costs every filter that reads
            // the map, which the growth of the cost shows.
            headers: match routes {
                Routes::Canary | Routes::CanaryRetry => {
                    vec![("x-user-id".into(), "user-4711".into())]
                }
                Routes::Plain | Routes::Retry | Routes::Weighted => Vec::new(),
            },
            workers: 1,
        }
    }

    pub(crate) fn filter(mut self, filter: impl Into<HttpFilter>) -> Self {
        self.filters.push(Step::Native(filter.into()));
        self
    }

    pub(crate) fn wasm(mut self, module: &'static str, configuration: Value) -> Self {
        self.filters.push(Step::Wasm(module, configuration));
        self
    }

    pub(crate) fn native_budget(mut self) -> Self {
        self.native_budget = true;
        self
    }

    pub(crate) fn access_log(mut self, format: Value) -> Self {
        self.access_log = Some(format);
        self.prove(Proof::LogLines)
    }

    pub(crate) fn prove(mut self, proof: Proof) -> Self {
        self.proofs.push(proof);
        self
    }

    /// So many worker threads, each with a connection of its own.
    pub(crate) fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// The same routes and workers without any filter.
    pub(crate) fn without_filters(&self) -> Self {
        Self::on(self.routes).workers(self.workers)
    }

    /// The listener as Envoy gets it; `folder` takes the access log.
    pub(crate) fn listener(&self, name: &str, folder: &Path) -> Result<Listener> {
        // Exact balance: as many workers as connections have work.
        let mut listener =
            Listener::new(name).merge(json!({"connection_balance_config": {"exact_balance": {}}}));
        for step in &self.filters {
            let filter = match step {
                Step::Native(filter) => filter.clone(),
                Step::Wasm(module, configuration) => {
                    let path = wasm_module(module)?;
                    WasmFilter::new(*module, path).config(configuration).into()
                }
            };
            listener = listener.filter(filter);
        }
        for route in self.routes.routes() {
            listener = listener.route(route);
        }
        if let Some(format) = &self.access_log {
            let kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
            listener = listener.merge_manager(json!({"access_log": [{
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": kind,
                    "path": log_file(folder),
                    "log_format": {"json_format": format},
                },
            }]}));
        }
        Ok(listener)
    }

    /// The clusters, all of which are `upstream`.
    pub(crate) fn clusters(&self, upstream: std::net::SocketAddr) -> Vec<Cluster> {
        let names: &[&str] = match self.routes {
            Routes::Plain | Routes::Retry => &["v1"],
            Routes::Canary | Routes::CanaryRetry | Routes::Weighted => &["v1", "v2"],
        };
        let budget = json!({"circuit_breakers": {"thresholds": [
            {"retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 3}},
        ]}});
        names
            .iter()
            .map(|name| {
                let cluster = Cluster::new(*name).endpoint(upstream);
                if self.native_budget {
                    cluster.merge(budget.clone())
                } else {
                    cluster
                }
            })
            .collect()
    }

    /// The request, with so many headers in all (`host` is one, pseudo-headers are
    /// none); as few as it needs for `None`.
    pub(crate) fn request(&self, headers: Option<usize>) -> Request {
        let mut request = Request::get(PATH).authority(AUTHORITY);
        for (name, value) in self.headers(headers) {
            request = request.header(name, value);
        }
        request
    }

    /// The headers of [`Chain::request`] beside `host`.
    pub(crate) fn headers(&self, headers: Option<usize>) -> Vec<(String, String)> {
        let mut all = self.headers.clone();
        let more = headers.unwrap_or(0).saturating_sub(all.len() + 1);
        all.extend((0..more).map(|n| {
            (
                format!("x-extra-{n:02}"),
                format!("value-{n:02}-0123456789"),
            )
        }));
        all
    }
}

/// Path and authority of every request.
pub(crate) const PATH: &str = "/api/orders?page=2";
/// See [`PATH`].
pub(crate) const AUTHORITY: &str = "payments.shop";

/// Where a chain's access log is.
pub(crate) fn log_file(folder: &Path) -> std::path::PathBuf {
    folder.join("access.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_as_many_headers_as_asked_for() {
        let chain = Chain::on(Routes::Canary);
        assert_eq!(chain.headers(None).len() + 1, 2);
        for wanted in [10, 20, 40] {
            assert_eq!(chain.headers(Some(wanted)).len() + 1, wanted);
        }
    }
}
