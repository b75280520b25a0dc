//! What a split says about itself.

use super::super::code::{CLAIM_TOO_EARLY, RAMP_WEIGHT, SPLIT_OF_ONE};
use super::super::finding::Finding;
use super::part::Part;
use super::{Plugin, tree};
use crate::filters::Filter;

pub(super) fn look(part: &Part<'_, '_>, plugin: &Plugin<'_, '_>, findings: &mut Vec<Finding>) {
    if part.filter != Filter::CanarySplit {
        return;
    }
    let authn = plugin
        .attachment
        .as_ref()
        .is_some_and(|attachment| attachment.field("phase") == Some("AUTHN"));
    for (number, split) in tree::items(tree::get(part.node, "splits"))
        .iter()
        .enumerate()
    {
        let at = format!("splits[{number}]");
        let ramp = tree::get(split, "ramp");
        let ramped = tree::text(tree::get(ramp, "arm"));
        let arms = tree::items(tree::get(split, "arms"));
        for (number, arm) in arms.iter().enumerate() {
            let value = tree::text(tree::get(arm, "value"));
            let weight = tree::number(tree::get(arm, "weight"));
            if let (Some(value), Some(weight)) = (value, weight)
                && ramped == Some(value)
                && weight > 0.0
            {
                findings.push(part.finding(
                    &RAMP_WEIGHT,
                    &format!("{at}.arms[{number}].weight"),
                    format!("is {weight}, but the ramp decides the share of {value}: write 0"),
                ));
            }
        }
        let weighty = arms.iter().filter(|arm| {
            tree::number(tree::get(arm, "weight")).is_some_and(|weight| weight > 0.0)
        });
        let chosen =
            tree::is_given(tree::get(split, "rules")) || tree::is_given(tree::get(split, "force"));
        if weighty.count() < 2 && !tree::is_given(ramp) && !chosen {
            findings.push(part.finding(
                &SPLIT_OF_ONE,
                &format!("{at}.arms"),
                "fewer than two arms have a weight, and no ramp, rule or force gives them requests",
            ));
        }
        let sources = tree::items(tree::get(split, "stickyBy"));
        for (number, source) in sources.iter().enumerate() {
            if authn && tree::is_given(tree::get(source, "claim")) {
                findings.push(part.finding(
                    &CLAIM_TOO_EARLY,
                    &format!("{at}.stickyBy[{number}]"),
                    "is a claim, but the plugin runs in phase AUTHN, before tokens are verified",
                ));
            }
        }
    }
}
