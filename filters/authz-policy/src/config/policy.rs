//! One AuthorizationPolicy resource with the filter's additions beside it.

use meshpack_sdk::config::Value;

use super::rule::read_rules;
use super::{Doubts, Scope, Settings, deny_with};
use crate::policy::model::{Action, Policy, Share};
use crate::policy::sort::sort;

const DRY_RUN: &str = "istio.io/dry-run";

pub(super) fn read_all(value: &Value<'_>, settings: &Settings) -> Option<Vec<Policy>> {
    let items = value.list()?;
    let mut policies = Vec::with_capacity(items.len());
    let mut complete = true;
    for item in &items {
        match read(item, settings) {
            Some(policy) => policies.push(policy),
            None => complete = false,
        }
    }
    report_repeated(value, &policies);
    complete.then_some(policies)
}

fn report_repeated(value: &Value<'_>, policies: &[Policy]) {
    let mut labels: Vec<String> = policies.iter().map(Policy::label).collect();
    sort(&mut labels);
    for pair in labels.windows(2) {
        if let [first, second] = pair
            && first == second
        {
            value.problem::<()>(format!(
                "policy {first} stands here more than once: give each its own name or namespace"
            ));
        }
    }
}

fn read(value: &Value<'_>, settings: &Settings) -> Option<Policy> {
    let mut fields = value.object()?;
    let version = fields.get("apiVersion").map_or(Some(()), |v| {
        v.one_of(&[
            ("security.istio.io/v1", ()),
            ("security.istio.io/v1beta1", ()),
        ])
    });
    let kind = fields
        .get("kind")
        .map_or(Some(()), |v| v.one_of(&[("AuthorizationPolicy", ())]));
    let metadata = fields.required("metadata").and_then(|v| Metadata::read(&v));
    // The controller's notes on the resource; they say nothing about requests.
    let _ = fields.get("status");
    let share = fields
        .get("enforcePercent")
        .map(|v| v.number(0.0..=100.0).map(|p| (v, Share::percent(p))));
    let deny_with = fields.get("denyWith").map(|v| (deny_with::read(&v), v));
    let namespace = metadata.as_ref().map_or("", |m| m.namespace.as_str());
    let spec = match fields.get("spec") {
        None => Some(Spec::default()),
        Some(v) => Spec::read(&v, settings, namespace),
    };
    let (metadata, spec) = (metadata?, spec?);
    version?;
    kind?;

    let dry_run = matches!(metadata.dry_run, Some((true, _)));
    if let Some((_, annotation)) = &metadata.dry_run
        && spec.action == Action::Audit
    {
        return annotation.problem(format!(
            "{DRY_RUN} does not go with action AUDIT, which never changes a decision"
        ));
    }
    let enforce = match share {
        None if dry_run => Share::NONE,
        None => Share::ALL,
        Some(read) => {
            let (place, share) = read?;
            if spec.action == Action::Audit {
                return place.problem("does not go with action AUDIT, which enforces nothing");
            }
            if dry_run {
                return place.problem(format!(
                    "does not go with the annotation {DRY_RUN}: true; enforcePercent: 0 is a dry run"
                ));
            }
            share
        }
    };
    let deny_with = match deny_with {
        None => None,
        Some((_, place)) if spec.action == Action::Audit => {
            return place.problem("does not go with action AUDIT, which denies nothing");
        }
        Some((answer, _)) => Some(answer?),
    };
    Some(Policy {
        namespace: metadata.namespace,
        name: metadata.name,
        action: spec.action,
        enforce,
        deny_with,
        rules: spec.rules,
    })
}

struct Metadata<'a> {
    namespace: String,
    name: String,
    dry_run: Option<(bool, Value<'a>)>,
}

impl<'a> Metadata<'a> {
    fn read(value: &Value<'a>) -> Option<Self> {
        let mut fields = value.object()?;
        let name = fields.required("name").and_then(|v| kubernetes_name(&v));
        let namespace = fields
            .get("namespace")
            .map_or(Some("default".to_owned()), |v| kubernetes_name(&v));
        let dry_run = fields.get("annotations").map_or(Some(None), |annotations| {
            let entries = annotations.entries()?;
            match entries.into_iter().find(|(key, _)| *key == DRY_RUN) {
                Some((_, v)) => parse_bool(&v).map(|dry_run| Some((dry_run, v))),
                None => Some(None),
            }
        });
        // uid, labels, managedFields and the like belong to the API server.
        fields.ignore_unknown();
        Some(Self {
            namespace: namespace?,
            name: name?,
            dry_run: dry_run?,
        })
    }
}

