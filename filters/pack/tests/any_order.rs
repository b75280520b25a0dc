//! Each filter and the pack, driven through their callbacks in any order, with any
//! answers of the host: `MESHPACK_ORDER_RUNS` runs, from `MESHPACK_SEED`.

use std::time::Duration;

use meshpack_authz_policy::AuthzPolicy;
use meshpack_canary_split::CanarySplit;
use meshpack_pack::Meshpack;
use meshpack_retry_budget::RetryBudget;
use meshpack_sdk::mock::MockHost;
use meshpack_sdk::{Filter, HostError, Runtime};
use meshpack_telemetry::Telemetry;

/// Calls that may fail.
const CALLS: [&str; 12] = [
    "header_pairs",
    "header",
    "add_header",
    "replace_header",
    "remove_header",
    "property",
    "shared_data",
    "set_shared_data",
    "define_metric",
    "http_call",
    "set_effective_context",
    "call_foreign_function",
];

/// Header names that filters look at, and some that they do not.
const NAMES: [&str; 20] = [
    ":path",
    ":method",
    ":authority",
    ":status",
    "x-user-id",
    "x-canary",
    "cookie",
    "authorization",
    "traceparent",
    "tracestate",
    "x-tenant",
    "x-envoy-attempt-count",
    "x-envoy-ratelimited",
    "x-meshpack-subset",
    "x-request-id",
    "grpc-status",
    "content-type",
    "x-forwarded-for",
    "x",
    "",
];

/// Attributes that filters read.
const ATTRIBUTES: [&[&str]; 14] = [
    &["source", "address"],
    &["destination", "address"],
    &["destination", "port"],
    &["response", "code"],
    &["response", "flags"],
    &["response", "code_details"],
    &["request", "duration"],
    &["request", "protocol"],
    &["connection", "uri_san_peer_certificate"],
    &["connection", "requested_server_name"],
    &["xds", "cluster_name"],
    &["xds", "listener_direction"],
    &["upstream", "request_attempt_count"],
    &["metadata"],
];

/// The input, taken from the front; zeros when it is used up.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken.to_vec()
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    fn headers(&mut self) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let count = self.byte() % 8;
        let pair = |input: &mut Self| (input.of(&NAMES).as_bytes().to_vec(), input.bytes());
        (count > 0).then(|| (1..count).map(|_| pair(self)).collect())
    }
}

fn install_functions() {
    let mut token = 0_u32;
    MockHost::foreign_function("expr_create", move |_| {
        token += 1;
        Ok(token.to_le_bytes().to_vec())
    });
    MockHost::foreign_function("expr_evaluate", |_| Err(HostError::InternalFailure));
    MockHost::foreign_function("expr_delete", |_| Ok(Vec::new()));
}

/// Roots and streams have few ids, so that they meet.
const ROOTS: u8 = 3;
const STREAMS: u8 = 6;

/// Runs the steps that `input` says. `configurations` are good ones; others are made
/// of the input's bytes.
///
/// # Panics
/// A guard let a request pass that no configuration is known for.
fn drive<F: Filter>(input: &[u8], callbacks: &[&str], configurations: &[&str]) {
    MockHost::reset();
    MockHost::set_time(Duration::from_secs(1_700_000_000));
    install_functions();
    let runtime = Runtime::<F>::in_module(callbacks);
    runtime.initialize();
    let mut input = Input(input);
    let mut configured = false;
    while !input.0.is_empty() {
        let step = input.byte();
        let root = u32::from(input.byte() % ROOTS) + 1;
        let stream = u32::from(input.byte() % STREAMS) + 10;
        match step % 20 {
            0 => runtime.on_context_create(root, 0),
            1 | 2 => runtime.on_context_create(stream, root),
            3 => {
                let text = input.of(configurations);
                MockHost::set_configuration(text);
                configured |= runtime.on_configure(root, text.len());
            }
            4 => {
                let text = String::from_utf8_lossy(&input.bytes()).into_owned();
                MockHost::set_configuration(&text);
                configured |= runtime.on_configure(root, text.len());
            }
            5 => runtime.on_tick(root),
            6 | 7 => {
                let action = runtime.on_request_headers(stream, step > 127);
                assert!(
                    !F::GUARDS || configured || action == 1,
                    "a request passed a guard without a configuration"
                );
            }
            8 | 9 => {
                runtime.on_response_headers(stream, step > 127);
            }
            10 => {
                runtime.on_response_trailers(stream);
            }
            11 => runtime.on_log(stream),
            12 => {
                runtime.on_done(if step > 127 { root } else { stream });
            }
            13 => runtime.on_delete(if step > 127 { root } else { stream }),
            14 => {
                let body = input.bytes();
                MockHost::set_callout_body(&body);
                let id = u32::from(input.byte() % 4);
                runtime.on_http_call_response(root, id, body.len());
            }
            15 => MockHost::set_headers(std::array::from_fn(|_| input.headers())),
            16 => MockHost::set_property(input.of(&ATTRIBUTES), input.bytes()),
            17 => {
                let status = u32::from(input.byte() % 13) + 1;
                let error = HostError::check(status).unwrap_err();
                MockHost::fail(input.of(&CALLS), error);
            }
            18 => CALLS.into_iter().for_each(MockHost::heal),
            _ => {
                MockHost::advance(Duration::from_millis(u64::from(input.byte()).pow(2)));
                if step > 127 {
                    MockHost::end_context(root);
                }
            }
        }
    }
}

