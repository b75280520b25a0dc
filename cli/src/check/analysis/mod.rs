//! What configurations come to together: with the resource that carries them, with each
//! other, and with the routes, subsets and gateways in the files beside them.
//!
//! Every analysis looks at what the files say; what they do not have (a VirtualService in
//! another repository) is no finding.

mod attachment;
mod envoy_routes;
mod failing;
mod image;
mod mesh_routes;
mod overlap;
mod part;
mod patterns;
mod placement;
mod retries;
mod routes;
mod shadow;
mod splits;
mod stat_tags;
mod tree;
mod warned;

use std::collections::HashSet;

use super::code;
use super::file::{Checked, Other};
use super::finding::Finding;
use attachment::Attachment;
use part::Part;

/// Everything that is known: the plugins, and what lies beside them.
struct Landscape<'c, 'a> {
    plugins: Vec<Plugin<'c, 'a>>,
    others: &'c [Other<'a>],
    /// Istio's root namespace.
    root: &'c str,
}

/// A plugin, what it configures, and where it acts.
struct Plugin<'c, 'a> {
    checked: &'c Checked<'a>,
    /// None where no resource of Istio's carries it.
    attachment: Option<Attachment<'a>>,
    parts: Vec<Part<'c, 'a>>,
}

/// All findings about configurations that their filters take: one that is refused has
/// other worries.
pub(super) fn findings(checked: &[Checked<'_>], others: &[Other<'_>], root: &str) -> Vec<Finding> {
    let taken = checked.iter().filter(|checked| checked.taken);
    let plugins = taken.map(|checked| Plugin {
        checked,
        attachment: Attachment::of(checked),
        parts: Part::all_of(checked),
    });
    let landscape = Landscape {
        plugins: plugins.collect(),
        others,
        root,
    };
    let mut findings = Vec::new();
    for plugin in &landscape.plugins {
        failing::look(plugin, &mut findings);
        image::look(plugin, &mut findings);
        placement::look(plugin, &landscape, &mut findings);
        stat_tags::look(plugin, &landscape, &mut findings);
        for part in &plugin.parts {
            warned::look(part, &mut findings);
            splits::look(part, plugin, &mut findings);
            shadow::look(part, &mut findings);
            patterns::look(part, &mut findings);
            retries::look(part, &mut findings);
            routes::look(part, plugin, &landscape, &mut findings);
        }
    }
    overlap::look(&landscape, &mut findings);
    // The filter's own warning about what has a code of its own.
    let patterns: HashSet<_> = findings
        .iter()
        .filter(|finding| finding.code == &code::PATTERN)
        .map(|finding| (finding.file.clone(), finding.path.clone()))
        .collect();
    findings.retain(|finding| {
        finding.code != &code::WARNED
            || !patterns.contains(&(finding.file.clone(), finding.path.clone()))
    });
    findings
}
