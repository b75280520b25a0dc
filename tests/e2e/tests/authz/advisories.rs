//! Every published advisory on authorization, path, host and header handling in
//! Envoy and Istio since 2020: the trick is played on native RBAC and on the
//! filter in both modes, on every supported Envoy. `docs/advisories.md` is made
//! from these rows; a new advisory is one more.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use meshpack_e2e::authz::{builders, config, filter, listener, native, policy};
use meshpack_harness::{Envoy, RawClient, versions};
use serde_json::{Value, json};

/// Who lets the trick in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Everywhere,
    Nowhere,
    /// From this version on.
    Since(&'static str),
}

impl Held {
    fn on(self, version: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Nowhere => false,
            Self::Since(first) => numbers(version) >= numbers(first),
        }
    }

    fn told(self) -> String {
        match self {
            Self::Everywhere => "refuses".to_owned(),
            Self::Nowhere => "lets in".to_owned(),
            Self::Since(first) => format!("lets in before {first}"),
        }
    }
}

fn numbers(version: &str) -> Vec<u32> {
    version
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect()
}

/// A request by its first line and its headers, to the byte.
type Message = (&'static str, &'static [u8]);

struct Advisory {
    /// Its names.
    ids: &'static str,
    /// What an attacker does, and to what.
    trick: &'static str,
    policies: Vec<Value>,
    /// Requests that must not get in.
    attacks: &'static [Message],
    /// One that must.
    good: Message,
    /// Who holds: native RBAC, and the filter with `pathMatching: istio`; with
    /// `hardened` it always does.
    native: Held,
    istio: Held,
}

const HOST: &[u8] = b"host: a.com\r\n";

fn deny(operation: Value) -> Vec<Value> {
    vec![policy(
        "deny",
        "DENY",
        json!([{"to": [{"operation": operation}]}]),
    )]
}

fn deny_role() -> Vec<Value> {
    let when = json!([{"when": [{"key": "request.headers[x-role]", "values": ["admin"]}]}]);
    vec![policy("deny", "DENY", when)]
}

fn deny_admin() -> Vec<Value> {
    deny(json!({"paths": ["/admin"]}))
}

fn row(
    ids: &'static str,
    trick: &'static str,
    policies: Vec<Value>,
    attacks: &'static [Message],
    good: Message,
    native: Held,
    istio: Held,
) -> Advisory {
    Advisory {
        ids,
        trick,
        policies,
        attacks,
        good,
        native,
        istio,
    }
}

