//! Configurations in a running Envoy: refused ones, large ones, new ones.

use std::time::Duration;

use meshpack_e2e::authz::{builders, config, filter, policy};
use meshpack_e2e::undisturbed;
use meshpack_harness::{Envoy, Listener, Request, Route, Swap, WasmFilter, wasm_module};
use serde_json::{Value, json};

fn with_spec(spec: Value) -> Value {
    json!({"policies": [{"metadata": {"name": "p"}, "spec": spec}]})
}

fn with_source(source: Value) -> Value {
    with_spec(json!({"rules": [{"from": [{"source": source}]}]}))
}

fn with_operation(operation: Value) -> Value {
    with_spec(json!({"rules": [{"to": [{"operation": operation}]}]}))
}

fn with_when(when: Value) -> Value {
    with_spec(json!({"rules": [{"when": [when]}]}))
}

/// Bad configurations, and the path that the log must name.
fn bad() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"polices": []}), "polices: unknown key"),
        (json!({}), "has no policies, so every request would pass"),
        (json!({"policies": []}), "policies: has no policies"),
        (
            with_when(json!({"key": "request.headers[a][b]", "values": ["x"]})),
            "when[0].key: \"request.headers[a][b]\" can never match",
        ),
        (
            with_operation(json!({"paths": ["admin"]})),
            "operation.paths[0]: \"admin\" can never match",
        ),
        (
            with_source(json!({"principals": ["spiffe://td/ns/a/sa/b"]})),
            "source.principals[0]: \"spiffe://td/ns/a/sa/b\" can never match",
        ),
        (
            json!({"policies": {}}),
            "policies: is an object, must be a list",
        ),
        (
            json!({"policies": [{}]}),
            "policies[0].metadata: is required",
        ),
        (
            json!({"policies": [{"metadata": {}}]}),
            "policies[0].metadata.name: is required",
        ),
        (
            json!({"policies": [{"metadata": {"name": "A"}}]}),
            "policies[0].metadata.name: \"A\"",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a"}, "kind": "X"}]}),
            "policies[0].kind: ",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a"}, "apiVersion": "v9"}]}),
            "policies[0].apiVersion: ",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a"}}, {"metadata": {"name": "a"}}]}),
            "policies: policy default/a stands here more than once",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a"}, "enforcePercent": -1}]}),
            "policies[0].enforcePercent: ",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a"}, "denyWith": {"status": 99}}]}),
            "policies[0].denyWith.status: ",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a"}, "denyWith": {"headers": {"a": "\n"}}}]}),
            "policies[0].denyWith.headers.a: ",
        ),
        (
            json!({"policies": [{"metadata": {"name": "a", "annotations": {"istio.io/dry-run": "x"}}}]}),
            "policies[0].metadata.annotations[\"istio.io/dry-run\"]: ",
        ),
        (json!({"pathMatching": "lax"}), "pathMatching: "),
        (json!({"typedClaims": 1}), "typedClaims: is a number"),
        (json!({"splitHeaders": [""]}), "splitHeaders[0]: "),
        (
            json!({"directRemoteIp": {"filterState": ""}}),
            "directRemoteIp.filterState: ",
        ),
        (
            json!({"decisionLog": {"allowedPercent": 101}}),
            "decisionLog.allowedPercent: ",
        ),
        (json!({"explain": true}), "explain: "),
        (
            json!({"trustDomainAliases": [""]}),
            "trustDomainAliases[0]: ",
        ),
        (
            with_spec(json!({"action": "CUSTOM"})),
            "policies[0].spec.action: CUSTOM is not supported",
        ),
        (
            with_spec(json!({"action": "DENY"})),
            "policies[0].spec: action DENY without rules",
        ),
        (
            with_spec(json!({"provider": {"name": "x"}})),
            "policies[0].spec.provider: ",
        ),
        (
            with_spec(json!({"rules": [null]})),
            "policies[0].spec.rules[0]: ",
        ),
        (
            with_spec(json!({"rules": [{"from": []}]})),
            "policies[0].spec.rules[0].from: is empty",
        ),
        (
            with_spec(json!({"rules": [{"from": [{"source": {}}]}]})),
            "policies[0].spec.rules[0].from[0].source: is empty",
        ),
        (
            with_spec(json!({"selector": {}, "targetRefs": [{"kind": "K", "name": "n"}]})),
            "policies[0].spec.targetRefs: ",
        ),
        (
            with_source(json!({"ipBlocks": ["10.0.0.0/8"]})),
            "policies[0].spec.rules[0].from[0].source.ipBlocks[0]: needs the address",
        ),
        (
            with_source(json!({"remoteIpBlocks": ["10.0.0/8"]})),
            "source.remoteIpBlocks[0]: \"10.0.0/8\" is not an IP address or CIDR",
        ),
        (
            with_source(json!({"serviceAccounts": ["*"]})),
            "source.serviceAccounts[0]: ",
        ),
        (
            with_source(json!({"serviceAccounts": ["a"], "principals": ["b"]})),
            "policies[0].spec.rules[0].from[0].source: serviceAccounts",
        ),
        (
            with_source(json!({"trustDomains": ["a/b"]})),
            "source.trustDomains[0]: ",
        ),
        (
            with_source(json!({"principal": ["a"]})),
            "source.principal: unknown key",
        ),
        (
            with_operation(json!({"ports": ["http"]})),
            "operation.ports[0]: ",
        ),
        (
            with_operation(json!({"ports": [80]})),
            "operation.ports[0]: is a number, must be a string",
        ),
        (
            with_operation(json!({"paths": ["/{id}"]})),
            "operation.paths[0]: ",
        ),
        (
            with_operation(json!({"paths": ["/{**}/{*}"]})),
            "operation.paths[0]: ",
        ),
        (
            with_operation(json!({"methods": [""]})),
            "operation.methods[0]: must not be empty",
        ),
        (
            with_when(json!({"key": "request.header[x]", "values": ["a"]})),
            "when[0].key: ",
        ),
        (
            with_when(json!({"key": "request.headers[x]"})),
            "policies[0].spec.rules[0].when[0]: ",
        ),
        (
            with_when(json!({"key": "source.ip", "values": ["1.1.1.1"]})),
            "when[0].values[0]: ",
        ),
        (
            with_when(json!({"key": "destination.port", "values": ["x"]})),
            "when[0].values[0]: ",
        ),
        (
            with_when(json!({"key": "destination.labels[v]", "values": ["x"]})),
            "when[0].key: ",
        ),
        (
            with_when(json!({"key": "request.query[x]", "valuesRegex": ["["]})),
            "when[0].valuesRegex[0]: ",
        ),
        (
            with_when(json!({"key": "request.query[x]", "valuesRegex": ["a{1000}{1000}"]})),
            "when[0].valuesRegex[0]: ",
        ),
    ]
}

