//! A scenario file: its meaning, and how it is read.

pub(crate) mod bounds;
pub(crate) mod expect;
mod files;

pub(crate) mod setup;
#[cfg(test)]
mod tests;
pub(crate) mod traffic;
pub(crate) mod upstream;

use std::path::PathBuf;
use std::time::Duration;

use meshpack_harness::EnvoyVersion;
use meshpack_sdk::config::{Fields, Node, Number, Value};

use expect::Expect;
use setup::{Parts, Setup};
use traffic::Traffic;
use upstream::Conduct;

pub(crate) use files::Files;

/// The scenarios of one file.
#[derive(Clone, Debug)]
pub(crate) struct Suite {
    pub(crate) title: Option<String>,
    /// The versions of Envoy that the file asks for; empty if it does not.
    pub(crate) envoy: Vec<EnvoyVersion>,
    /// The folder that Envoy runs in.
    pub(crate) folder: PathBuf,
    pub(crate) scenarios: Vec<Scenario>,
}

/// One Envoy, and what is done to it in turn.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) setup: Setup,
    pub(crate) steps: Vec<Step>,
}

/// Requests and what is expected of them.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    /// What upstreams do from here on, by name.
    pub(crate) upstreams: Vec<(String, Conduct)>,
    /// Waited for before anything is sent.
    pub(crate) pause: Duration,
    pub(crate) traffic: Option<Traffic>,
    pub(crate) expect: Expect,
}

impl Suite {
    /// Reads a file's document.
    pub(crate) fn read(value: &Value<'_>, files: &mut Files) -> Option<Self> {
        let mut fields = value.object()?;
        let title = fields.get("title").map_or(Some(None), |v| {
            v.non_empty_string().map(|t| Some(t.to_owned()))
        });
        let envoy = fields
            .get("envoy")
            .map_or(Some(Vec::new()), |v| versions(&v));
        let folder = fields
            .get("folder")
            .map_or_else(|| files.absolute_folder(), |v| files.existing(&v));
        if let Some(modules) = fields.get("modules") {
            files.modules = files.existing(&modules);
        }
        let parts = Parts::read(&mut fields, files);
        let scenarios = fields.required("scenarios").and_then(|v| {
            // Without the common part nothing sensible can be said about the rest.
            let parts = parts.as_ref()?;
            v.non_empty_list_of(|v| Scenario::read(v, parts, files))
        });
        let scenarios = scenarios?;
        for (index, scenario) in scenarios.iter().enumerate() {
            if scenarios
                .iter()
                .take(index)
                .any(|s| s.name == scenario.name)
            {
                return value.problem(format!(
                    "has two scenarios called {:?}: reports could not tell them apart",
                    scenario.name
                ));
            }
        }
        Some(Self {
            title: title?,
            envoy: envoy?,
            folder: folder?,
            scenarios,
        })
    }
}

impl Scenario {
    fn read(value: &Value<'_>, base: &Parts, files: &Files) -> Option<Self> {
        let mut fields = value.object()?;
        let name = name(&mut fields);
        let parts = Parts::read(&mut fields, files);
        let setup = parts.and_then(|parts| parts.over(base).complete(value));
        let upstreams: Vec<String> = setup
            .iter()
            .flat_map(|setup| &setup.upstreams)
            .map(|upstream| upstream.name.clone())
            .collect();
        let steps = match fields.get("steps") {
            Some(steps) => steps.non_empty_list_of(|v| {
                let mut fields = v.object()?;
                let name = self::name(&mut fields);
                let changes = fields.get("upstreams").map_or(Some(Vec::new()), |v| {
                    let entries = v.entries()?;
                    entries
                        .iter()
                        .map(|(n, v)| Some((upstream_name(v, n, &upstreams)?, Conduct::read(v)?)))
                        .collect()
                });
                let step = Step::read_fields(&mut fields, &upstreams, setup.as_ref());
                Some(Step {
                    name: name?,
                    upstreams: changes?,
                    ..step?
                })
            }),
            // A scenario of one step need not say so.
            None => Step::read_fields(&mut fields, &upstreams, setup.as_ref()).map(|step| {
                vec![Step {
                    name: name.clone().unwrap_or_default(),
                    ..step
                }]
            }),
        };
        Some(Self {
            name: name?,
            setup: setup?,
            steps: steps?,
        })
    }
}