fn table() -> Vec<Advisory> {
    vec![
        row(
            "CVE-2020-8595, ISTIO-SECURITY-2020-001",
            "a query behind an exact path",
            deny_admin(),
            &[("GET /admin?x=1", HOST), ("GET /admin?", HOST)],
            ("GET /open?x=/admin", HOST),
            Held::Everywhere,
            Held::Everywhere,
        ),
        row(
            "CVE-2020-8843, ISTIO-SECURITY-2020-002",
            "a header that the mesh uses itself, sent by the client (`x-istio-attributes`)",
            deny_admin(),
            &[("GET /admin", b"host: a.com\r\nx-istio-attributes: CgA=\r\n")],
            ("GET /open", b"host: a.com\r\nx-istio-attributes: CgA=\r\n"),
            Held::Everywhere,
            Held::Everywhere,
        ),
        row(
            "CVE-2020-25017, ISTIO-SECURITY-2020-010; CVE-2021-32777, ISTIO-SECURITY-2021-008",
            "a header twice, the value that is refused first or last",
            deny_role(),
            &[
                ("GET /", b"host: a.com\r\nx-role: admin\r\nx-role: user\r\n"),
                ("GET /", b"host: a.com\r\nx-role: user\r\nx-role: admin\r\n"),
            ],
            ("GET /", b"host: a.com\r\nx-role: user\r\nx-role: user\r\n"),
            Held::Since("1.38.2"),
            Held::Everywhere,
        ),
        row(
            "CVE-2026-26308, GHSA-ghc4-35x6-crw5, ISTIO-SECURITY-2026-001",
            "a header many times: joined by commas it equals no value",
            deny_role(),
            &[
                (
                    "GET /",
                    b"host: a.com\r\nx-role: a\r\nx-role: admin\r\nx-role: b\r\n",
                ),
                ("GET /", b"host: a.com\r\nX-ROLE: admin\r\nx-role:\r\n"),
            ],
            ("GET /", b"host: a.com\r\nx-role: a,admin\r\n"),
            Held::Since("1.38.2"),
            Held::Everywhere,
        ),
        row(
            "CVE-2021-21378, ISTIO-SECURITY-2021-001",
            "no token at all, where a policy asks for any",
            vec![policy(
                "deny",
                "DENY",
                json!([{
                    "from": [{"source": {"notRequestPrincipals": ["*"]}}],
                    "to": [{"operation": {"paths": ["/admin"]}}],
                }]),
            )],
            &[
                ("GET /admin", HOST),
                (
                    "GET /admin",
                    b"host: a.com\r\nauthorization: Bearer x.y.z\r\n",
                ),
            ],
            ("GET /open", HOST),
            Held::Everywhere,
            Held::Everywhere,
        ),
        row(
            "CVE-2021-29492, CVE-2021-31920, ISTIO-SECURITY-2021-005",
            "slashes repeated or encoded",
            deny_admin(),
            &[
                ("GET //admin", HOST),
                ("GET /%2fadmin", HOST),
                ("GET /%5Cadmin", HOST),
                ("GET /x/..%2Fadmin", HOST),
            ],
            ("GET //open", HOST),
            Held::Nowhere,
            Held::Nowhere,
        ),
        row(
            "CVE-2021-32779, CVE-2021-39156, ISTIO-SECURITY-2021-008",
            "a fragment behind an exact path",
            deny_admin(),
            &[("GET /admin#x", HOST), ("GET /admin?y#x", HOST)],
            ("GET /open", HOST),
            Held::Everywhere,
            Held::Everywhere,
        ),
        row(
            "CVE-2021-39155, ISTIO-SECURITY-2021-008",
            "the host in other letter case",
            deny(json!({"hosts": ["admin.com"]})),
            &[
                ("GET /", b"host: ADMIN.com\r\n"),
                ("GET /", b"host: admin.cOM\r\n"),
            ],
            ("GET /", HOST),
            Held::Everywhere,
            Held::Everywhere,
        ),
        row(
            "ISTIO-SECURITY-2021-008 (without a CVE)",
            "the host with a port, or with a dot at its end",
            deny(json!({"hosts": ["admin.com"]})),
            &[
                ("GET /", b"host: admin.com:80\r\n"),
                ("GET /", b"host: admin.com.\r\n"),
                ("GET /", b"host: admin.com.:8080\r\n"),
            ],
            ("GET /", HOST),
            Held::Nowhere,
            Held::Nowhere,
        ),
        row(
            "CVE-2023-27487, ISTIO-SECURITY-2023-001",
            "a path that a proxy is said to have rewritten (`x-envoy-original-path`)",
            deny_admin(),
            &[
                (
                    "GET /admin",
                    b"host: a.com\r\nx-envoy-original-path: /open\r\n",
                ),
                ("GET /admin", b"host: a.com\r\nx-original-url: /open\r\n"),
            ],
            (
                "GET /open",
                b"host: a.com\r\nx-envoy-original-path: /admin\r\n",
            ),
            Held::Everywhere,
            Held::Everywhere,
        ),
        row(
            "CVE-2023-27488, ISTIO-SECURITY-2023-001",
            "bytes that are not UTF-8 in a header beside the one that is judged, or in it",
            vec![
                policy(
                    "deny",
                    "DENY",
                    json!([{"when": [{"key": "request.headers[x-role]", "values": ["admin"]}]}]),
                ),
                policy(
                    "allow",
                    "ALLOW",
                    json!([{"when": [{"key": "request.headers[x-role]", "values": ["user", "admin"]}]}]),
                ),
            ],
            &[
                (
                    "GET /",
                    b"host: a.com\r\nx-role: admin\r\nx-junk: \xff\xfe\r\n",
                ),
                ("GET /", b"host: a.com\r\nx-role: user\xff\r\n"),
            ],
            (
                "GET /",
                b"host: a.com\r\nx-role: user\r\nx-junk: \xff\xfe\r\n",
            ),
            Held::Everywhere,
            Held::Everywhere,
        ),
        row(
            "CVE-2023-27491, ISTIO-SECURITY-2023-001",
            "a request line that is none",
            deny_admin(),
            &[
                ("GET /admin HTTP/1.1 x", HOST),
                ("GET /open /admin", HOST),
                ("GET /admin\t", HOST),
            ],
            ("GET /open", HOST),
            Held::Everywhere,
            Held::Everywhere,
        ),
        row(
            "CVE-2025-46821, GHSA-c7cm-838g-6g67",
            "an asterisk in a path that a template guards",
            deny(json!({"paths": ["/users/{*}/keys", "/files/{**}"]})),
            &[
                ("GET /users/*/keys", HOST),
                ("GET /users/a*b/keys", HOST),
                ("GET /files/a/*", HOST),
            ],
            ("GET /users/*/open", HOST),
            Held::Everywhere,
            Held::Everywhere,
        ),
        row(
            "CVE-2026-73511, GHSA-m745-gh6x-349x; CVE-2026-73553, GHSA-77x5-xqjg-hprq",
            "path parameters, which servers leave out",
            deny(json!({"paths": ["/a/admin"]})),
            &[
                ("GET /a/admin;x=y", HOST),
                ("GET /a;x=y/admin", HOST),
                ("GET /a;/admin;", HOST),
            ],
            ("GET /a;x=y/open", HOST),
            Held::Nowhere,
            Held::Nowhere,
        ),
        row(
            "CVE-2026-73551, GHSA-2w8w-rfw7-8gg4",
            "dots with a path parameter",
            deny_admin(),
            &[
                ("GET /user/..;foo=bar/admin", HOST),
                ("GET /user/..;/admin", HOST),
                ("GET /.;x/admin", HOST),
            ],
            ("GET /open", HOST),
            Held::Since("1.39.1"),
            Held::Since("1.39.1"),
        ),
    ]
}