/// A name as the API server accepts it: a DNS-1123 subdomain.
fn kubernetes_name(value: &Value<'_>) -> Option<String> {
    let name = value.non_empty_string()?;
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.len() <= 253
        && name.bytes().all(inner)
        && name.starts_with(outer)
        && name.ends_with(outer)
    {
        Some(name.to_owned())
    } else {
        value.problem(format!(
            "{name:?} is not a Kubernetes name: use lower-case letters, digits, - and ."
        ))
    }
}

/// Go's `strconv.ParseBool`, which Istio reads the annotation with.
fn parse_bool(value: &Value<'_>) -> Option<bool> {
    match value.string()? {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        other => value.problem(format!("{other:?} is neither \"true\" nor \"false\"")),
    }
}

struct Spec {
    action: Action,
    rules: Vec<crate::policy::model::Rule>,
}

impl Default for Spec {
    /// `spec: {}`: an ALLOW policy that matches nothing.
    fn default() -> Self {
        Self {
            action: Action::Allow,
            rules: Vec::new(),
        }
    }
}

impl Spec {
    fn read(value: &Value<'_>, settings: &Settings, namespace: &str) -> Option<Self> {
        let mut fields = value.object()?;
        let action = match fields.get("action") {
            None => Some(Action::Allow),
            Some(v) if v.node() == &meshpack_sdk::config::Node::String("CUSTOM".into()) => v
                .problem(
                    "CUSTOM is not supported: it calls an external authorizer, which stays with Istio's own filter",
                ),
            Some(v) => v.one_of(&[
                ("ALLOW", Action::Allow),
                ("DENY", Action::Deny),
                ("AUDIT", Action::Audit),
            ]),
        };
        if let Some(v) = fields.get("provider") {
            v.problem::<()>("goes with action CUSTOM only, which is not supported: remove it");
        }
        read_target(&mut fields, &settings.doubts);
        let rules = fields.get("rules").map(|v| {
            let scope = Scope {
                settings,
                namespace,
                action: action.unwrap_or(Action::Allow),
            };
            (read_rules(&v, &scope), v)
        });
        let action = action?;
        let rules = match rules {
            None => Vec::new(),
            Some((rules, _)) => rules?,
        };
        if action == Action::Deny && rules.is_empty() {
            return value.problem(
                "action DENY without rules never denies: add an empty rule {} to deny every request",
            );
        }
        Some(Self { action, rules })
    }
}

/// Reads what selects workloads: checked as the webhook checks it, and without
/// effect here.
fn read_target(fields: &mut meshpack_sdk::config::Fields<'_>, doubts: &Doubts) {
    let selector = fields.get("selector");
    let target = fields.get("targetRef");
    let targets = fields.get("targetRefs");
    let given: Vec<&Value<'_>> = [&selector, &target, &targets]
        .into_iter()
        .flatten()
        .collect();
    if let [_, second, ..] = given.as_slice() {
        second.problem::<()>("only one of selector and targetRefs can be set");
    }
    for place in &given {
        doubts.note(
            place,
            "has no effect here: the proxy that loads this configuration is the workload",
        );
    }
    if let Some(selector) = &selector {
        check_selector(selector);
    }
    if let Some(target) = &target {
        check_target(target);
    }
    if let Some(targets) = &targets {
        targets.list_of(check_target);
    }
}

fn check_selector(selector: &Value<'_>) -> Option<()> {
    let labels = selector.object()?.get("matchLabels")?;
    for (key, value) in labels.entries()? {
        let text = value.string()?;
        if key.is_empty() {
            labels.problem::<()>("an empty label name is not supported");
        }
        if key.contains('*') || text.contains('*') {
            value.problem::<()>("a wildcard is not supported in a selector");
        }
    }
    Some(())
}

fn check_target(target: &Value<'_>) -> Option<()> {
    let mut fields = target.object()?;
    for key in ["kind", "name"] {
        fields.required(key)?.non_empty_string()?;
    }
    for key in ["group", "namespace", "sectionName"] {
        if let Some(value) = fields.get(key) {
            value.string()?;
        }
    }
    Some(())
}