fn deny(path: &str) -> Value {
    config(&[policy(
        "deny",
        "DENY",
        json!([{"to": [{"operation": {"paths": [path]}}]}]),
    )])
}

async fn swappable(config: &Value) -> Envoy {
    Envoy::builder()
        .listener(
            Listener::new("in")
                .swappable_filter("authz_policy", filter(config))
                .route(Route::direct(200, "")),
        )
        .start()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_bad_configurations_are_refused_and_the_old_one_stays() {
    let bad = bad();
    assert!(bad.len() >= 40, "{}", bad.len());
    let envoy = swappable(&deny("/a")).await;
    for (config, line) in &bad {
        let before = envoy.log().len();
        let swap = envoy
            .swap_filter_config("authz_policy", filter(config))
            .await
            .unwrap();
        assert_eq!(swap, Swap::Rejected, "{config}");
        let log = envoy.log();
        // Several configurations have their mistake in the same place.
        let mut lines = log[before..]
            .lines()
            .filter(|line| line.contains("authz_policy: config: "));
        assert!(lines.any(|l| l.contains(line)), "no {line:?} for {config}");
        assert_eq!(envoy.client("in").get("/a").await.unwrap().status, 403);
    }
    let swap = envoy
        .swap_filter_config("authz_policy", filter(&deny("/b")))
        .await
        .unwrap();
    assert_eq!(swap, Swap::Accepted);
    assert_eq!(envoy.client("in").get("/a").await.unwrap().status, 200);
    assert_eq!(envoy.client("in").get("/b").await.unwrap().status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_stops_envoy_at_its_start() {
    for builder in builders() {
        let module = wasm_module("authz_policy").unwrap();
        let broken = WasmFilter::new("authz_policy", module).config_text("{\"policies\": [{]}");
        let error = builder
            .listener(
                Listener::new("in")
                    .filter(broken)
                    .route(Route::direct(200, "")),
            )
            .start()
            .await
            .err()
            .expect("to be refused");
        assert!(
            error
                .log()
                .contains("authz_policy: config: is not valid JSON"),
            "{}",
            error.log()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blank_configuration_does_not_replace_a_guarding_one() {
    for builder in builders() {
        let envoy = builder
            .listener(
                Listener::new("in")
                    .swappable_filter("authz_policy", filter(&deny("/a")))
                    .route(Route::direct(200, "")),
            )
            .start()
            .await
            .unwrap();
        let module = || wasm_module("authz_policy").unwrap();
        for blank in ["", " ", "\n\t", "{}", "null", r#"{"policies": []}"#] {
            let blank = WasmFilter::new("authz_policy", module()).config_text(blank);
            let swap = envoy.swap_filter_config("authz_policy", blank).await;
            assert_eq!(swap.unwrap(), Swap::Rejected);
            assert_eq!(envoy.client("in").get("/a").await.unwrap().status, 403);
        }
        let absent = WasmFilter::new("authz_policy", module());
        let swap = envoy.swap_filter_config("authz_policy", absent).await;
        assert_eq!(swap.unwrap(), Swap::Rejected);
        assert_eq!(envoy.client("in").get("/a").await.unwrap().status, 403);
        let meant = WasmFilter::new("authz_policy", module()).config_text(r#"{"allowAll": true}"#);
        let swap = envoy.swap_filter_config("authz_policy", meant).await;
        assert_eq!(swap.unwrap(), Swap::Accepted);
        assert_eq!(envoy.client("in").get("/a").await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_struct_works_as_text_does() {
    let module = wasm_module("authz_policy").unwrap();
    let filter = WasmFilter::new("authz_policy", module).config_struct(&deny("/a"));
    let envoy = Envoy::builder()
        .listener(
            Listener::new("in")
                .filter(filter)
                .route(Route::direct(200, "")),
        )
        .start()
        .await
        .unwrap();
    assert_eq!(envoy.client("in").get("/a").await.unwrap().status, 403);
    assert_eq!(envoy.client("in").get("/b").await.unwrap().status, 200);
}

/// Policies as a large mesh has them: a path, a method and a caller each.
fn many(count: usize) -> Value {
    let policies: Vec<Value> = (0..count)
        .map(|number| {
            policy(
                &format!("p{number}"),
                "ALLOW",
                json!([{
                    "from": [{"source": {"principals": [format!("cluster.local/ns/n{number}/sa/app")]}}],
                    "to": [{"operation": {"methods": ["GET"], "paths": [format!("/service/{number}/*")]}}],
                    "when": [{"key": "request.headers[x-tenant]", "notValues": ["none"]}]
                }]),
            )
        })
        .chain([policy("open", "ALLOW", json!([{"to": [{"operation": {"paths": ["/open"]}}]}]))])
        .collect();
    json!({"policies": policies, "decisionLog": {"denied": false}})
}

/// Resident memory of the process, in bytes.
fn resident(envoy: &Envoy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", envoy.pid().unwrap())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

/// Processor time that the process has used: on a busy machine the clock on the
/// wall says more about the neighbours.
fn processor_time(envoy: &Envoy) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", envoy.pid().unwrap())).unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    // Fields 14 and 15, in ticks of 10 ms, counted from behind the name.
    let ticks = after_name.split_whitespace().skip(11).take(2);
    Duration::from_millis(
        10 * ticks
            .map(|ticks| ticks.parse::<u64>().unwrap())
            .sum::<u64>(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_policies_load_within_a_second_and_64_megabytes() {
    undisturbed(attempt_ten_thousand_policies_load_within_a_second_and_64_megabytes).await;
}

async fn attempt_ten_thousand_policies_load_within_a_second_and_64_megabytes() {
    // Envoy configures a plugin in three VMs here: to try it out, on the main
    // thread and on its one worker.
    const VMS: u32 = 3;
    let envoy = swappable(&many(0)).await;
    // Warm: the second load of a module is compiled already.
    let swap = envoy
        .swap_filter_config("authz_policy", filter(&many(1)))
        .await
        .unwrap();
    assert_eq!(swap, Swap::Accepted);
    let (memory, time) = (resident(&envoy), processor_time(&envoy));
    let swap = envoy
        .swap_filter_config("authz_policy", filter(&many(10_000)))
        .await
        .unwrap();
    assert_eq!(swap, Swap::Accepted);
    let took = (processor_time(&envoy) - time) / VMS;
    let client = envoy.client("in");
    assert_eq!(client.get("/open").await.unwrap().status, 200);
    assert_eq!(
        client
            .send(Request::get("/service/77/x"))
            .await
            .unwrap()
            .status,
        403
    );
    let memory = resident(&envoy).saturating_sub(memory) / u64::from(VMS);
    println!("10,000 policies: {took:?}, {} KiB per VM", memory / 1024);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(memory < 64 * 1024 * 1024, "{memory} bytes");
}