const AUTHZ: &str = r#"{"policies":[{"metadata":{"name":"a"},"spec":{"action":"DENY","rules":[{"to":[{"operation":{"paths":["/a*"],"hosts":["a*"]}}]},{"when":[{"key":"request.headers[x-tenant]","values":["a*"]}]},{"when":[{"key":"request.auth.claims[a]","values":["a"]}]},{"from":[{"source":{"remoteIpBlocks":["10.0.0.0/8"]}}]}]}}]}"#;
const CANARY: &str = r#"{"splits":[{"name":"s","stickyBy":[{"header":"x-user-id"},{"cookie":"c"},{"claim":"sub"},"sourceIp"],"onMissingKey":"random","arms":[{"value":"v1","weight":50},{"value":"v2","weight":50}],"abort":{"arm":"v2","baseline":"v1"}}]}"#;
const RETRY: &str = r#"{"budgets":[{"name":"b","key":"cluster"}],"server":{"maxRetryPercent":20},"stopAmplification":true}"#;
const TELEMETRY: &str = r#"{"golden":{"enabled":true},"metrics":[{"name":"m_total","type":"counter","labels":{"t":"request.headers[\"x-tenant\"]"}}],"accessLog":{"sink":{"otlpHttp":{"cluster":"c"}}},"trace":{"propagate":"w3c","generateWhenMissing":true}}"#;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn no_order_of_callbacks_and_no_answer_of_the_host_panics() {
    let pack =
        format!(r#"{{"authz":{AUTHZ},"canary":{CANARY},"retry":{RETRY},"telemetry":{TELEMETRY}}}"#);
    let first = number("MESHPACK_SEED", 0x9e37_79b9_7f4a_7c15);
    for run in 0..number("MESHPACK_ORDER_RUNS", 20_000) {
        let seed = first.wrapping_add(run) | 1;
        // Xorshift (Marsaglia, 2003).
        let mut state = seed;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..8 {
            next();
        }
        let which = next() % 5;
        let input: Vec<u8> = (0..next() % 900).map(|_| (next() >> 32) as u8).collect();
        let outcome = std::panic::catch_unwind(|| match which {
            0 => drive::<AuthzPolicy>(&input, &["request_headers"], &[AUTHZ]),
            1 => drive::<CanarySplit>(
                &input,
                &["request_headers", "response_headers", "response_trailers"],
                &[CANARY],
            ),
            2 => drive::<RetryBudget>(
                &input,
                &["request_headers", "response_headers", "done"],
                &[RETRY],
            ),
            3 => drive::<Telemetry>(
                &input,
                &["request_headers", "log", "http_call_response", "done"],
                &[TELEMETRY],
            ),
            _ => drive::<Meshpack>(
                &input,
                &[
                    "request_headers",
                    "response_headers",
                    "response_trailers",
                    "log",
                    "done",
                ],
                &[&pack],
            ),
        });
        assert!(
            outcome.is_ok(),
            "filter {which}, MESHPACK_SEED={seed} MESHPACK_ORDER_RUNS=1"
        );
    }
}