/// Advisories on paths, hosts and headers in which no policy takes part.
const BESIDE: &[(&str, &str)] = &[
    (
        "CVE-2020-11767",
        "a connection reused for another host: the connection is Envoy's, each request on it is judged by its own host",
    ),
    (
        "CVE-2020-16844",
        "TCP policies: the filter is an HTTP filter; it compares the ends of principals as text",
    ),
    (
        "CVE-2021-31921",
        "a gateway with AUTO_PASSTHROUGH: which cluster is reached, below HTTP",
    ),
    (
        "ISTIO-SECURITY-2021-002",
        "ports of the gateway that changed with an upgrade: in the policy's text",
    ),
    (
        "CVE-2022-21679",
        "a newer control plane generating rules that an older proxy misreads: the filter reads the policy itself and refuses what it does not know",
    ),
    ("CVE-2022-29226", "the OAuth2 filter's own decision"),
    (
        "CVE-2023-27493",
        "values that Envoy's formatter puts into headers unescaped: the filter refuses CR, LF and NUL in `denyWith` headers and escapes what it logs",
    ),
    (
        "CVE-2023-35944",
        "schemes in mixed case: no rule reads the scheme",
    ),
    ("CVE-2024-23326", "an upstream's answer to an upgrade"),
    (
        "CVE-2024-45806, ISTIO-SECURITY-2024-006",
        "`x-envoy-` headers trusted from internal addresses: no rule trusts them; a policy can name them like any header",
    ),
    (
        "CVE-2025-55162",
        "cookies that the OAuth2 filter should delete",
    ),
    (
        "CVE-2025-66220, CVE-2026-47778",
        "NUL in a certificate's names: read by Envoy before a filter sees it",
    ),
    (
        "CVE-2026-31837",
        "keys of a provider that can not be reached: a token's claims are only as good as its check",
    ),
    (
        "CVE-2026-39350",
        "a dot in `serviceAccounts` read as a regular expression: generated by istiod; the filter compares text",
    ),
    (
        "CVE-2026-47774, CVE-2026-73550",
        "limits on the size of headers",
    ),
    (
        "CVE-2026-47692, CVE-2026-73548",
        "requests smuggled past HTTP parsing (PROXY protocol, upgrades): never seen as requests",
    ),
    (
        "CVE-2026-73547",
        "`ext_authz` crashes on CONNECT without a path",
    ),
    (
        "CVE-2026-73552, GHSA-23xh-2qxr-3xv8",
        "`safe_regex` on bytes that are no text: Istio's policies make none for headers; ours (`valuesRegex`) is tested with its own inputs",
    ),
];

