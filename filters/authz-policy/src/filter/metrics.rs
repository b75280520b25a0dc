//! Counters per decision and policy.

use std::cell::Cell;

use meshpack_sdk::metrics::{Counter, label};

use crate::policy::engine::{Outcome, PolicyRef, PolicySet, Verdict};
use crate::record::{REQUESTS, SHADOW, UNDECIDED};

/// Longest policy label: a namespace (63), a slash and a name (253).
const LABEL_BYTES: usize = 320;

/// The counters. One exists from the first time it is counted, so thousands of
/// policies that never match cost Envoy nothing.
pub(crate) struct Metrics {
    /// Allowed and denied, for requests that no policy decided and then for
    /// each policy.
    requests: Vec<[Slot; 2]>,
    shadow: Vec<[Slot; 2]>,
    undecided: Slot,
}

/// Undefined, defined, or refused by the host.
type Slot = Cell<Option<Result<Counter, ()>>>;

impl Metrics {
    pub(crate) fn new(policies: &PolicySet) -> Self {
        let slots = || {
            (0..=policies.policies().len())
                .map(|_| [Cell::new(None), Cell::new(None)])
                .collect()
        };
        Self {
            requests: slots(),
            shadow: slots(),
            undecided: Cell::new(None),
        }
    }

    /// Counts a request whose regular expressions took too many steps; true for
    /// the first.
    pub(crate) fn count_undecided(&self) -> bool {
        let known = self.undecided.get();
        let counter = known.unwrap_or_else(|| {
            let defined = Counter::define(UNDECIDED.name).map_err(drop);
            self.undecided.set(Some(defined));
            defined
        });
        if let Ok(counter) = counter {
            counter.add(1);
        }
        known.is_none()
    }

    /// Counts a decision and what policies that were not enforced would have
    /// done.
    pub(crate) fn count(&self, policies: &PolicySet, outcome: &Outcome) {
        let (denied, rule) = match outcome.verdict {
            Verdict::Allow(rule) => (false, rule),
            Verdict::Deny(rule) => (true, rule),
        };
        let policy = rule
            .and_then(|rule| policies.policy_of(rule))
            .map(|(number, _)| number);
        add(&self.requests, REQUESTS.name, policies, policy, denied);
        for shadow in &outcome.shadow {
            add(
                &self.shadow,
                SHADOW.name,
                policies,
                shadow.policy,
                shadow.denies,
            );
        }
    }
}

fn add(
    slots: &[[Slot; 2]],
    metric: &str,
    policies: &PolicySet,
    policy: Option<PolicyRef>,
    denied: bool,
) {
    let row = policy.map_or(0, |policy| policy.0 as usize + 1);
    let Some(slot) = slots.get(row).and_then(|row| row.get(usize::from(denied))) else {
        return;
    };
    let counter = slot.get().unwrap_or_else(|| {
        let defined = define(metric, policies, policy, denied);
        slot.set(Some(defined));
        defined
    });
    if let Ok(counter) = counter {
        counter.add(1);
    }
}

fn define(
    metric: &str,
    policies: &PolicySet,
    policy: Option<PolicyRef>,
    denied: bool,
) -> Result<Counter, ()> {
    let decision: &[u8] = if denied { b"deny" } else { b"allow" };
    let policy = policy.and_then(|number| policies.policy(number));
    let policy = policy.map_or("none".to_owned(), |policy| {
        format!("{}/{}", policy.namespace, policy.name)
    });
    let labels = [("decision", decision), ("authz_policy", policy.as_bytes())];
    let name = label::stat_name(metric, labels, LABEL_BYTES);
    Counter::define(&name)
        .map_err(|error| log::error!("authz_policy: counter {name} is not counted: {error}"))
}
