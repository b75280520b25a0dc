//! What a scenario runs: plugins, routes and upstreams, or a bootstrap as it is.

use std::path::{Path, PathBuf};

use meshpack_harness::{FailurePolicy, Route};
use meshpack_sdk::config::{Fields, Node, Value};
use serde_json::json;

use super::Files;
use super::upstream::Upstream;
use crate::filters::Filter as Pack;
use crate::json as tree;

/// The header by which `canary_split` tells the route which version it chose.
const STEERING_HEADER: &str = "x-meshpack-subset";

/// What stands in a file or a scenario; each thing may be missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    bootstrap: Option<(PathBuf, Option<String>)>,
    filters: Option<Vec<Filter>>,
    routes: Option<Vec<serde_json::Value>>,
    manager: Option<serde_json::Value>,
    workers: Option<u32>,
    upstreams: Vec<Upstream>,
}

/// What one Envoy is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) workers: u32,
    pub(crate) upstreams: Vec<Upstream>,
}

/// Envoy's configuration.
#[derive(Clone, Debug)]
pub(crate) enum Config {
    /// A user's own file, its clusters pointed at the upstreams of the same names.
    Bootstrap {
        file: PathBuf,
        /// The listener that requests go to; the first one unless named.
        listener: Option<String>,
    },
    /// One listener made of these.
    Made {
        filters: Vec<Filter>,
        routes: Vec<serde_json::Value>,
        manager: Option<serde_json::Value>,
    },
}

impl Setup {
    /// The modules of its plugins.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &Path> {
        let filters = match &self.config {
            Config::Made { filters, .. } => filters.as_slice(),
            Config::Bootstrap { .. } => &[],
        };
        filters.iter().filter_map(|filter| match filter {
            Filter::Plugin(plugin) => Some(plugin.module.as_path()),
            Filter::Envoy(_) => None,
        })
    }
}

/// An entry of the filter chain.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    Plugin(Plugin),
    /// Any filter of Envoy's own, as Envoy writes it.
    Envoy(serde_json::Value),
}

/// A wasm plugin.
#[derive(Clone, Debug)]
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) module: PathBuf,
    /// JSON text; `None` for no configuration at all.
    pub(crate) config: Option<String>,
    pub(crate) failure_policy: FailurePolicy,
}

impl Parts {
    /// Reads the keys of a setup among those of `fields`.
    pub(crate) fn read(fields: &mut Fields<'_>, files: &Files) -> Option<Self> {
        let bootstrap = fields.get("bootstrap").map(|v| files.existing(&v));
        let listener = fields
            .get("listener")
            .map(|v| v.non_empty_string().map(str::to_owned));
        let filters = fields
            .get("plugins")
            .map(|v| v.list_of(|v| Filter::read(v, files)));
        let routes = fields.get("routes").map(|v| v.non_empty_list_of(route));
        let manager = fields.get("manager").map(|v| Some(tree::value(v.node())));
        let workers = fields
            .get("workers")
            .map(|v| v.integer(1..=64).and_then(|n| u32::try_from(n).ok()));
        let upstreams = fields.get("upstreams").map_or(Some(Vec::new()), |v| {
            let entries = v.entries()?;
            let read: Vec<_> = entries.iter().map(|(n, v)| Upstream::read(n, v)).collect();
            read.into_iter().collect()
        });
        if listener.is_some() && bootstrap.is_none() {
            return fields
                .value()
                .problem("has a listener without a bootstrap: leave it out");
        }
        Some(Self {
            bootstrap: match bootstrap {
                Some(file) => Some((file?, listener.map_or(Some(None), |l| l.map(Some))?)),
                None => None,
            },
            filters: optional(filters)?,
            routes: optional(routes)?,
            manager: optional(manager)?,
            workers: optional(workers)?,
            upstreams: upstreams?,
        })
    }

    /// These parts, and `base` where they say nothing; upstreams by their names.
    pub(crate) fn over(self, base: &Self) -> Self {
        let mut upstreams = base.upstreams.clone();
        for upstream in self.upstreams {
            match upstreams.iter_mut().find(|u| u.name == upstream.name) {
                Some(known) => *known = upstream,
                None => upstreams.push(upstream),
            }
        }
        // A scenario with its own kind of configuration leaves the file's kind behind.
        let makes = self.filters.is_some() || self.routes.is_some() || self.manager.is_some();
        let bootstrap = self.bootstrap.clone();
        Self {
            filters: self
                .filters
                .or_else(|| base.filters.clone().filter(|_| bootstrap.is_none())),
            routes: self
                .routes
                .or_else(|| base.routes.clone().filter(|_| bootstrap.is_none())),
            manager: self
                .manager
                .or_else(|| base.manager.clone().filter(|_| bootstrap.is_none())),
            bootstrap: bootstrap.or_else(|| base.bootstrap.clone().filter(|_| !makes)),
            workers: self.workers.or(base.workers),
            upstreams,
        }
    }

