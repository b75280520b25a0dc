//! What happens when a plugin fails, against what its filter needs.

use meshpack_sdk::config::Node;
use meshpack_sdk::record::FailurePolicy;

use super::super::carried::either;
use super::super::code::{Code, FAILS_CLOSED, FAILS_OPEN, PHASE};
use super::super::file::{Holder, below};
use super::super::finding::Finding;
use super::Plugin;
use crate::filters::Filter;
use crate::yaml::Place;

pub(super) fn look(plugin: &Plugin<'_, '_>, findings: &mut Vec<Finding>) {
    let guards = plugin
        .parts
        .iter()
        .find(|part| part.filter.failure_policy() == FailurePolicy::Reload);
    // The pack needs what its parts need.
    let needs = guards.map_or(FailurePolicy::Open, |_| FailurePolicy::Reload);
    let (written, say): (_, Box<dyn Fn(&'static Code, String) -> Finding>) =
        match (&plugin.attachment, plugin.checked.holder) {
            (Some(attachment), _) => {
                let path = attachment.path_of("failStrategy");
                let written = attachment.plugin_field("failStrategy");
                phase(plugin, findings);
                (
                    Written::of_istio(written),
                    Box::new(move |code, message| {
                        attachment.finding(plugin.checked, code, &path, message)
                    }),
                )
            }
            (None, Holder::Envoy { plugin: place, .. }) => (
                Written::of_envoy(place),
                Box::new(move |code, message| in_envoy(plugin, place, code, message)),
            ),
            (None, Holder::Gateway { plugin: place }) => (
                Written::of_gateway(place),
                Box::new(move |code, message| in_gateway(plugin, place, "failOpen", code, message)),
            ),
            (None, _) => return,
        };
    match (needs, written) {
        (FailurePolicy::Reload, Written::Open) => {
            let filter = guards.map_or(Filter::AuthzPolicy, |part| part.filter);
            findings.push(say(
                &FAILS_OPEN,
                format!("lets requests pass when it fails, but {filter} guards"),
            ));
        }
        (_, Written::Closed(how)) => findings.push(say(
            &FAILS_CLOSED,
            format!("is {how}: write {}", needs.name()),
        )),
        _ => {}
    }
}

/// What a resource says about failing.
#[derive(Clone, Copy)]
enum Written {
    Open,
    Reload,
    /// With the way it is said.
    Closed(&'static str),
}

impl Written {
    fn of_istio(word: Option<&str>) -> Self {
        match word {
            Some("FAIL_OPEN") => Self::Open,
            Some("FAIL_RELOAD") => Self::Reload,
            Some(_) => Self::Closed("FAIL_CLOSE"),
            None => Self::Closed("missing, which is FAIL_CLOSE"),
        }
    }

    /// Envoy Gateway knows open and closed, nothing between.
    fn of_gateway(plugin: Place<'_>) -> Self {
        match plugin.get("failOpen").map(Place::node) {
            Some(Node::Bool(true)) => Self::Open,
            _ => Self::Reload,
        }
    }

    fn of_envoy(plugin: Place<'_>) -> Self {
        let policy = either(plugin, "failure_policy", "failurePolicy").and_then(Place::text);
        let open = either(plugin, "fail_open", "failOpen").map(Place::node);
        match policy {
            Some("FAIL_OPEN") => Self::Open,
            Some("FAIL_RELOAD") => Self::Reload,
            Some("FAIL_CLOSED") => Self::Closed("FAIL_CLOSED"),
            _ if open == Some(&Node::Bool(true)) => Self::Open,
            _ => Self::Closed("missing, which is FAIL_CLOSED"),
        }
    }
}

/// A finding about a field of a plugin of Envoy Gateway's.
pub(super) fn in_gateway(
    plugin: &Plugin<'_, '_>,
    place: Place<'_>,
    key: &str,
    code: &'static Code,
    message: String,
) -> Finding {
    let path = plugin.checked.path.trim_end_matches(".config");
    Finding {
        code,
        file: plugin.checked.file.to_owned(),
        position: place.locate(key),
        path: format!("{path}.{key}"),
        message,
    }
}

fn in_envoy(
    plugin: &Plugin<'_, '_>,
    place: Place<'_>,
    code: &'static Code,
    message: String,
) -> Finding {
    let key = ["failure_policy", "failurePolicy", "fail_open", "failOpen"]
        .into_iter()
        .find(|key| place.get(key).is_some());
    let path = plugin.checked.path.trim_end_matches("configuration.value");
    let path = path.trim_end_matches("configuration").trim_end_matches('.');
    Finding {
        code,
        file: plugin.checked.file.to_owned(),
        position: key.map_or_else(|| place.position(), |key| place.locate(key)),
        path: below(path, "failure_policy"),
        message,
    }
}

/// Where it stands among Istio's own filters.
fn phase(plugin: &Plugin<'_, '_>, findings: &mut Vec<Finding>) {
    let Some(attachment) = &plugin.attachment else {
        return;
    };
    let written = attachment
        .field("phase")
        .filter(|word| *word != "UNSPECIFIED_PHASE");
    let Some(written) = written else {
        // At the end, behind everything that may verify or refuse.
        return;
    };
    let wrong = plugin.parts.iter().find_map(|part| {
        let wanted = part.filter.istio_phase()?;
        // In the pack the guard decides: behind the verification of tokens.
        let late_enough = match wanted {
            "AUTHZ" => written != "AUTHN",
            _ => written == wanted || plugin.parts.len() > 1,
        };
        (!late_enough).then_some((part.filter, wanted))
    });
    if let Some((filter, wanted)) = wrong {
        findings.push(attachment.finding(
            plugin.checked,
            &PHASE,
            "spec.phase",
            format!("is {written}, but {filter} belongs into {wanted}"),
        ));
    }
}
