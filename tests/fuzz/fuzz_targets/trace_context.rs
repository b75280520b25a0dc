//! Trace headers of a client: what goes on is valid, whatever came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshpack_telemetry::policy::trace::{TraceContext, Traceparent, is_valid_tracestate, judge};

fuzz_target!(|bytes: &[u8]| {
    // A value a line; the first byte says how many of them are traceparents.
    let Some((parents, rest)) = bytes.split_first() else {
        return;
    };
    let values: Vec<&[u8]> = rest.split(|byte| *byte == b'\n').collect();
    let (parents, states) = values.split_at(usize::from(parents % 3).min(values.len()));
    let mut restarted = false;
    let judged = judge(parents.iter().copied(), states.iter().copied(), |_| {
        restarted = true;
        TraceContext::new([1; 16], [2; 8], 1)
    });
    let context = judged.context.expect("a fresh context was to be had");
    if let Some(written) = &judged.traceparent {
        let read = Traceparent::parse(written.as_bytes()).expect("what is written is valid");
        assert!(read.canonical && read.context == context);
    }
    if restarted {
        assert!(judged.traceparent.is_some() && judged.drop_tracestate != states.is_empty());
    } else {
        let [only] = parents else {
            panic!("{} traceparents were taken for valid", parents.len());
        };
        assert_eq!(
            Traceparent::parse(only).map(|read| read.context),
            Some(context)
        );
        let valid = is_valid_tracestate(states.iter().copied());
        assert_eq!(judged.drop_tracestate, !valid);
    }
});