    /// The whole of it; problems are those of the scenario at `value`.
    pub(crate) fn complete(self, value: &Value<'_>) -> Option<Setup> {
        let workers = self.workers.unwrap_or(1);
        let upstreams = self.upstreams;
        let config = match self.bootstrap {
            Some((file, listener)) => {
                if self.filters.is_some() || self.routes.is_some() || self.manager.is_some() {
                    return value.problem(
                        "has a bootstrap beside plugins, routes or manager: a bootstrap brings its own",
                    );
                }
                Config::Bootstrap { file, listener }
            }
            None => {
                if self.filters.is_none() {
                    return value.problem(
                        "has nothing to test: give plugins or a bootstrap, here or at the top of the file",
                    );
                }
                if self.routes.is_none()
                    && let Some(arm) =
                        lost_arm(self.filters.as_deref().unwrap_or_default(), &upstreams)
                {
                    return value.problem(format!(
                        "arm {arm} of a split has no upstream, so its requests would go to the first one: add it to upstreams, or give routes"
                    ));
                }
                Config::Made {
                    filters: self.filters.unwrap_or_default(),
                    routes: self.routes.unwrap_or_else(|| default_routes(&upstreams)),
                    manager: self.manager,
                }
            }
        };
        if upstreams.is_empty() {
            return value
                .problem("has no upstreams: give at least one, such as `upstreams: {v1: {}}`");
        }
        Some(Setup {
            config,
            workers,
            upstreams,
        })
    }
}

impl Filter {
    fn read(value: &Value<'_>, files: &Files) -> Option<Self> {
        let mut fields = value.object()?;
        if let Some(filter) = fields.get("filter") {
            let mut inside = filter.object()?;
            inside.required("name")?.non_empty_string()?;
            inside.required("typed_config")?;
            inside.ignore_unknown();
            return Some(Self::Envoy(tree::value(filter.node())));
        }
        let name = fields
            .required("name")
            .and_then(|v| v.non_empty_string().map(str::to_owned));
        let module = match fields.get("module") {
            Some(module) => files.existing(&module),
            None => match &name {
                Some(name) => files.module(value, name),
                None => None,
            },
        };
        // A module of somebody's own may share a name with one of the pack.
        let known = match &name {
            Some(name) if !fields.has("module") => Pack::of_name(name),
            _ => None,
        };
        let inline = fields.get("config").map(|v| {
            v.object()?.ignore_unknown();
            plugin_config(&v, known, v.node())
        });
        let resource = fields
            .get("resource")
            .map(|v| v.non_empty_string().map(str::to_owned));
        let resource = optional(resource)?;
        let mut deployed_policy = None;
        let from_file = fields.get("configFile").map(|v| {
            let deployed = files.plugin(&v, resource.as_deref())?;
            deployed_policy = deployed.failure_policy;
            plugin_config(&v, known, &deployed.config)
        });
        if resource.is_some() && from_file.is_none() {
            return value
                .problem("has resource, the name of one in configFile, without configFile");
        }
        // What is deployed is what is tested.
        let unless_given = deployed_policy.unwrap_or(FailurePolicy::FailClosed);
        let failure_policy = fields.get("failurePolicy").map_or(Some(unless_given), |v| {
            v.one_of(&[
                ("FAIL_CLOSED", FailurePolicy::FailClosed),
                ("FAIL_OPEN", FailurePolicy::FailOpen),
                ("FAIL_RELOAD", FailurePolicy::FailReload),
            ])
        });
        let config = match (inline, from_file) {
            (Some(_), Some(_)) => {
                return value.problem("has config and configFile: keep one");
            }
            (Some(config), None) | (None, Some(config)) => Some(config?),
            (None, None) => None,
        };
        Some(Self::Plugin(Plugin {
            name: name?,
            module: module?,
            config,
            failure_policy: failure_policy?,
        }))
    }
}

/// A plugin's configuration as JSON text; the pack's own filters are asked whether
/// they would take it.
fn plugin_config(value: &Value<'_>, filter: Option<Pack>, config: &Node) -> Option<String> {
    let problems = filter.map_or(Vec::new(), |filter| filter.problems(config));
    for problem in &problems {
        value.problem::<()>(problem.to_string());
    }
    problems.is_empty().then(|| tree::text(config))
}

