//! What the filter itself warns of at load, in a log that few read.

use meshpack_sdk::config::read_node;

use super::super::code::WARNED;
use super::super::finding::Finding;
use super::part::Part;
use crate::filters::Filter;

pub(super) fn look(part: &Part<'_, '_>, findings: &mut Vec<Finding>) {
    if part.filter != Filter::AuthzPolicy {
        return;
    }
    let read = read_node(part.node, |value| {
        meshpack_authz_policy::config::Config::read(value)
    });
    for warning in read.map(|config| config.warnings).unwrap_or_default() {
        // Istio selects the workload: what it needs for that is no mistake.
        let (path, message) = warning.split_once(": ").unwrap_or(("", &warning));
        if path.ends_with(".selector") || path.ends_with(".targetRefs") {
            continue;
        }
        findings.push(part.finding(&WARNED, path, message));
    }
}
