//! W3C trace context: what passes, what is restarted, what is generated.
//!
//! The filter makes no span, so it never changes the parent of a valid context.

mod traceparent;
mod tracestate;

pub use traceparent::{TraceContext, Traceparent};
pub use tracestate::{MAX_MEMBERS, is_valid as is_valid_tracestate};

/// What to do about the trace headers of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Propagation {
    /// The context in force behind this proxy, if any.
    pub context: Option<TraceContext>,
    /// The `traceparent` to write; `None` leaves the header as it is.
    pub traceparent: Option<String>,
    /// Whether `tracestate` must go: it belongs to no valid context, or it
    /// breaks the grammar.
    pub drop_tracestate: bool,
}

/// Judges the trace headers of a request. `fresh` makes the context of a new
/// trace; it is asked only when one is needed, and answers `None` when requests
/// without a context are to stay without.
pub fn judge<'a>(
    traceparents: impl IntoIterator<Item = &'a [u8]>,
    tracestates: impl IntoIterator<Item = &'a [u8]>,
    fresh: impl FnOnce(Missing) -> Option<TraceContext>,
) -> Propagation {
    let mut traceparents = traceparents.into_iter();
    let (first, second) = (traceparents.next(), traceparents.next());
    let mut tracestates = tracestates.into_iter().peekable();
    let has_state = tracestates.peek().is_some();
    let parsed = match (first, second) {
        (Some(value), None) => Traceparent::parse(value),
        _ => None,
    };
    if let Some(parsed) = parsed {
        return Propagation {
            context: Some(parsed.context),
            traceparent: (!parsed.canonical).then(|| parsed.context.to_string()),
            drop_tracestate: has_state && !is_valid_tracestate(tracestates),
        };
    }
    let missing = if first.is_none() {
        Missing::Absent
    } else {
        Missing::Invalid
    };
    let context = fresh(missing);
    Propagation {
        context,
        traceparent: context.map(|context| context.to_string()),
        drop_tracestate: has_state,
    }
}

/// Why a request has no usable context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// No `traceparent` at all.
    Absent,
    /// One that is not valid, or several.
    Invalid,
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn fresh(_: Missing) -> Option<TraceContext> {
        TraceContext::new([1; 16], [2; 8], 3)
    }

    #[test]
    fn a_valid_context_passes_untouched() {
        let judged = judge([VALID], [&b"a=1"[..], b"b=2"], fresh);
        assert_eq!(judged.traceparent, None);
        assert!(!judged.drop_tracestate);
        assert!(judged.context.unwrap().sampled());
    }

    #[test]
    fn a_broken_tracestate_goes_and_the_trace_goes_on() {
        let judged = judge([VALID], [&b"A=1"[..]], fresh);
        assert_eq!(judged.traceparent, None);
        assert!(judged.drop_tracestate);
    }

    #[test]
    fn an_invalid_context_restarts_the_trace_without_its_state() {
        for parents in [vec![&b"x"[..]], vec![VALID, VALID], vec![&b""[..]]] {
            let judged = judge(parents, [&b"a=1"[..]], |missing| {
                assert_eq!(missing, Missing::Invalid);
                fresh(missing)
            });
            assert_eq!(
                judged.traceparent.unwrap(),
                "00-01010101010101010101010101010101-0202020202020202-03"
            );
            assert!(judged.drop_tracestate);
        }
    }

    #[test]
    fn a_missing_context_may_stay_missing_and_its_state_goes_all_the_same() {
        let judged = judge([], [&b"a=1"[..]], |missing| {
            assert_eq!(missing, Missing::Absent);
            None
        });
        assert_eq!(judged.traceparent, None);
        assert_eq!(judged.context, None);
        assert!(judged.drop_tracestate);
    }

    #[test]
    fn a_future_version_and_padding_are_written_as_version_00() {
        let future = b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-what";
        let padded = [b"\t ", VALID, b" "].concat();
        for (value, flags) in [(&future[..], "03"), (&padded[..], "01")] {
            let judged = judge([value], [], fresh);
            assert_eq!(
                judged.traceparent.unwrap(),
                format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}")
            );
        }
    }
}