/// A route in Istio's words, as Envoy's JSON.
fn route(value: &Value<'_>) -> Option<serde_json::Value> {
    let mut fields = value.object()?;
    let to = fields.get("to");
    let to_header = fields.get("toClusterIn");
    let direct = fields.get("direct");
    let prefix = fields.get("prefix").map(|v| v.non_empty_string());
    let headers = fields
        .get("headers")
        .map_or(Some(Vec::new()), |v| super::traffic::headers(&v));
    let timeout = fields.get("timeout").map(|v| super::proto_duration(&v));
    let retries = fields.get("retries").map(|v| retry_policy(&v));
    let patch = fields.get("envoy").map(|v| tree::value(v.node()));
    let routed = direct.is_none();
    let mut route = match (to, to_header, direct) {
        (Some(to), None, None) => Route::to(to.non_empty_string()?),
        (None, Some(header), None) => Route::to_cluster_in(header.non_empty_string()?),
        (None, None, Some(direct)) => {
            let mut fields = direct.object()?;
            let body = fields.get("body").map_or(Some(""), |v| v.string());
            let status = fields.required("status")?.integer(200..=599)?;
            Route::direct(u16::try_from(status).ok()?, body?)
        }
        _ => {
            return value.problem("must say where to: give one of to, toClusterIn, direct");
        }
    };
    if let Some(prefix) = prefix {
        route = route.prefix(prefix?);
    }
    for (name, text) in headers? {
        route = route.when_header(name, text);
    }
    if !routed && (timeout.is_some() || retries.is_some()) {
        return value.problem("answers by itself: timeout and retries mean nothing here");
    }
    if let Some(timeout) = timeout {
        route = route.merge(json!({"route": {"timeout": timeout?}}));
    }
    if let Some(retries) = retries {
        route = route.retry(retries?);
    }
    if let Some(patch) = patch {
        route = route.merge(patch);
    }
    Some(route.into())
}

/// Istio's `HTTPRetry` as Envoy's `RetryPolicy`.
fn retry_policy(value: &Value<'_>) -> Option<serde_json::Value> {
    let mut fields = value.object()?;
    let attempts = fields.required("attempts").and_then(|v| v.integer(0..=100));
    let on = fields
        .get("retryOn")
        .map_or(Some("5xx,reset"), |v| v.non_empty_string());
    let per_try = fields
        .get("perTryTimeout")
        .map(|v| super::proto_duration(&v));
    let mut policy = json!({
        "num_retries": attempts?,
        "retry_on": on?,
    });
    if let Some(per_try) = per_try {
        policy["per_try_timeout"] = json!(per_try?);
    }
    Some(policy)
}

/// An arm of a split that the default routes lead nowhere. Those of rules, ramps and the
/// like are among a split's arms.
fn lost_arm(filters: &[Filter], upstreams: &[Upstream]) -> Option<String> {
    let configs = filters.iter().filter_map(|filter| match filter {
        Filter::Plugin(plugin) => {
            let config: serde_json::Value = serde_json::from_str(plugin.config.as_ref()?).ok()?;
            match Pack::of_name(&plugin.name)? {
                Pack::CanarySplit => Some(config),
                Pack::Meshpack => config.get("canary").cloned(),
                _ => None,
            }
        }
        Filter::Envoy(_) => None,
    });
    // Who steers by a header of one's own has routes of one's own.
    let steered = configs.filter(|config| {
        let header = config.get("header").and_then(serde_json::Value::as_str);
        header.is_none_or(|header| header.eq_ignore_ascii_case(STEERING_HEADER))
    });
    let list = |value: &serde_json::Value, key: &str| {
        let items = value.get(key).and_then(serde_json::Value::as_array);
        items.cloned().unwrap_or_default()
    };
    steered
        .flat_map(|config| list(&config, "splits"))
        .flat_map(|split| list(&split, "arms"))
        .filter_map(|arm| arm.get("value")?.as_str().map(str::to_owned))
        .find(|arm| !upstreams.iter().any(|upstream| upstream.name == *arm))
}

/// To the upstream that the steering header names, and else to the first.
fn default_routes(upstreams: &[Upstream]) -> Vec<serde_json::Value> {
    let steered = upstreams
        .iter()
        .skip(1)
        .map(|u| Route::to(&u.name).when_header(STEERING_HEADER, &u.name));
    let rest = upstreams.first().map(|u| Route::to(&u.name));
    steered.chain(rest).map(Into::into).collect()
}

fn optional<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    read.map_or(Some(None), |value| value.map(Some))
}

/// The folder of `file`, for relative paths in it.
pub(crate) fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
