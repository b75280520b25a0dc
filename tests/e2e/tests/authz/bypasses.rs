//! Known ways around authorization: in `istio` mode the filter does as native
//! RBAC does, in `hardened` mode they are closed.

use std::time::Duration;

use meshpack_e2e::authz::{config, filter, listener, native, policy};
use meshpack_harness::{Envoy, RawClient};
use serde_json::{Value, json};

/// A request by its first line and headers.
struct Attempt {
    line: &'static str,
    headers: &'static str,
    /// What Istio answers; [`AS_NATIVE`] where Envoy's releases differ.
    istio: u16,
    /// What the hardened filter answers.
    hardened: u16,
}

const fn attempt(line: &'static str, headers: &'static str, istio: u16, hardened: u16) -> Attempt {
    Attempt {
        line,
        headers,
        istio,
        hardened,
    }
}

/// Whatever native RBAC answers: Envoy 1.39.3 and later resolve `/..;x/`
/// themselves.
const AS_NATIVE: u16 = 0;

const HOST: &str = "host: a.com\r\n";

fn deny(operation: Value) -> Vec<Value> {
    vec![policy(
        "deny",
        "DENY",
        json!([{"to": [{"operation": operation}]}]),
    )]
}

fn allow(operation: Value) -> Vec<Value> {
    vec![policy(
        "allow",
        "ALLOW",
        json!([{"to": [{"operation": operation}]}]),
    )]
}

/// Policies, and attempts to get around them.
fn classes() -> Vec<(Vec<Value>, Vec<Attempt>)> {
    vec![
        (
            deny(json!({"paths": ["/admin"]})),
            vec![
                attempt("GET /admin", HOST, 403, 403),
                attempt("GET /admin?x=1", HOST, 403, 403),
                // CVE-2021-39156
                attempt("GET /admin#x", HOST, 400, 400),
                // CVE-2019-9901
                attempt("GET /x/../admin", HOST, 403, 403),
                attempt("GET /x/%2e%2e/admin", HOST, 403, 403),
                attempt("GET /%61dmin", HOST, 403, 403),
                attempt("GET \\admin", HOST, 400, 400),
                // CVE-2021-31920, CVE-2021-29492
                attempt("GET //admin", HOST, 200, 403),
                attempt("GET /x%2f..%2fadmin", HOST, 200, 403),
                attempt("GET /x/..%5cadmin", HOST, 200, 403),
                attempt("GET /%2561dmin", HOST, 200, 403),
                attempt("GET /%c0%afadmin", HOST, 200, 403),
                attempt("GET /admin;v=1", HOST, 200, 403),
                attempt("GET /x/..;/admin", HOST, AS_NATIVE, 403),
                attempt("GET /Admin", HOST, 200, 403),
                attempt("GET /admin/", HOST, 200, 403),
                attempt("GET /admin/.", HOST, 200, 403),
                attempt("GET /admin%00", HOST, 400, 400),
                attempt("GET /admin%3f", HOST, 200, 403),
                attempt("GET /administrator", HOST, 200, 200),
                attempt("GET /", HOST, 200, 200),
            ],
        ),
        (
            deny(json!({"paths": ["/users/{*}/keys"]})),
            vec![
                attempt("GET /users/u/keys", HOST, 403, 403),
                // CVE-2025-46821
                attempt("GET /users/*/keys", HOST, 403, 403),
                // Envoy's templates do not know |, but normalisation encodes it.
                attempt("GET /users/a|b/keys", HOST, 403, 403),
                attempt("GET /users/u/keys/", HOST, 200, 403),
                attempt("GET /users//u/keys", HOST, 200, 403),
                attempt("GET /users/u/v/keys", HOST, 200, 200),
            ],
        ),
        (
            // Everything is refused but what is public.
            deny(json!({"notPaths": ["/public/*"]})),
            vec![
                attempt("GET /public/a", HOST, 200, 200),
                attempt("GET /admin", HOST, 403, 403),
                attempt("GET /public/..%2fadmin", HOST, 200, 403),
                attempt("GET /public/..;/admin", HOST, AS_NATIVE, 403),
                attempt("GET /public/..%5cadmin", HOST, 200, 403),
            ],
        ),
        (
            allow(json!({"paths": ["/public/*"]})),
            vec![
                attempt("GET /public/a", HOST, 200, 200),
                attempt("GET /public/A%20b", HOST, 200, 200),
                attempt("GET /public/..%2fadmin", HOST, 200, 403),
                attempt("GET /public/..;/admin", HOST, AS_NATIVE, 403),
                // Never wider.
                attempt("GET /PUBLIC/a", HOST, 403, 403),
                attempt("GET //public/a", HOST, 403, 403),
                attempt("GET /public%2fa", HOST, 403, 403),
            ],
        ),
        (
            deny(json!({"hosts": ["admin.com"]})),
            vec![
                attempt("GET /", "host: admin.com\r\n", 403, 403),
                // CVE-2021-39155
                attempt("GET /", "host: ADMIN.com\r\n", 403, 403),
                // ISTIO-SECURITY-2021-008
                attempt("GET /", "host: admin.com:80\r\n", 200, 403),
                attempt("GET /", "host: admin.com.\r\n", 200, 403),
                attempt("GET /", "host: admin.com.:8080\r\n", 200, 403),
                attempt("GET /", "host: xadmin.com\r\n", 200, 200),
            ],
        ),
        (
            allow(json!({"notHosts": ["admin.com"]})),
            vec![
                attempt("GET /", "host: a.com\r\n", 200, 200),
                attempt("GET /", "host: admin.com\r\n", 403, 403),
                attempt("GET /", "host: admin.com:80\r\n", 200, 403),
            ],
        ),
        (
            vec![policy(
                "deny",
                "DENY",
                json!([{"when": [{"key": "request.headers[x-role]", "values": ["admin"]}]}]),
            )],
            vec![
                attempt("GET /", "host: a\r\nx-role: admin\r\n", 403, 403),
                attempt("GET /", "host: a\r\nX-Role: admin\r\n", 403, 403),
                // CVE-2026-26308
                attempt(
                    "GET /",
                    "host: a\r\nx-role: user\r\nx-role: admin\r\n",
                    403,
                    403,
                ),
                attempt(
                    "GET /",
                    "host: a\r\nx-role: admin\r\nx-role: user\r\n",
                    403,
                    403,
                ),
                // CVE-2019-18802
                attempt("GET /", "host: a\r\nx-role: admin \t\r\n", 403, 403),
                attempt("GET /", "host: a\r\nx-role: user\r\n", 200, 200),
            ],
        ),
        (
            // CVE-2023-27487: what a proxy has added does not count.
            deny(json!({"paths": ["/admin"]})),
            vec![
                attempt(
                    "GET /open",
                    "host: a\r\nx-envoy-original-path: /admin\r\n",
                    200,
                    200,
                ),
                attempt(
                    "GET /admin",
                    "host: a\r\nx-envoy-original-path: /open\r\n",
                    403,
                    403,
                ),
                attempt(
                    "GET /admin",
                    "host: a\r\nx-original-url: /open\r\n",
                    403,
                    403,
                ),
            ],
        ),
        (
            // RequestAuthentication alone lets requests without a token pass;
            // the policy must ask for one (ISTIO-SECURITY-2021-001).
            vec![policy(
                "deny",
                "DENY",
                json!([{"from": [{"source": {"notRequestPrincipals": ["*"]}}]}]),
            )],
            vec![attempt("GET /", HOST, 403, 403)],
        ),
    ]
}

