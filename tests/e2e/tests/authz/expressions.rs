//! `valuesRegex` means what native RBAC's `safe_regex` means since CVE-2026-73552,
//! byte by byte, and a value that is no text gets past nothing.

use meshpack_e2e::authz::expressions::Expression;
use meshpack_e2e::authz::random::Random;
use meshpack_e2e::authz::{
    DETAILS, PAYLOAD_HEADER, builders, config, filter, listener, metadata_header, native, policy,
};
use meshpack_harness::{
    Client, DEFAULT_VERSION, Envoy, EnvoyBuilder, EnvoyVersion, HttpFilter, Request, versions,
};
use serde_json::{Value, json};

/// Expressions, each with a rule of its own.
const EXPRESSIONS: usize = 150;
/// Values held against each.
const VALUES: usize = 20;
/// Before it, native RBAC reads expressions as UTF-8 and bytes that are not as
/// matching nothing (CVE-2026-73552).
const BYTES_SINCE: EnvoyVersion = EnvoyVersion::new(1, 39, 1);

/// One value held against one expression.
struct Case {
    number: usize,
    value: Vec<u8>,
}

/// A DENY policy with a rule per expression, asked for by path.
fn deny(key: &str, expressions: &[String]) -> Value {
    let rules: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(number, expression)| {
            json!({
                "to": [{"operation": {"paths": [format!("/{number}")]}}],
                "when": [{"key": key, "valuesRegex": [expression]}],
            })
        })
        .collect();
    policy("deny", "DENY", Value::Array(rules))
}

/// The filter, behind native RBAC that only notes what it would do.
async fn start(builder: EnvoyBuilder, policies: &[Value], native: bool) -> Envoy {
    let mut filters: Vec<HttpFilter> = Vec::new();
    if native {
        filters.extend(native::shadow(policies));
    }
    let mut quiet = config(policies);
    quiet["decisionLog"] = json!({"denied": false});
    filters.push(filter(&quiet).into());
    builder
        .listener(listener("in", filters))
        .start()
        .await
        .unwrap()
}