fn page() -> String {
    let mut page = String::from(
        "# Advisories

Every published advisory of Envoy and Istio since 2020 that is about authorization, paths, hosts or headers. The table is made by the test that plays each trick, in several forms, on native RBAC and on `authz_policy` in every supported Envoy, with paths normalised as Istio's `BASE` does.

With `pathMatching: istio` the filter decides as a current Istio does, holes included; `hardened` refuses every row on every version.

",
    );
    let _ = writeln!(page, "Run on Envoy {}.\n", all_versions().join(", "));
    page.push_str(
        "| advisory | trick | native RBAC | `istio` | `hardened` |\n|---|---|---|---|---|\n",
    );
    for advisory in table() {
        let Advisory {
            ids,
            trick,
            native,
            istio,
            ..
        } = advisory;
        let _ = writeln!(
            page,
            "| {ids} | {trick} | {} | {} | refuses |",
            native.told(),
            istio.told()
        );
    }
    page.push_str(
        "
\"Lets in\" is what stock Envoy does by itself; `lets in before 1.38.2` counts the versions above only. Which security releases they predate stands in [where it runs](where-it-runs.md#security-releases).

## Not decided by a policy

| advisory | why no row |
|---|---|
",
    );
    for (ids, why) in BESIDE {
        let _ = writeln!(page, "| {ids} | {why} |");
    }
    page.push_str(
        "
Advisories about crashes, memory and time that are not about paths, hosts or headers are not listed.
",
    );
    page
}

fn all_versions() -> [&'static str; 5] {
    ["1.36.4", "1.37.0", "1.38.2", "1.39.3", "1.40.0"]
}

#[test]
fn the_page_lists_the_rows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/advisories.md");
    if std::env::var_os("MESHPACK_WRITE_ADVISORIES").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == page(),
        "run MESHPACK_WRITE_ADVISORIES=1 cargo test -p meshpack-e2e authz::advisories"
    );
}

async fn status(envoy: &Envoy, listener: &str, (line, headers): Message) -> u16 {
    let mut raw = RawClient::connect(envoy.address(listener)).await.unwrap();
    let message = [
        line.as_bytes(),
        b" HTTP/1.1\r\n",
        headers,
        b"connection: close\r\n\r\n",
    ];
    raw.send(message.concat()).await.unwrap();
    let answer = raw
        .read_until(b"\r\n\r\n", Duration::from_secs(20))
        .await
        .unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1);
    let status = status.and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("{line}: {answer:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn published_tricks_are_refused_in_hardened_mode_on_every_version() {
    let table = table();
    let mut wrong = Vec::new();
    for (builder, version) in builders().into_iter().zip(versions().unwrap()) {
        let version = version.to_string();
        let mut builder = builder;
        for (number, advisory) in table.iter().enumerate() {
            let policies = &advisory.policies;
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
        for (number, advisory) in table.iter().enumerate() {
            for (mode, held) in [
                ("native", advisory.native.on(&version)),
                ("istio", advisory.istio.on(&version)),
                ("hardened", true),
            ] {
                let name = format!("{mode}-{number}");
                let mut let_in = Vec::new();
                for &attack in advisory.attacks {
                    let status = status(&envoy, &name, attack).await;
                    assert!(matches!(status, 200 | 400 | 403), "{status}: {}", attack.0);
                    if status == 200 {
                        let_in.push(String::from_utf8_lossy(attack.1).into_owned() + attack.0);
                    }
                }
                if let_in.is_empty() != held {
                    wrong.push(format!(
                        "{version} {mode} {}: lets in {let_in:?}",
                        advisory.ids
                    ));
                }
                let good = status(&envoy, &name, advisory.good).await;
                if good != 200 {
                    wrong.push(format!(
                        "{version} {mode} {}: {good} for the good one",
                        advisory.ids
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
