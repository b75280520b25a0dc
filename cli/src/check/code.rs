//! What `check` can find: one stable code for each kind of fault.

use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Works; could be better. No reason to fail.
    Hint,
    /// Does something else than it looks like.
    Warning,
    /// Is refused, or does not do at all what it is there for.
    Error,
}

impl Severity {
    /// Its word in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A kind of fault.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Code {
    /// `MP` and this number; never used for anything else.
    number: u16,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What is wrong, in a few words.
    pub(crate) title: &'static str,
    /// What happens in the mesh.
    pub(crate) effect: &'static str,
    /// What to do.
    pub(crate) remedy: &'static str,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MP{:03}", self.number)
    }
}

/// Declares the codes and the list of them all, in order.
macro_rules! codes {
    ($($name:ident = $number:literal $severity:ident $title:literal,
        effect: $effect:literal, remedy: $remedy:literal;)*) => {
        $(pub(crate) static $name: Code = Code {
            number: $number,
            severity: Severity::$severity,
            title: $title,
            effect: $effect,
            remedy: $remedy,
        };)*

        /// All codes.
        pub(crate) static ALL: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    REFUSED = 1 Error "refused by the filter, by Istio's schema or by Envoy",
        effect: "The proxy keeps what it had, or answers 500 where it never had anything.",
        remedy: "mend what the message names";
    WARNED = 2 Warning "the filter takes it and warns",
        effect: "It has less effect than it seems to have.",
        remedy: "write what is meant";
    NOTHING_OF_OURS = 3 Error "nothing here that check looks into",
        effect: "None: nothing was checked.",
        remedy: "name a file that carries a plugin configuration";

    FAILS_OPEN = 101 Error "a guard that lets everything pass when it fails",
        effect: "After a trap, or while its image cannot be had, every request passes unchecked.",
        remedy: "set failStrategy (Envoy: failure_policy) to FAIL_RELOAD";
    FAILS_CLOSED = 102 Warning "a failure that becomes an outage",
        effect: "After a trap, or while its image cannot be had, every request is answered with 503, until the proxy is restarted under FAIL_CLOSE.",
        remedy: "set failStrategy (Envoy: failure_policy) to FAIL_OPEN for what helps or observes, to FAIL_RELOAD for what guards";
    PHASE = 103 Warning "runs in another phase than it needs",
        effect: "Policies that run before tokens are verified see no claims; metrics of a filter that is not last miss what later filters change.",
        remedy: "set the phase that the message names";
    NEVER_RUNS = 104 Error "loaded where it never runs",
        effect: "The plugin looks right and does nothing: sidecars run CLIENT on calls they make and SERVER on calls they get, gateways run CLIENT only.",
        remedy: "set match: [{mode: CLIENT}] or [{mode: SERVER}] as the message says";
    BOTH_SIDES = 105 Warning "runs on both sides of a call",
        effect: "Callers and called both run it: a split is drawn twice, a request is counted twice.",
        remedy: "set match: [{mode: CLIENT}] or [{mode: SERVER}] as the message says";
    TWICE = 106 Warning "two plugins that do the same on one proxy",
        effect: "The second overwrites the first one's choice, counts again, or takes a second budget.",
        remedy: "keep one of them, or part them by selector and mode";
    OTHER_NAMESPACE = 107 Warning "callers that do not load it",
        effect: "A plugin acts in its own namespace, or everywhere from the root namespace; traffic of other callers and gateways takes the default route.",
        remedy: "put a plugin into the namespace of the gateway too, or one with a selector into the root namespace";
    TAG = 111 Hint "an image by its tag",
        effect: "Who can push the tag changes what the proxies run; proxies may run different modules.",
        remedy: "write the digest: meshpack bundle --pin does it";
    ZERO_DIGEST = 112 Error "a digest that is a placeholder",
        effect: "No image has it: the agent cannot load the plugin, and what then happens is its failStrategy.",
        remedy: "write the digest of the image: meshpack bundle --pin does it";
    STAT_TAGS = 121 Warning "labels that stay inside metric names",
        effect: "Prometheus sees one metric per combination of labels and no labels.",
        remedy: "add what `meshpack tags` prints for this configuration";

    NO_SUBSET = 201 Error "an arm without a destination",
        effect: "Requests of that arm are answered with 503.",
        remedy: "add the subset or the cluster, or name one that is there";
    NO_ROUTE = 202 Error "an arm without a route",
        effect: "Requests of that arm take the default route: the split says v2 and v1 answers.",
        remedy: "add a route that matches the steering header on the arm's value";
    DEFAULT_ROUTE = 203 Error "a default route that is not the first arm",
        effect: "Requests of the first arm, and all of them when the plugin is absent, go to another version.",
        remedy: "make the route without a match on the steering header lead to the first arm, or make its arm the first";
    SHADOWED = 204 Warning "an entry that an earlier one hides",
        effect: "The first entry that matches wins, so this one never gets a request.",
        remedy: "put the narrower entry first, or remove one";
    RAMP_WEIGHT = 205 Warning "a weight that a ramp replaces",
        effect: "The ramp alone decides the arm's share; the weight written beside it does nothing.",
        remedy: "remove the ramp to use the weight, or end the ramp with that weight";
    SPLIT_OF_ONE = 206 Hint "a split that sends everybody to one arm",
        effect: "All requests go to one arm, and there is nothing to compare it with.",
        remedy: "give another arm a weight, or remove the split";
    CLAIM_TOO_EARLY = 207 Warning "sticky by a claim before tokens are verified",
        effect: "In phase AUTHN there is no claim yet, so every request counts as one without.",
        remedy: "leave the phase out";

    PATTERN = 301 Warning "a pattern that never matches",
        effect: "A DENY with it denies nothing, an ALLOW allows nothing, a match takes no request.",
        remedy: "write what requests carry: * only at one end, {*} for a segment, no query, no blank";
    METHOD_CASE = 302 Warning "a method in small letters",
        effect: "Methods are compared as they come, and clients send capitals.",
        remedy: "write GET, POST, ...";

    NEVER_RETRIED = 401 Hint "a budget that allows no retry",
        effect: "Every failure passes to the caller at once.",
        remedy: "give a percentage, a floor or a number of retries above zero, or remove the budget";
    TIMEOUT_NOT_RETRIED = 402 Warning "a timeout per attempt that is never retried",
        effect: "A slow success becomes a 504 at once, where it would have been waited for.",
        remedy: "add gateway-error, 5xx or 504 to retryOn, or remove perTryTimeout";
    MARKER_RETRIED = 403 Error "retries what stopAmplification marks",
        effect: "The mark says that a hop further down has already retried; retrying it amplifies.",
        remedy: "remove envoy-ratelimited from retryOn, or stopAmplification";
}

/// The code that a person wrote.
pub(crate) fn named(text: &str) -> Option<&'static Code> {
    ALL.iter().copied().find(|code| code.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_in_order() {
        assert!(ALL.windows(2).all(|pair| pair[0].number < pair[1].number));
    }

    #[test]
    fn codes_are_found_by_name() {
        for code in ALL {
            assert_eq!(named(&code.to_string()), Some(*code));
        }
        assert_eq!(named("MP999"), None);
    }
}