/// Whether native RBAC and the filter refuse.
async fn ask(client: &Client, request: Request) -> (bool, bool) {
    let answer = client.send(request).await.unwrap();
    assert!(matches!(answer.status, 200 | 403), "{}", answer.status);
    let native = answer.header("x-native-deny-shadow-engine-result") == Some("denied");
    (native, answer.status == 403)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_expression_takes_the_bytes_that_native_rbac_takes() {
    let seed = 20_261;
    let mut random = Random::new(seed);
    let expressions: Vec<Expression> = (0..EXPRESSIONS)
        .map(|_| Expression::random(&mut random, 3))
        .collect();
    let texts: Vec<String> = expressions.iter().map(Expression::text).collect();
    let policies = [deny("request.headers[x-v]", &texts)];
    let cases: Vec<Case> = (0..EXPRESSIONS * VALUES)
        .map(|case| {
            let number = case % EXPRESSIONS;
            let value = expressions[number].near(&mut random);
            Case { number, value }
        })
        .collect();
    // The newest version first: it says what is right on all of them.
    let mut all = versions().unwrap();
    all.sort_by_key(|version| (*version != DEFAULT_VERSION, *version));
    let mut expected: Option<Vec<bool>> = None;
    for version in all {
        let reads_bytes = version >= BYTES_SINCE;
        let builder = Envoy::builder().version(version);
        let envoy = start(builder, &policies, reads_bytes).await;
        let client = envoy.client("in");
        let mut answers = Vec::with_capacity(cases.len());
        for (at, case) in cases.iter().enumerate() {
            let request = Request::get(format!("/{}", case.number)).header("x-v", &case.value);
            let (native, ours) = ask(&client, request).await;
            let right = match &expected {
                _ if reads_bytes => native,
                Some(expected) => expected[at],
                None => continue,
            };
            assert_eq!(
                ours,
                right,
                "seed {seed}, {version}: {} on {:?}",
                texts[case.number],
                case.value.escape_ascii().to_string()
            );
            answers.push(right);
        }
        let matched = answers.iter().filter(|matched| **matched).count() * 100;
        let share = matched / answers.len().max(1);
        println!("{version}: {} compared, {share} % match", answers.len());
        assert!((15..=85).contains(&share), "{share} % match");
        expected.get_or_insert(answers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_feed_in_a_claim_never_unmatches_a_denial() {
    let seed = 77;
    let mut random = Random::new(seed);
    let expressions: Vec<Expression> = (0..60)
        .map(|_| Expression::random(&mut random, 3))
        .collect();
    let texts: Vec<String> = expressions.iter().map(Expression::text).collect();
    let policies = [deny("request.auth.claims[c]", &texts)];
    let envoy = start(Envoy::builder(), &policies, true).await;
    let client = envoy.client("in");
    let (mut stricter, mut matched) = (0, 0);
    for case in 0..1200 {
        let number = case % texts.len();
        let mut value = expressions[number].near(&mut random);
        if random.chance(50) && !value.is_empty() {
            let at = random.below(value.len());
            value[at] = b'\n';
        }
        // A claim is text.
        let Ok(value) = String::from_utf8(value) else {
            continue;
        };
        let payload = metadata_header(&json!({"c": value}));
        let request = Request::get(format!("/{number}")).header(PAYLOAD_HEADER, payload);
        let (native, ours) = ask(&client, request).await;
        let what = format!("seed {seed}: {} on {value:?}", texts[number]);
        matched += usize::from(native);
        if value.contains('\n') {
            assert!(ours || !native, "{what}");
            stricter += usize::from(ours && !native);
        } else {
            assert_eq!(ours, native, "{what}");
        }
    }
    println!("{matched} match natively, {stricter} more are refused");
    assert!(matched > 100 && stricter > 20, "{matched} {stricter}");
}

/// The key that reads a value, and the request that carries it there.
type Place = (&'static str, fn(&[u8]) -> Request);

/// Ways to send a value, each with the key that reads it.
fn places() -> [Place; 3] {
    fn header(value: &[u8]) -> Request {
        Request::get("/").header("x-role", value)
    }
    fn cookie(value: &[u8]) -> Request {
        Request::get("/").header("cookie", [b"a=b; role=", value].concat())
    }
    fn query(value: &[u8]) -> Request {
        let encoded: String = value.iter().map(|byte| format!("%{byte:02x}")).collect();
        Request::get(format!("/?a=b&role={encoded}"))
    }
    [
        ("request.headers[x-role]", header),
        ("request.cookies[role]", cookie),
        ("request.query[role]", query),
    ]
}

/// What a client can append to `admin` in each place.
fn appended(key: &str) -> Vec<Vec<u8>> {
    let printable = (0x21..=0xff_u8).filter(|byte| *byte != 0x7f);
    let of_query = (0..=0xff_u8).filter(|byte| *byte != 0x7f);
    let bytes: Vec<u8> = match key {
        "request.query[role]" => of_query.collect(),
        // A semicolon ends the cookie, a quote opens one that is unquoted.
        "request.cookies[role]" => printable.filter(|byte| !b";\"".contains(byte)).collect(),
        _ => printable.collect(),
    };
    let mut all: Vec<Vec<u8>> = bytes.into_iter().map(|byte| vec![byte]).collect();
    all.extend(["\u{e9}", "\u{2028}", "\u{1f600}"].map(|text| text.as_bytes().to_vec()));
    all.extend([&b"\xc3"[..], b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80"].map(<[u8]>::to_vec));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_gets_past_an_expression() {
    for builder in builders() {
        let mut builder = builder;
        for (number, (key, _)) in places().iter().enumerate() {
            let when = |list: &str| json!([{"when": [{"key": key, list: ["admin.*"]}]}]);
            for (name, action, list) in [
                ("deny", "DENY", "valuesRegex"),
                ("allow", "ALLOW", "notValuesRegex"),
            ] {
                let policies = [policy(name, action, when(list))];
                let name = format!("{name}-{number}");
                builder =
                    builder.listener(listener(&name, vec![filter(&config(&policies)).into()]));
            }
        }
        let envoy = builder.start().await.unwrap();
        for (number, (key, request)) in places().iter().enumerate() {
            for name in ["deny", "allow"] {
                let client = envoy.client(&format!("{name}-{number}"));
                let harmless = client.send(request(b"guest")).await.unwrap();
                assert_eq!(harmless.status, 200, "{key}");
                for appended in appended(key) {
                    let value = [b"admin", appended.as_slice()].concat();
                    let answer = client.send(request(&value)).await.unwrap();
                    let shown = value.escape_ascii().to_string();
                    assert_eq!(answer.status, 403, "{name} {key} {shown}");
                    let details = answer.header(DETAILS).unwrap_or_default();
                    assert!(details.starts_with("rbac_access_denied"), "{details}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_are_present() {
    // A lone `*`, which Istio writes as `.+` on paths.
    for builder in builders() {
        let deny = config(&[policy(
            "all",
            "DENY",
            json!([{"to": [{"operation": {"paths": ["*"]}}]}]),
        )]);
        let claim = config(&[policy(
            "claim",
            "DENY",
            json!([{"when": [{"key": "request.auth.claims[c]", "values": ["*"]}]}]),
        )]);
        let envoy = builder
            .listener(listener("path", vec![filter(&deny).into()]))
            .listener(listener("claim", vec![filter(&claim).into()]))
            .start()
            .await
            .unwrap();
        for byte in 0x80..=0xff_u8 {
            let mut raw = meshpack_harness::RawClient::connect(envoy.address("path"))
                .await
                .unwrap();
            let head = [b"GET /a", &[byte][..], b" HTTP/1.1\r\nhost: a\r\n\r\n"].concat();
            raw.send(head).await.unwrap();
            let limit = std::time::Duration::from_secs(5);
            let answer = raw.read_until(b"\r\n\r\n", limit).await.unwrap();
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(!answer.starts_with("HTTP/1.1 200"), "{byte}: {answer}");
        }
        for (value, status) in [("x", 403), ("x\ny", 403), ("\n", 403), ("", 200)] {
            let payload = metadata_header(&json!({"c": value}));
            let request = Request::get("/").header(PAYLOAD_HEADER, payload);
            let answer = envoy.client("claim").send(request).await.unwrap();
            assert_eq!(answer.status, status, "{value:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_many_steps_is_refused_and_counted() {
    let when = |list: &str, pattern: &str| json!([{"when": [{"key": "request.headers[x-v]", list: [pattern]}]}]);
    let deny = config(&[policy("deny", "DENY", when("valuesRegex", ".*a.{900}c"))]);
    let allow = config(&[policy(
        "allow",
        "ALLOW",
        when("notValuesRegex", ".*a.{900}c"),
    )]);
    let many: Vec<Value> = (0..4000)
        .map(|number| json!({"when": [{"key": "request.headers[x-v]", "valuesRegex": [format!(".*{number}x.*")]}]}))
        .collect();
    let many = config(&[policy("many", "DENY", Value::Array(many))]);
    let envoy = [("deny", &deny), ("allow", &allow), ("many", &many)]
        .into_iter()
        .fold(Envoy::builder(), |builder, (name, config)| {
            builder.listener(listener(name, vec![filter(config).into()]))
        })
        .start()
        .await
        .unwrap();
    let mut random = Random::new(9);
    let letters: Vec<u8> = (0..54_000).map(|_| random.pick(b"ab")).collect();
    let digits: Vec<u8> = (0..54_000).map(|_| random.pick(b"0123456789")).collect();
    let ask = |name: &str, value: &[u8]| {
        let client = envoy.client(name);
        let request = Request::get("/").header("x-v", value);
        async move { client.send(request).await.unwrap().status }
    };
    for (name, hostile) in [("deny", &letters), ("allow", &letters), ("many", &digits)] {
        for _ in 0..3 {
            assert_eq!(ask(name, hostile).await, 403, "{name}");
            assert_eq!(ask(name, b"harmless").await, 200, "{name}");
        }
    }
    assert_eq!(ask("many", b"17x").await, 403);
    let told = "would take more than 524288 steps of regular expressions";
    assert!(envoy.log_contains(told), "{}", envoy.log());
    let mut counted = 0;
    for _ in 0..100 {
        let stats = envoy.admin();
        let stats = stats.stats_starting_with("wasmcustom.meshpack_authz_undecided_total");
        counted = stats.await.unwrap().values().sum();
        if counted == 9 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(counted, 9);
}
