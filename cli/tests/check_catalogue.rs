//! `meshpack check` on set-ups that cannot work as they are, each with the codes that it
//! must give, and on as many that are right. Each wrong one is a right one with one
//! change, so that a check that always complains fails here too.

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::{check_bytes, meshpack_in};

const DIGEST: &str = "sha256:4b1c0e7a9d3f52c86e0b7f1d2a49c8356e7f0a1b2c3d4e5f60718293a4b5c6d7";

const GUARD: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: guard, namespace: books}
spec:
  selector: {matchLabels: {app: catalog}}
  url: oci://registry.example.com/meshpack/authz_policy@DIGEST
  failStrategy: FAIL_RELOAD
  phase: AUTHZ
  match: [{mode: SERVER}]
  pluginConfig:
    policies:
    - metadata: {name: closed, namespace: books}
      spec: {action: DENY, rules: [{to: [{operation: {paths: [\"/admin*\"], hosts: [\"catalog*\"], methods: [POST]}}]}]}
";

const SPLIT: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: split, namespace: books}
spec:
  url: oci://registry.example.com/meshpack/canary_split@DIGEST
  failStrategy: FAIL_OPEN
  match: [{mode: CLIENT}]
  pluginConfig:
    splits:
    - name: catalog
      match: {hosts: [catalog, catalog.books.svc.cluster.local], paths: [\"/v1*\"], methods: [GET]}
      arms: [{value: v1, weight: 90}, {value: v2, weight: 10}]
      stickyBy: [{claim: sub}, {header: x-reader}]
    - name: loans
      match: {hosts: [loans]}
      arms: [{value: v1, weight: 50}, {value: v2, weight: 50}]
      rules:
      - {match: {headers: {x-beta: \"1\"}, paths: [\"/a*\"]}, value: v2}
      - {match: {headers: {x-beta: \"1\"}}, value: v1}
";

const ROUTES: &str = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog, namespace: books}
spec:
  hosts: [catalog]
  http:
  - match: [{headers: {x-meshpack-subset: {exact: v2}}}]
    route: [{destination: {host: catalog, subset: v2}}]
  - route: [{destination: {host: catalog, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog, namespace: books}
spec: {host: catalog.books.svc.cluster.local, subsets: [{name: v1, labels: {v: a}}, {name: v2, labels: {v: b}}]}
";

const BUDGET: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: {name: budget, namespace: books}
spec:
  match: [{mode: CLIENT}]
  wasm:
    url: oci://registry.example.com/meshpack/retry_budget@DIGEST
    failStrategy: FAIL_OPEN
    pluginConfig:
      budgets:
      - name: catalog
        match: {hosts: [catalog], paths: [\"/v1*\"]}
        budget: {percent: 20, interval: 10s}
        minRetryRate: {count: 10, interval: 1s}
        maxRetries: 2
        retryOn: [5xx, reset]
        perTryTimeout: 2s
        timeout: 6s
      - name: rest
      stopAmplification: true
";

const METRICS: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: metrics, namespace: books}
spec:
  url: oci://registry.example.com/meshpack/telemetry@DIGEST
  failStrategy: FAIL_OPEN
  phase: STATS
  pluginConfig:
    metrics: [{name: loans_total, type: counter, labels: {desk: 'request.headers[\"x-desk\"]'}}]
    pathTemplates: [\"/books/{id}\"]
";

const GATEWAY: &str = "---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: books}
spec: {selector: {app: catalog, tier: edge}, servers: []}
";

const POLICY: &str = "apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata: {name: guard, namespace: books}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}]
  wasm:
  - name: authz_policy
    failOpen: false
    code: {type: Image, image: {url: registry.example.com/meshpack/authz_policy@DIGEST}}
    config: {policies: [{metadata: {name: a, namespace: books}, spec: {action: DENY, rules: [{to: [{operation: {paths: [\"/x\"]}}]}]}}]}
";

const BOOTSTRAP: &str = "stats_config:
  stats_tags:
  - {tag_name: split, regex: \"(split=\\\\.=(.*?);\\\\.;)\"}
  - {tag_name: arm, regex: \"(arm=\\\\.=(.*?);\\\\.;)\"}
  - {tag_name: reason, regex: \"(reason=\\\\.=(.*?);\\\\.;)\"}
  - {tag_name: module, regex: \"(module=\\\\.=(.*?);\\\\.;)\"}
static_resources:
  listeners:
  - filter_chains:
    - filters:
      - typed_config:
          route_config:
            virtual_hosts:
            - domains: [\"*\"]
              routes:
              - {match: {prefix: /, headers: [{name: x-meshpack-subset, string_match: {exact: v2}}]}, route: {cluster: two}}
              - {match: {prefix: /, headers: [{name: x-meshpack-subset, string_match: {exact: v1}}]}, route: {cluster: one}}
              - {match: {prefix: /}, route: {cluster: one}}
          http_filters:
          - typed_config:
              config:
                name: canary_split
                failure_policy: FAIL_OPEN
                vm_config: {code: {local: {filename: canary_split.wasm}}}
                configuration:
                  \"@type\": type.googleapis.com/google.protobuf.StringValue
                  value: '{\"splits\": [{\"name\": \"c\", \"arms\": [{\"value\": \"v1\", \"weight\": 9}, {\"value\": \"v2\", \"weight\": 1}]}]}'
  clusters: [{name: one}, {name: two}]
";

const PACK: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: pack, namespace: books}
spec:
  url: oci://registry.example.com/meshpack/meshpack@DIGEST
  failStrategy: FAIL_OPEN
  match: [{mode: CLIENT}]
  pluginConfig:
    canary:
      splits: [{name: desk, match: {hosts: [desk]}, arms: [{value: v1, weight: 9}, {value: v2, weight: 1}]}]
    retry:
      budgets: [{name: desk}]
";

const MESH: &str = "---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh}
spec: {meshConfig: {defaultConfig: {extraStatTags: [split, arm, reason, module]}}}
";

fn right() -> Vec<(&'static str, String)> {
    let bases = [
        ("guard", GUARD.to_owned()),
        ("split", SPLIT.to_owned()),
        ("split with routes", format!("{SPLIT}{ROUTES}")),
        ("budget", BUDGET.to_owned()),
        ("metrics", METRICS.to_owned()),
        ("policy of Envoy Gateway", POLICY.to_owned()),
        ("bootstrap", BOOTSTRAP.to_owned()),
        ("pack", PACK.to_owned()),
        ("split and mesh", format!("{SPLIT}{MESH}")),
        (
            "gateway elsewhere",
            format!("{}{GATEWAY}", GUARD.replace("app: catalog}", "app: desk}")),
        ),
        (
            "guard of a gateway",
            format!("{}{GATEWAY}", GUARD.replace("SERVER", "CLIENT")),
        ),
        (
            "all together",
            [GUARD, SPLIT, BUDGET, METRICS].join("---\n"),
        ),
    ];
    let mut all: Vec<_> = bases.to_vec();
    #[rustfmt::skip]
    let changes: &[(&str, &str, &str, &str)] = &[
        ("reads late", GUARD, "phase: AUTHZ", "phase: STATS"),
        ("no phase", GUARD, "  phase: AUTHZ\n", ""),
        ("for all of the namespace", GUARD, "  selector: {matchLabels: {app: catalog}}\n", ""),
        ("a gateway by reference", GUARD, "selector: {matchLabels: {app: catalog}}\n  url", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}]\n  match: [{mode: CLIENT}]\n  url"),
        ("a checksum", GUARD, "authz_policy@DIGEST", "authz_policy:1\n  sha256: 4b1c0e7a9d3f52c86e0b7f1d2a49c8356e7f0a1b2c3d4e5f60718293a4b5c6d7"),
        ("a download", GUARD, "oci://registry.example.com/meshpack/authz_policy@DIGEST", "https://example.com/authz_policy.wasm"),
        ("a file", GUARD, "oci://registry.example.com/meshpack/authz_policy@DIGEST", "file:///etc/authz_policy.wasm"),
        ("a star at the end", GUARD, "/admin*", "/admin/*"),
        ("a star at the front", GUARD, "/admin*", "*/admin"),
        ("any path", GUARD, "/admin*", "*"),
        ("a segment", GUARD, "/admin*", "/v1/{*}/users"),
        ("segments", GUARD, "/admin*", "/v1/{**}"),
        ("an encoded blank", GUARD, "/admin*", "/a%20b"),
        ("a method of one's own", GUARD, "[POST]", "[PURGE]"),
        ("a method in odd letters", GUARD, "[POST]", "[\"M-SEARCH\"]"),
        ("a host with a port", GUARD, "catalog*", "catalog:8080"),
        ("a host by its end", GUARD, "catalog*", "*.example.com"),
        ("reload", SPLIT, "FAIL_OPEN", "FAIL_RELOAD"),
        ("a ramp", SPLIT, "value: v2, weight: 10}]", "value: v2, weight: 0}]\n      ramp: {arm: v2, start: \"2026-11-20T10:00:00Z\", steps: [{after: 0s, weight: 1}]}"),
        ("everybody stays, but some force", SPLIT, "value: v2, weight: 10}]", "value: v2, weight: 0}]\n      force: {header: x-canary}"),
        ("a port of both", SPLIT, "[{mode: CLIENT}]", "[{mode: CLIENT, ports: [{number: 80}]}]"),
        ("the narrower first", SPLIT, "hosts: [loans]}", "hosts: [\"cat*\"]}"),
        ("another path", SPLIT, "hosts: [loans]}", "hosts: [catalog], paths: [\"/v2*\"]}"),
        ("another method", SPLIT, "hosts: [loans]}", "hosts: [catalog], paths: [\"/v1*\"], methods: [POST]}"),
        ("a rule for others", SPLIT, "{x-beta: \"1\"}}, value: v1}", "{x-beta: \"2\"}}, value: v1}"),
        ("every attempt may be slow", BUDGET, "[5xx, reset]", "[gateway-error]"),
        ("the status of a timeout", BUDGET, "[5xx, reset]", "[\"504\"]"),
        ("no share but a floor", BUDGET, "percent: 20", "percent: 0"),
        ("no floor but a share", BUDGET, "count: 10", "count: 0"),
        ("the route's own conditions", BUDGET, "        retryOn: [5xx, reset]\n", ""),
        ("retries of what was limited", BUDGET, "[5xx, reset]", "[5xx, envoy-ratelimited]\n      #"),
        ("on both sides it counts both", METRICS, "  phase: STATS\n", "  phase: STATS\n  match: [{mode: CLIENT_AND_SERVER}]\n"),
        ("a template", METRICS, "/books/{id}", "/books/{id}/{**}"),
        ("open where nothing guards", POLICY, "authz_policy\n    failOpen: false", "canary_split\n    failOpen: true"),
        ("by cluster", BOOTSTRAP, "{match: {prefix: /}, route: {cluster: one}}", "{match: {prefix: /}, route: {cluster_header: x-other}}"),
        ("closed by the older name", BOOTSTRAP, "failure_policy: FAIL_OPEN", "fail_open: true"),
        ("in camelCase", BOOTSTRAP, "failure_policy", "failurePolicy"),
        ("routes that a control plane sends", BOOTSTRAP, "route_config:", "rds:"),
        ("a pack that guards", PACK, "FAIL_OPEN\n  match: [{mode: CLIENT}]\n  pluginConfig:", "FAIL_RELOAD\n  phase: AUTHZ\n  match: [{mode: SERVER}]\n  pluginConfig:\n    authz: {policies: [{metadata: {name: a, namespace: b}, spec: {}}]}\n    telemetry: {}\n    #"),
        ("a budget for the other side too", PACK, "budgets: [{name: desk}]", "stopAmplification: true"),
    ];
    for (name, base, from, to) in changes {
        let changed = base.replacen(from, to, 1);
        assert_ne!(&changed, base, "{name}: nothing was changed");
        all.push((name, changed));
    }
    // Cut out what a comment sign was put before.
    for (name, text) in &mut all {
        if *name == "retries of what was limited" {
            *text = text
                .replace("      stopAmplification: true\n", "")
                .replace("\n      #", "");
        }
        if *name == "a pack that guards" {
            let end = text.find("    #").unwrap();
            text.truncate(end);
        }
        if *name == "open where nothing guards" {
            let start = text.find("config: ").unwrap();
            text.truncate(start);
            text.push_str("config: {splits: [{name: a, arms: [{value: a, weight: 1}, {value: b, weight: 1}]}]}\n");
            *text = text.replace("/authz_policy@", "/canary_split@");
        }
        if *name == "a gateway by reference" {
            *text = text.replace("  match: [{mode: SERVER}]\n", "");
        }
    }
    let routes = format!("{SPLIT}{ROUTES}");
    #[rustfmt::skip]
    let with_routes: &[(&str, &str, &str)] = &[
        ("a short host", "host: catalog.books.svc.cluster.local", "host: catalog"),
        ("a host with its namespace", "hosts: [catalog]\n  http", "hosts: [catalog.books]\n  http"),
        ("a full host", "hosts: [catalog]\n  http", "hosts: [catalog.books.svc.cluster.local]\n  http"),
        ("another VirtualService", "hosts: [catalog]\n  http", "hosts: [other]\n  http"),
        ("a header in capitals", "{x-meshpack-subset:", "{X-Meshpack-Subset:"),
        ("no rules for the host", "host: catalog.books.svc.cluster.local", "host: desk"),
        ("a first arm with a route of its own", "  - route: [{destination: {host: catalog, subset: v1}}]", "  - match: [{headers: {x-meshpack-subset: {exact: v1}}}]\n    route: [{destination: {host: catalog, subset: v1}}]\n  - route: [{destination: {host: catalog, subset: v1}}]"),
        ("a route for part of the requests", "  - route: [{destination: {host: catalog, subset: v1}}]", "  - match: [{uri: {prefix: /old}}]\n    route: [{destination: {host: catalog, subset: v2}}]\n  - route: [{destination: {host: catalog, subset: v1}}]"),
        ("in the mesh too", "hosts: [catalog]\n  http", "hosts: [catalog]\n  gateways: [mesh]\n  http"),
    ];
    for (name, from, to) in with_routes {
        let changed = routes.replacen(from, to, 1);
        assert_ne!(changed, routes, "{name}: nothing was changed");
        all.push((name, changed));
    }
    all
}

/// A right set-up, what of it is changed into what, and the codes that this must give.
struct Wrong(
    &'static str,
    String,
    &'static str,
    &'static str,
    &'static [&'static str],
);

#[rustfmt::skip]
fn wrong() -> Vec<Wrong> {
    let guard = || GUARD.to_owned();
    let split = || SPLIT.to_owned();
    let routes = || format!("{SPLIT}{ROUTES}");
    let budget = || BUDGET.to_owned();
    let metrics = || METRICS.to_owned();
    let bootstrap = || BOOTSTRAP.to_owned();
    let pack = || PACK.to_owned();
    vec![
        Wrong("a guard that fails open", guard(), "FAIL_RELOAD", "FAIL_OPEN", &["MP101"]),
        Wrong("a guard that stays closed", guard(), "FAIL_RELOAD", "FAIL_CLOSE", &["MP102"]),
        Wrong("a guard that says nothing", guard(), "  failStrategy: FAIL_RELOAD\n", "", &["MP102"]),
        Wrong("a pack with a guard that fails open", pack(), "    canary:\n", "    authz: {policies: [{metadata: {name: a, namespace: b}, spec: {}}]}\n    canary:\n", &["MP101", "MP104"]),
        Wrong("a split that fails closed", split(), "FAIL_OPEN", "FAIL_CLOSE", &["MP102"]),
        Wrong("a split that says nothing", split(), "  failStrategy: FAIL_OPEN\n", "", &["MP102"]),
        Wrong("a budget that fails closed", budget(), "FAIL_OPEN", "FAIL_CLOSE", &["MP102"]),
        Wrong("metrics that fail closed", metrics(), "FAIL_OPEN", "FAIL_CLOSE", &["MP102"]),
        Wrong("Envoy Gateway's guard that fails open", POLICY.to_owned(), "failOpen: false", "failOpen: true", &["MP101"]),
        Wrong("a bootstrap that fails closed", bootstrap(), "failure_policy: FAIL_OPEN", "failure_policy: FAIL_CLOSED", &["MP102"]),
        Wrong("a bootstrap that says nothing", bootstrap(), "                failure_policy: FAIL_OPEN\n", "", &["MP102"]),
        Wrong("a bootstrap that fails closed by the older name", bootstrap(), "failure_policy: FAIL_OPEN", "fail_open: false", &["MP102"]),
        Wrong("policies before tokens", guard(), "phase: AUTHZ", "phase: AUTHN", &["MP103"]),
        Wrong("metrics before tokens", metrics(), "phase: STATS", "phase: AUTHN", &["MP103"]),
        Wrong("metrics before policies", metrics(), "phase: STATS", "phase: AUTHZ", &["MP103"]),
        Wrong("a guard on the caller's side", guard(), "SERVER", "CLIENT", &["MP104"]),
        Wrong("a guard on both sides", guard(), "  match: [{mode: SERVER}]\n", "", &["MP105"]),
        Wrong("a guard on both sides, said", guard(), "mode: SERVER", "mode: CLIENT_AND_SERVER", &["MP105"]),
        Wrong("a guard for ports on both sides", guard(), "{mode: SERVER}", "{ports: [{number: 80}]}", &["MP105"]),
        Wrong("a guard on both sides, one by one", guard(), "[{mode: SERVER}]", "[{mode: SERVER}, {mode: CLIENT}]", &["MP105"]),
        Wrong("a split on the called side", split(), "CLIENT", "SERVER", &["MP104"]),
        Wrong("a split on both sides", split(), "  match: [{mode: CLIENT}]\n", "", &["MP105"]),
        Wrong("a budget on the called side", budget(), "CLIENT", "SERVER", &["MP104"]),
        Wrong("a budget on both sides", budget(), "  match: [{mode: CLIENT}]\n", "", &["MP105"]),
        Wrong("a server's limit on the caller's side", budget(), "      budgets:", "      server: {maxRetryPercent: 20, interval: 10s}\n      #budgets:", &["MP104"]),
        Wrong("a gateway's guard for its inbound side", format!("{GUARD}{GATEWAY}"), "phase: AUTHZ", "phase: AUTHZ ", &["MP104"]),
        Wrong("a gateway by its label", guard(), "app: catalog", "istio: ingressgateway", &["MP104"]),
        Wrong("a gateway of the Gateway API by its label", guard(), "app: catalog", "gateway.networking.k8s.io/gateway-name: front", &["MP104"]),
        Wrong("a gateway by reference, inbound", guard(), "selector: {matchLabels: {app: catalog}}", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}]", &["MP104"]),
        Wrong("a pack of the caller on the called side", pack(), "CLIENT", "SERVER", &["MP104"]),
        Wrong("two splits", format!("{SPLIT}---\n{SPLIT}"), "name: split,", "name: other,", &["MP106"]),
        Wrong("a split in the root namespace too", format!("{SPLIT}---\n{SPLIT}"), "{name: split, namespace: books}", "{name: split, namespace: istio-system}", &["MP106"]),
        Wrong("a split in the pack too", format!("{SPLIT}---\n{PACK}"), "name: loans", "name: loans ", &["MP106"]),
        Wrong("two metrics, one for a workload", format!("{METRICS}---\n{METRICS}"), "  url", "  selector: {matchLabels: {app: desk}}\n  url", &["MP106"]),
        Wrong("two budgets of a name", format!("{BUDGET}---\n{BUDGET}"), "name: budget,", "name: budgets,", &["MP106"]),
        Wrong("a policy twice", format!("{GUARD}---\n{GUARD}"), "name: guard,", "name: warden,", &["MP106"]),
        Wrong("a gateway without the split", routes(), "hosts: [catalog]\n  http", "hosts: [catalog]\n  gateways: [mesh, front]\n  http", &["MP107"]),
        Wrong("a gateway of another namespace without the split", routes(), "hosts: [catalog]\n  http", "hosts: [catalog]\n  gateways: [istio-ingress/front]\n  http", &["MP107"]),
        Wrong("a tag", guard(), "@DIGEST", ":1.2.3", &["MP111"]),
        Wrong("neither tag nor digest", guard(), "@DIGEST", "", &["MP111"]),
        Wrong("an image without a scheme", guard(), "oci://registry.example.com/meshpack/authz_policy@DIGEST", "registry.example.com/meshpack/authz_policy:1", &["MP111"]),
        Wrong("a tag at Envoy Gateway", POLICY.to_owned(), "@DIGEST", ":1.2.3", &["MP111"]),
        Wrong("zeros", guard(), "DIGEST", "sha256:0000000000000000000000000000000000000000000000000000000000000000", &["MP112"]),
        Wrong("zeros at Envoy Gateway", POLICY.to_owned(), "DIGEST", "sha256:0000000000000000000000000000000000000000000000000000000000000000", &["MP112"]),
        Wrong("a checksum of zeros", guard(), "authz_policy@DIGEST", "authz_policy:1\n  sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"", &["MP112"]),
        Wrong("a bootstrap without tags", bootstrap(), "stats_config:", "x_config:", &["MP121"]),
        Wrong("a bootstrap without one tag", bootstrap(), "tag_name: arm,", "tag_name: arms,", &["MP121"]),
        Wrong("a mesh without one tag", format!("{SPLIT}{MESH}"), "[split, arm, reason, module]", "[split, arm, module]", &["MP121"]),
        Wrong("metrics in a mesh with the tags of others", format!("{METRICS}{MESH}"), "name: metrics,", "name: metric,", &["MP121"]),
        Wrong("an arm without a route", routes(), "value: v2, weight: 10", "value: next, weight: 10", &["MP202"]),
        Wrong("a route for no header at all", routes(), "- match: [{headers: {x-meshpack-subset: {exact: v2}}}]\n    route", "- match: [{uri: {prefix: /v2}}]\n    route", &["MP202"]),
        Wrong("another steering header", routes(), "    splits:", "    header: x-arm\n    splits:", &["MP202"]),
        Wrong("a subset that is not defined", routes(), "{name: v2, labels: {v: b}}", "{name: v3, labels: {v: b}}", &["MP201"]),
        Wrong("no subsets at all", routes(), "subsets: [{name: v1, labels: {v: a}}, {name: v2, labels: {v: b}}]", "trafficPolicy: {}", &["MP201"]),
        Wrong("a first arm without a subset", routes(), "{name: v1, labels: {v: a}}, ", "", &["MP201"]),
        Wrong("a default route to the canary", routes(), "subset: v1}}]", "subset: v2}}]", &["MP203"]),
        Wrong("arms in the other order", routes(), "[{value: v1, weight: 90}, {value: v2, weight: 10}]", "[{value: v2, weight: 10}, {value: v1, weight: 90}]", &["MP202", "MP203"]),
        Wrong("a default route to all versions", routes(), "  - route: [{destination: {host: catalog, subset: v1}}]", "  - match: [{headers: {x-meshpack-subset: {exact: v1}}}]\n    route: [{destination: {host: catalog, subset: v1}}]\n  - route: [{destination: {host: catalog}}]", &["MP203"]),
        Wrong("a bootstrap without a route for an arm", bootstrap(), "exact: v2", "exact: v3", &["MP202"]),
        Wrong("a bootstrap with a default to the canary", bootstrap(), "{match: {prefix: /}, route: {cluster: one}}", "{match: {prefix: /}, route: {cluster: two}}", &["MP203"]),
        Wrong("an arm that is no cluster", bootstrap(), "{match: {prefix: /, headers: [{name: x-meshpack-subset, string_match: {exact: v2}}]}, route: {cluster: two}}", "{match: {prefix: /}, route: {cluster_header: x-meshpack-subset}}", &["MP201"]),
        Wrong("a split behind one for all its hosts", split(), "hosts: [catalog, catalog.books.svc.cluster.local], paths: [\"/v1*\"], methods: [GET]", "hosts: [\"*\"]", &["MP204"]),
        Wrong("a split behind one for all requests", split(), "      match: {hosts: [catalog, catalog.books.svc.cluster.local], paths: [\"/v1*\"], methods: [GET]}\n", "", &["MP204"]),
        Wrong("the same host in capitals", split(), "hosts: [catalog, catalog.books.svc.cluster.local], paths: [\"/v1*\"], methods: [GET]", "hosts: [LOANS]", &["MP204"]),
        Wrong("a rule behind a wider one", split(), "{x-beta: \"1\"}, paths: [\"/a*\"]}", "{x-beta: \"*\"}}", &["MP204"]),
        Wrong("a budget behind one for all", budget(), "        match: {hosts: [catalog], paths: [\"/v1*\"]}\n", "", &["MP204"]),
        Wrong("a weight beside a ramp", split(), "value: v2, weight: 10}]", "value: v2, weight: 10}]\n      ramp: {arm: v2, start: \"2026-11-20T10:00:00Z\", steps: [{after: 0s, weight: 1}]}", &["MP205"]),
        Wrong("everybody to one arm", split(), "value: v2, weight: 10}", "value: v2, weight: 0}", &["MP206"]),
        Wrong("a claim before tokens are verified", split(), "  match: [{mode: CLIENT}]\n", "  phase: AUTHN\n  match: [{mode: CLIENT}]\n", &["MP207"]),
        Wrong("a star inside a path", guard(), "/admin*", "/v1/*/users", &["MP301"]),
        Wrong("a star on both sides", guard(), "/admin*", "*admin*", &["MP301"]),
        Wrong("a star inside a host", guard(), "catalog*", "*.example.com:*", &["MP301"]),
        Wrong("a blank in a path", split(), "/v1*", "/a b*", &["MP301"]),
        Wrong("letters that are encoded", split(), "/v1*", "/büro*", &["MP301"]),
        Wrong("a star inside a path of a split", split(), "/v1*", "/v1/*/users", &["MP301"]),
        Wrong("a star inside a path of a budget", budget(), "/v1*", "/v1/*/users", &["MP301"]),
        Wrong("a method in small letters", guard(), "[POST]", "[post]", &["MP302"]),
        Wrong("a method of a split in small letters", split(), "[GET]", "[Get]", &["MP302"]),
        Wrong("no retry of any request", budget(), "maxRetries: 2", "maxRetries: 0", &["MP401"]),
        Wrong("a slow attempt that is not retried", budget(), "[5xx, reset]", "[\"503\"]", &["MP402"]),
        Wrong("a slow attempt that only a reset would retry", budget(), "[5xx, reset]", "[reset]", &["MP402"]),
        Wrong("retries of the mark", budget(), "[5xx, reset]", "[5xx, envoy-ratelimited]", &["MP403"]),
        Wrong("a key that no filter knows", guard(), "    policies:", "    polices:", &["MP001"]),
        Wrong("a selector and a reference", guard(), "  url:", "  targetRefs: [{kind: Gateway, name: front}]\n  url:", &["MP001", "MP104"]),
    ]
}

/// Runs `check --json` and gives exit code, codes, and the whole report.
fn codes_of(text: &str) -> (i32, BTreeSet<String>, String) {
    let text = text.replace("DIGEST", DIGEST);
    let ran = check_bytes(text.as_bytes(), &["--json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.out).expect(&ran.err);
    let findings = report["findings"].as_array().unwrap();
    let codes = findings.iter().map(|finding| {
        for key in ["file", "message", "effect", "remedy", "severity"] {
            assert!(
                finding[key].as_str().is_some_and(|text| !text.is_empty()),
                "{key}: {finding}"
            );
        }
        assert!(finding["line"].as_u64() > Some(0));
        finding["code"].as_str().unwrap().to_owned()
    });
    (ran.code, codes.collect(), ran.out)
}

#[test]
fn right_set_ups_have_no_finding() {
    let right = right();
    assert!(right.len() >= 60, "{}", right.len());
    let mut failed = String::new();
    for (name, text) in right {
        let (code, codes, report) = codes_of(&text);
        if !codes.is_empty() || code != 0 {
            failed.push_str(&format!("{name}: {report}\n{text}\n"));
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn wrong_set_ups_have_their_codes() {
    let wrong = wrong();
    assert!(wrong.len() >= 60, "{}", wrong.len());
    let mut seen = BTreeSet::new();
    let mut failed = String::new();
    for Wrong(name, base, from, to, wanted) in wrong {
        let mut text = base.replacen(from, to, 1);
        assert_ne!(text, base, "{name}: nothing was changed");
        // What stands behind a comment sign is gone with everything that belongs to it.
        if let Some(at) = text.find("      #budgets:") {
            text.truncate(at);
        }
        let (code, codes, report) = codes_of(&text);
        let wanted: BTreeSet<String> = wanted.iter().map(|code| (*code).to_owned()).collect();
        let only_hints = wanted
            .iter()
            .all(|code| ["MP111", "MP206", "MP401"].contains(&code.as_str()));
        if codes != wanted || code != i32::from(!only_hints) {
            failed.push_str(&format!(
                "{name}: exit {code}, {codes:?} instead of {wanted:?}\n{report}\n"
            ));
        }
        seen.extend(wanted);
    }
    assert!(failed.is_empty(), "{failed}");
    // Those that no change here makes have tests of their own.
    let page = include_str!("../../docs/check.md");
    for code in page.lines().filter_map(|line| line.strip_prefix("| MP")) {
        let code = format!("MP{}", &code[..3]);
        let elsewhere = ["MP002", "MP003"].contains(&code.as_str());
        assert!(
            elsewhere || seen.contains(&code),
            "{code} is made by no set-up"
        );
    }
}

#[test]
fn what_is_shipped_has_no_finding_but_images_that_are_not_pinned() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut groups = vec![vec!["envoy-configs".to_owned()]];
    for filter in [
        "authz-policy",
        "canary-split",
        "meshpack",
        "retry-budget",
        "telemetry",
    ] {
        // Two forms of the same: one folder holds both, a cluster one of them.
        for form in ["wasm", "traffic"] {
            let folder = root.join("istio-manifests").join(filter);
            let files = std::fs::read_dir(folder).unwrap();
            let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
            files.retain(|file| {
                let name = file.file_name().unwrap().to_string_lossy().into_owned();
                let other = if form == "wasm" { "traffic" } else { "wasm" };
                !name.starts_with(other)
            });
            let names = files.iter().map(|file| file.to_string_lossy().into_owned());
            groups.push(names.collect());
        }
        groups.push(vec![format!("envoy-gateway-manifests/{filter}.yaml")]);
    }
    for group in groups {
        let files = group.iter().map(String::as_str);
        let args = ["check", "--allow", "MP111", "--allow", "MP112"];
        let ran = meshpack_in(root, &args.into_iter().chain(files).collect::<Vec<_>>());
        assert_eq!(ran.code, 0, "{group:?}\n{}{}", ran.out, ran.err);
        assert!(ran.out.contains(": no problems"), "{group:?}\n{}", ran.out);
    }
}

#[test]
fn a_folder_is_read_with_all_that_lies_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.replace("DIGEST", DIGEST)).unwrap();
    };
    write("base/split.yaml", SPLIT);
    write("base/routes.yml", &ROUTES.replace("exact: v2", "exact: v9"));
    write(
        "kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [base]\n",
    );
    write("values.yaml", "replicas: 3\n");
    write("package.json", "{\"name\": \"x\"}");
    write("README.md", "splits: [}");
    write(".git/config.yaml", "splits: [}");
    write("empty.yaml", "");
    let ran = meshpack_in(folder.path(), &["check", "."]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("base/split.yaml:") && ran.out.contains("[MP202]"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("1 configuration checked: 1 problem\n"),
        "{}",
        ran.out
    );

    write("base/routes.yml", ROUTES);
    let ran = meshpack_in(folder.path(), &["check", "."]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "1 configuration checked: no problems\n")
    );

    std::fs::remove_file(folder.path().join("base/split.yaml")).unwrap();
    let ran = meshpack_in(folder.path(), &["check", "."]);
    assert_eq!(
        ran.code, 1,
        "a folder without anything of ours: {}{}",
        ran.out, ran.err
    );
    assert!(ran.out.contains("[MP003]"), "{}", ran.out);
    let bare = tempfile::tempdir().unwrap();
    let ran = meshpack_in(bare.path(), &["check", "."]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("without YAML or JSON files"),
        "{}",
        ran.err
    );
}

#[test]
fn what_somebody_has_looked_at_is_allowed() {
    let open = GUARD
        .replace("DIGEST", DIGEST)
        .replace("FAIL_RELOAD", "FAIL_OPEN");
    let commented =
        |comment: &str| open.replace("  failStrategy", &format!("  {comment}\n  failStrategy"));
    let ran = check_bytes(open.as_bytes(), &["--allow", "MP101"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "1 configuration checked: no problems, 1 allowed\n")
    );
    for (comment, code, says) in [
        (
            "# meshpack-ignore: MP101 a test mesh",
            0,
            "no problems, 1 allowed",
        ),
        ("# meshpack-ignore: MP102 another code", 1, "[MP101]"),
        ("# meshpack-ignore: MP101", 1, "gives no reason"),
        ("# meshpack-ignore: fails-open because", 1, "is no code"),
        (
            "# meshpack-ignore: MP101 one\n  # meshpack-ignore: MP111 two",
            0,
            "1 allowed",
        ),
        ("# something else", 1, "[MP101]"),
    ] {
        let ran = check_bytes(commented(comment).as_bytes(), &[]);
        assert_eq!(ran.code, code, "{comment}: {}", ran.out);
        assert!(ran.out.contains(says), "{comment}: {}", ran.out);
    }
    let behind = open.replace(
        "FAIL_OPEN",
        "FAIL_OPEN # meshpack-ignore: MP101 a test mesh",
    );
    assert_eq!(check_bytes(behind.as_bytes(), &[]).code, 0);
    assert_eq!(check_bytes(open.as_bytes(), &["--allow", "MP999"]).code, 2);
}

#[test]
fn sarif_names_rule_file_and_line() {
    let open = GUARD
        .replace("DIGEST", DIGEST)
        .replace("FAIL_RELOAD", "FAIL_OPEN");
    let ran = check_bytes(open.as_bytes(), &["--sarif"]);
    assert_eq!(ran.code, 1);
    let log: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let result = &run["results"][0];
    assert_eq!(result["ruleId"], "MP101");
    assert_eq!(result["level"], "error");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "input");
    assert_eq!(place["region"]["startLine"], 7);
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(rules.iter().any(|rule| rule["id"] == "MP101"));
}

/// The page lists every code, with what `check` says about it.
#[test]
fn the_page_lists_the_codes() {
    let ran = check_bytes(GUARD.replace("DIGEST", DIGEST).as_bytes(), &["--sarif"]);
    let log: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let rules = log["runs"][0]["tool"]["driver"]["rules"]
        .as_array()
        .unwrap();
    let text = |rule: &serde_json::Value, key: &str| rule[key]["text"].as_str().unwrap().to_owned();
    let rows: Vec<String> = rules
        .iter()
        .map(|rule| {
            let level = rule["defaultConfiguration"]["level"].as_str().unwrap();
            let level = if level == "note" { "hint" } else { level };
            let (title, effect, remedy) = (
                text(rule, "shortDescription"),
                text(rule, "fullDescription"),
                text(rule, "help"),
            );
            let id = rule["id"].as_str().unwrap();
            format!("| {id} | {level} | {title} | {effect} | {remedy} |")
        })
        .collect();
    let page = include_str!("../../docs/check.md");
    let missing: Vec<_> = rows
        .iter()
        .filter(|row| !page.contains(row.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/check.md lacks\n{}",
        rows.join("\n")
    );
}
