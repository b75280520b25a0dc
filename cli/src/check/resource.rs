//! Istio's resources that carry a plugin, read as strictly as Istio's schema.

use meshpack_sdk::config::{Node, Value};

const KUBERNETES: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];
const TARGETS: &[&str] = &[
    "selector",
    "targetRefs",
    "targetRef",
    "phase",
    "priority",
    "match",
];
const PLUGIN: &[&str] = &[
    "url",
    "sha256",
    "imagePullPolicy",
    "imagePullSecret",
    "verificationKey",
    "pluginConfig",
    "pluginName",
    "failStrategy",
    "vmConfig",
    "type",
];

/// Kinds that `meshpack translate` reads.
pub(super) fn is_translatable(kind: &str) -> bool {
    crate::translate::reads_kind(kind)
}

/// Notes what Istio would refuse in a WasmPlugin, or silently ignore.
pub(super) fn wasm_plugin(value: &Value<'_>) -> Option<()> {
    let spec = header(value)?;
    known_keys(&spec, &[TARGETS, PLUGIN].concat());
    targets(&spec);
    plugin(&spec);
    Some(())
}

/// The same for a TrafficExtension.
pub(super) fn traffic_extension(value: &Value<'_>) -> Option<()> {
    let spec = header(value)?;
    known_keys(&spec, &[TARGETS, &["wasm", "lua"]].concat());
    targets(&spec);
    match (child(&spec, "wasm"), child(&spec, "lua")) {
        (Some(wasm), None) => {
            known_keys(&wasm, PLUGIN);
            plugin(&wasm);
            Some(())
        }
        (None, Some(_)) => spec.problem("carries Lua, not a wasm plugin"),
        _ => spec.problem("must have wasm or lua, and not both"),
    }
}

/// The part that all resources share; gives the spec.
fn header<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    known_keys(value, KUBERNETES);
    match child(value, "apiVersion") {
        Some(version) => {
            let _ = version.one_of(&[("extensions.istio.io/v1alpha1", ())]);
        }
        None => value
            .problem("has no apiVersion: write extensions.istio.io/v1alpha1")
            .unwrap_or(()),
    }
    let name = child(value, "metadata").and_then(|metadata| child(&metadata, "name"));
    match name {
        Some(name) => drop(name.non_empty_string()),
        None => value.problem("has no metadata.name").unwrap_or(()),
    }
    let Some(spec) = child(value, "spec") else {
        return value.problem("has no spec");
    };
    matches!(spec.node(), Node::Object(_))
        .then(|| spec.clone())
        .or_else(|| spec.problem(format!("is {}, must be an object", spec.node().kind())))
}

fn targets(spec: &Value<'_>) {
    if child(spec, "selector").is_some()
        && (child(spec, "targetRefs").is_some() || child(spec, "targetRef").is_some())
    {
        spec.problem::<()>("has both selector and targetRefs: Istio takes only one of them");
    }
    if let Some(selector) = child(spec, "selector") {
        known_keys(&selector, &["matchLabels"]);
        let labels = child(&selector, "matchLabels").and_then(|labels| labels.entries());
        for (_, label) in labels.into_iter().flatten() {
            let _ = label.string();
        }
    }
    for reference in child(spec, "targetRefs")
        .and_then(|list| list.list())
        .into_iter()
        .flatten()
    {
        known_keys(&reference, &["group", "kind", "name", "namespace"]);
    }
    if let Some(phase) = child(spec, "phase") {
        let _ = phase.one_of(&words(&["UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS"]));
    }
    if let Some(priority) = child(spec, "priority") {
        let _ = priority.integer(i64::from(i32::MIN)..=i64::from(i32::MAX));
    }
    for traffic in child(spec, "match")
        .and_then(|list| list.list())
        .into_iter()
        .flatten()
    {
        known_keys(&traffic, &["mode", "ports"]);
        if let Some(mode) = child(&traffic, "mode") {
            let _ = mode.one_of(&words(&[
                "UNDEFINED",
                "CLIENT",
                "SERVER",
                "CLIENT_AND_SERVER",
            ]));
        }
        for port in child(&traffic, "ports")
            .and_then(|list| list.list())
            .into_iter()
            .flatten()
        {
            known_keys(&port, &["number"]);
            match child(&port, "number") {
                Some(number) => drop(number.integer(1..=65535)),
                None => port.problem("has no number").unwrap_or(()),
            }
        }
    }
}

fn plugin(value: &Value<'_>) {
    match child(value, "url") {
        Some(url) => check_url(&url),
        None => value
            .problem(
                "has no url: name the module, such as oci://REGISTRY/canary-split@sha256:DIGEST",
            )
            .unwrap_or(()),
    }
    if let Some(sha) = child(value, "sha256")
        && let Some(text) = sha.string()
        && !text.is_empty()
        && !(text.len() == 64
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
    {
        sha.problem::<()>("is not a SHA-256: write 64 digits of 0-9 and a-f");
    }
    for (key, choices) in [
        (
            "imagePullPolicy",
            &["UNSPECIFIED_POLICY", "IfNotPresent", "Always"][..],
        ),
        ("failStrategy", &["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"]),
        ("type", &["UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK"]),
    ] {
        if let Some(word) = child(value, key) {
            let _ = word.one_of(&words(choices));
        }
    }
    if let Some(kind) = child(value, "type")
        && *kind.node() == Node::String("NETWORK".to_owned())
    {
        kind.problem::<()>("is NETWORK, but the filters are HTTP filters: leave it out");
    }
    if let Some(config) = child(value, "pluginConfig")
        && !matches!(config.node(), Node::Object(_))
    {
        let kind = config.node().kind();
        config.problem::<()>(format!("is {kind}, must be an object"));
    }
}

fn check_url(url: &Value<'_>) {
    let Some(text) = url.non_empty_string() else {
        return;
    };
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, None | Some("oci" | "http" | "https" | "file")) {
        url.problem::<()>(format!(
            "{text:?} has a scheme that Istio does not know: use oci, http, https or file"
        ));
    }
}

fn words<'a>(words: &[&'a str]) -> Vec<(&'a str, ())> {
    words.iter().map(|word| (*word, ())).collect()
}

/// The value under a key of an object, without the accounting of
/// [`meshpack_sdk::config::Fields`].
fn child<'a>(value: &Value<'a>, key: &str) -> Option<Value<'a>> {
    let Node::Object(_) = value.node() else {
        return None;
    };
    let entries = value.entries()?;
    let (_, found) = entries.into_iter().find(|(name, _)| *name == key)?;
    (*found.node() != Node::Null).then_some(found)
}

fn known_keys(value: &Value<'_>, known: &[&str]) {
    for (key, entry) in value.entries().into_iter().flatten() {
        if !known.contains(&key) {
            entry.problem::<()>(format!(
                "unknown key; known keys here: {}",
                known.join(", ")
            ));
        }
    }
}