async fn status(envoy: &Envoy, listener: &str, attempt: &Attempt) -> u16 {
    let mut raw = RawClient::connect(envoy.address(listener)).await.unwrap();
    let message = format!(
        "{} HTTP/1.1\r\n{}connection: close\r\n\r\n",
        attempt.line, attempt.headers
    );
    raw.send(message).await.unwrap();
    let answer = raw
        .read_until(b"\r\n\r\n", Duration::from_secs(5))
        .await
        .unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("{}: {answer:?}", attempt.line))
}

#[tokio::test(flavor = "multi_thread")]
async fn bypasses_are_istios_in_istio_mode_and_closed_in_hardened_mode() {
    let classes = classes();
    let mut builder = Envoy::builder();
    for (number, (policies, _)) in classes.iter().enumerate() {
        let mut hardened = config(policies);
        hardened["pathMatching"] = json!("hardened");
        builder = builder
            .listener(listener(
                &format!("native-{number}"),
                native::enforcing(policies),
            ))
            .listener(listener(
                &format!("istio-{number}"),
                vec![filter(&config(policies)).into()],
            ))
            .listener(listener(
                &format!("hardened-{number}"),
                vec![filter(&hardened).into()],
            ));
    }
    let envoy = builder.start().await.unwrap();
    let mut wrong = Vec::new();
    for (number, (policies, attempts)) in classes.iter().enumerate() {
        for attempt in attempts {
            let ask = |mode: &str| {
                let listener = format!("{mode}-{number}");
                let envoy = &envoy;
                async move { status(envoy, &listener, attempt).await }
            };
            let got = (
                ask("native").await,
                ask("istio").await,
                ask("hardened").await,
            );
            let istio = if attempt.istio == AS_NATIVE {
                got.0
            } else {
                attempt.istio
            };
            if got != (istio, istio, attempt.hardened) {
                wrong.push(format!(
                    "{} {:?} with {}: native, istio, hardened are {got:?}",
                    attempt.line, attempt.headers, policies[0]["spec"]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