impl Step {
    /// The keys that steps have, and scenarios of one step.
    fn read_fields(
        fields: &mut Fields<'_>,
        upstreams: &[String],
        setup: Option<&Setup>,
    ) -> Option<Self> {
        let pause = fields
            .get("pause")
            .map_or(Some(Duration::ZERO), |v| v.duration(Duration::ZERO));
        let traffic = fields
            .get("send")
            .map_or(Some(None), |v| Traffic::read(&v).map(Some));
        let expect = fields
            .get("expect")
            .map_or(Some(Expect::default()), |v| Expect::read(&v, upstreams));
        let (setup, pause, traffic, expect) = (setup?, pause?, traffic?, expect?);
        let object = fields.value();
        let bootstrap = matches!(setup.config, setup::Config::Bootstrap { .. });
        if traffic.is_none() && expect.needs_requests() {
            return object.problem("expects something of requests, but sends none: add send");
        }
        if let Some(traffic) = &traffic {
            if expect.sticky && traffic.users.is_none() {
                return object
                    .problem("expects sticky users, but has none: add send.users and say {user}");
            }
            if bootstrap && traffic.principal.is_some() {
                return object.problem(
                    "sends as a principal, which needs a listener made here: use plugins and routes instead of a bootstrap",
                );
            }
        }
        if traffic.is_none() && expect == Expect::default() && pause.is_zero() {
            return object.problem("does nothing: give send and expect");
        }
        Some(Self {
            name: String::new(),
            upstreams: Vec::new(),
            pause,
            traffic,
            expect,
        })
    }
}

fn name(fields: &mut Fields<'_>) -> Option<String> {
    let name = fields.required("name")?;
    name.non_empty_string().map(str::to_owned)
}

/// `1.40.0`, a list of versions, or `matrix`.
fn versions(value: &Value<'_>) -> Option<Vec<EnvoyVersion>> {
    let version = |v: &Value<'_>| {
        let text = v.string()?;
        text.parse::<EnvoyVersion>()
            .map_err(|error| v.problem::<()>(error.to_string()))
            .ok()
    };
    match value.node() {
        Node::String(word) if word == "matrix" => Some(meshpack_harness::MATRIX.to_vec()),
        Node::List(_) => value.non_empty_list_of(version),
        _ => Some(vec![version(value)?]),
    }
}

/// The name of an upstream that is there.
fn upstream_name(value: &Value<'_>, name: &str, upstreams: &[String]) -> Option<String> {
    // Without any, the problem is another one and already told.
    if upstreams.is_empty() || upstreams.iter().any(|upstream| upstream == name) {
        return Some(name.to_owned());
    }
    value.problem(format!(
        "there is no upstream {name:?}; there are {}",
        upstreams.join(", ")
    ))
}

/// Text, also where YAML made a number or a boolean of it.
fn scalar(value: &Value<'_>) -> Option<String> {
    match value.node() {
        Node::Bool(flag) => Some(flag.to_string()),
        Node::Number(Number::Integer(number)) => Some(number.to_string()),
        Node::Number(Number::Double(number)) => Some(number.to_string()),
        _ => value.string().map(str::to_owned),
    }
}

/// A duration as protobuf's JSON writes it: seconds with an `s`.
fn proto_duration(value: &Value<'_>) -> Option<String> {
    let duration = value.duration(Duration::ZERO)?;
    Some(format!("{}s", duration.as_secs_f64()))
}
