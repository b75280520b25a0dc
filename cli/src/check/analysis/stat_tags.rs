//! Labels that nothing takes out of the metrics' names.

use std::collections::BTreeSet;

use super::super::code::STAT_TAGS;
use super::super::file::{Holder, below};
use super::super::finding::Finding;
use super::{Landscape, Plugin};
use crate::stat_tags::Tags;
use crate::yaml::{self, Place};

pub(super) fn look(
    plugin: &Plugin<'_, '_>,
    landscape: &Landscape<'_, '_>,
    findings: &mut Vec<Finding>,
) {
    let mut tags = Tags::default();
    tags.add(plugin.checked.filter, &plugin.checked.open.node);
    let labels = tags.labels;
    match plugin.checked.holder {
        Holder::Envoy {
            document,
            bootstrap: true,
            ..
        } => {
            let known = tag_names(document);
            if let Some(message) = missing(&labels, &known) {
                let at = ["stats_config", "statsConfig"]
                    .into_iter()
                    .find(|key| document.get(key).is_some());
                findings.push(Finding {
                    code: &STAT_TAGS,
                    file: plugin.checked.file.to_owned(),
                    position: at.map_or_else(|| document.position(), |key| document.locate(key)),
                    path: below(&plugin.checked.resource_path, "stats_config.stats_tags"),
                    message,
                });
            }
        }
        Holder::Resource { .. } => {
            // Which proxies get which mesh configuration is not known; what no file of
            // all has is in none of them.
            let mut known = BTreeSet::new();
            let mut first = None;
            for other in landscape.others {
                let before = known.len();
                extra_stat_tags(other.document, &mut known);
                if known.len() > before && first.is_none() {
                    first = Some(other.file);
                }
            }
            if let (Some(file), Some(attachment), Some(message)) =
                (first, &plugin.attachment, missing(&labels, &known))
            {
                findings.push(attachment.finding(
                    plugin.checked,
                    &STAT_TAGS,
                    &attachment.path_of("pluginConfig"),
                    format!("{message} (extraStatTags: {file})"),
                ));
            }
        }
        _ => {}
    }
}

fn missing(labels: &[String], known: &BTreeSet<String>) -> Option<String> {
    let missing: Vec<_> = labels
        .iter()
        .filter(|label| !known.contains(*label))
        .collect();
    let names: Vec<_> = missing.iter().map(|label| label.as_str()).collect();
    (!names.is_empty()).then(|| format!("lacks the labels {}", names.join(", ")))
}

/// Names of a bootstrap's own tags.
fn tag_names(bootstrap: Place<'_>) -> BTreeSet<String> {
    let config = bootstrap
        .get("stats_config")
        .or(bootstrap.get("statsConfig"));
    let tags = config.and_then(|config| config.get("stats_tags").or(config.get("statsTags")));
    let tags = tags.into_iter().flat_map(Place::items);
    tags.filter_map(|tag| tag.get("tag_name").or(tag.get("tagName"))?.text())
        .map(str::to_owned)
        .collect()
}

/// Collects every `extraStatTags` below, also in configuration that stands in a string,
/// as in the config map `istio` and in the annotation `proxy.istio.io/config`.
fn extra_stat_tags(place: Place<'_>, known: &mut BTreeSet<String>) {
    for (key, value) in place.entries() {
        if key == "extraStatTags" {
            known.extend(value.items().filter_map(Place::text).map(str::to_owned));
        } else if key == "sidecar.istio.io/extraStatTags" {
            let names = value.text().unwrap_or_default().split(',');
            known.extend(names.map(|name| name.trim().to_owned()));
        } else if (key == "mesh" || key == "proxy.istio.io/config")
            && let Some(text) = value.text()
        {
            for document in yaml::parse(text).unwrap_or_default() {
                extra_stat_tags(document.root(), known);
            }
        } else {
            extra_stat_tags(value, known);
        }
    }
    for item in place.items() {
        extra_stat_tags(item, known);
    }
}
