//! Budgets under which nothing is retried, or what must not be.

use meshpack_sdk::config::Node;

use super::super::code::{MARKER_RETRIED, NEVER_RETRIED, TIMEOUT_NOT_RETRIED};
use super::super::finding::Finding;
use super::part::Part;
use super::tree;
use crate::filters::Filter;

/// What of `retryOn` a timeout of an attempt, which is a 504 made by the proxy, is.
const TAKES_TIMEOUTS: &[&str] = &["5xx", "gateway-error", "504", "retriable-status-codes"];

pub(super) fn look(part: &Part<'_, '_>, findings: &mut Vec<Finding>) {
    if part.filter != Filter::RetryBudget {
        return;
    }
    let marks = *tree::get(part.node, "stopAmplification") == Node::Bool(true);
    let budgets = tree::items(tree::get(part.node, "budgets"));
    for (number, budget) in budgets.iter().enumerate() {
        let at = format!("budgets[{number}]");
        let zero = |path: &[&str]| {
            let node = path.iter().fold(budget, |node, key| tree::get(node, key));
            tree::number(node) == Some(0.0)
        };
        if zero(&["maxRetries"]) {
            findings.push(part.finding(
                &NEVER_RETRIED,
                &format!("{at}.maxRetries"),
                "is 0: no request is ever retried",
            ));
        } else if zero(&["budget", "percent"]) && zero(&["minRetryRate", "count"]) {
            findings.push(part.finding(
                &NEVER_RETRIED,
                &format!("{at}.budget.percent"),
                "is 0, and so is minRetryRate.count: no request is ever retried",
            ));
        }
        let retry_on = tree::get(budget, "retryOn");
        let conditions = tree::texts(retry_on);
        if tree::is_given(tree::get(budget, "perTryTimeout"))
            && tree::is_given(retry_on)
            && !conditions.iter().any(|word| TAKES_TIMEOUTS.contains(word))
        {
            findings.push(part.finding(
                &TIMEOUT_NOT_RETRIED,
                &format!("{at}.perTryTimeout"),
                format!(
                    "ends a slow attempt with 504, which retryOn ({}) does not take",
                    conditions.join(", ")
                ),
            ));
        }
        if marks
            && let Some(at_word) = conditions
                .iter()
                .position(|word| *word == "envoy-ratelimited")
        {
            findings.push(part.finding(
                &MARKER_RETRIED,
                &format!("{at}.retryOn[{at_word}]"),
                "is envoy-ratelimited, which stopAmplification sets to keep answers from being retried",
            ));
        }
    }
}
