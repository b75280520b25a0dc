//! What the filter reads from a stock Envoy, on every version of the matrix.

use meshpack_e2e::authz::{
    OTHER_HEADER, PAYLOAD_HEADER, builders, config, filter, listener, metadata_header, policy,
};
use meshpack_harness::{Certificates, Client, Envoy, EnvoyBuilder, HttpFilter, Request};
use serde_json::{Value, json};

/// A policy that allows nothing but what this rule matches.
fn only(rule: Value) -> Value {
    config(&[policy("only", "ALLOW", json!([rule]))])
}

fn from(source: Value) -> Value {
    only(json!({"from": [{"source": source}]}))
}

fn when(key: &str, values: &[&str]) -> Value {
    only(json!({"when": [{"key": key, "values": values}]}))
}

/// Listeners named by number, each with one of these configurations.
async fn start(mut builder: EnvoyBuilder, configs: &[Value]) -> Envoy {
    for (number, config) in configs.iter().enumerate() {
        builder = builder.listener(listener(&number.to_string(), vec![filter(config).into()]));
    }
    builder.start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_peer_address_is_the_tcp_peers_whatever_headers_say() {
    for builder in builders() {
        let envoy = start(
            builder,
            &[
                from(json!({"ipBlocks": ["127.0.0.2"]})),
                from(json!({"remoteIpBlocks": ["10.1.2.3"]})),
                when("destination.ip", &["127.0.0.1"]),
            ],
        )
        .await;
        let ask = |listener: &str, peer: &str, forwarded: &'static str| {
            let client = Client::http1(envoy.address(listener)).from_ip(peer.parse().unwrap());
            async move {
                let request = Request::get("/").header("x-forwarded-for", forwarded);
                client.send(request).await.unwrap().status
            }
        };
        assert_eq!(ask("0", "127.0.0.2", "1.1.1.1").await, 200);
        assert_eq!(ask("0", "127.0.0.1", "127.0.0.2").await, 403);
        assert_eq!(ask("1", "127.0.0.1", "10.1.2.3").await, 200);
        assert_eq!(ask("1", "127.0.0.1", "10.1.2.4").await, 403);
        assert_eq!(ask("2", "127.0.0.1", "1.1.1.1").await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_publishing_filter_nothing_that_needs_it_passes() {
    let deny = config(&[policy(
        "deny",
        "DENY",
        json!([{"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}], "to": [{"operation": {"paths": ["/a"]}}]}]),
    )]);
    let envoy = Envoy::builder()
        .listener(
            meshpack_harness::Listener::new("in")
                .filter(filter(&deny))
                .route(meshpack_harness::Route::direct(200, "")),
        )
        .start()
        .await
        .unwrap();
    let client = envoy.client("in");
    assert_eq!(client.get("/a").await.unwrap().status, 403);
    // Another condition of the rule already fails.
    assert_eq!(client.get("/b").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_are_who_their_certificates_say() {
    let certificates = Certificates::new().unwrap();
    let server = certificates.issue(&["localhost", "a.com"]).unwrap();
    let client = |names: Option<&[&str]>| {
        let identity = names.map(|names| certificates.issue(names).unwrap());
        certificates.client_tls(identity.as_ref()).unwrap()
    };
    let sleep = client(Some(&["spiffe://cluster.local/ns/default/sa/sleep"]));
    let other = client(Some(&["spiffe://cluster.local/ns/other/sa/sleep"]));
    let nameless = client(Some(&["client.test"]));
    let anonymous = client(None);
    for builder in builders() {
        let configs = [
            from(json!({"principals": ["cluster.local/ns/default/sa/sleep"]})),
            from(json!({"namespaces": ["default"]})),
            from(json!({"serviceAccounts": ["default/sleep"]})),
            from(json!({"principals": ["*"]})),
            from(json!({"notPrincipals": ["*"]})),
            when("connection.sni", &["a.com"]),
        ];
        let mut builder = builder;
        for (number, config) in configs.iter().enumerate() {
            let chain = || vec![filter(config).into()];
            builder = builder
                .listener(
                    listener(&format!("mutual-{number}"), chain())
                        .tls(certificates.mutual_tls(&server)),
                )
                .listener(
                    listener(&format!("tls-{number}"), chain())
                        .tls(certificates.server_tls(&server)),
                );
        }
        let envoy = builder.start().await.unwrap();
        for (tls, name, expected) in [
            (&sleep, "mutual", [200, 200, 200, 200, 403, 200]),
            (&other, "mutual", [403, 403, 403, 200, 403, 200]),
            // No SPIFFE id, but a DNS name and a subject, as for RBAC.
            (&nameless, "mutual", [403, 403, 403, 200, 403, 200]),
            (&anonymous, "tls", [403, 403, 403, 403, 200, 200]),
        ] {
            for (number, status) in expected.into_iter().enumerate() {
                let address = envoy.address(&format!("{name}-{number}"));
                let client = Client::http1(address).tls(tls.clone(), "a.com");
                assert_eq!(
                    client.get("/").await.unwrap().status,
                    status,
                    "{name} {number}"
                );
            }
        }
    }
}

/// A proxy as Istio's HBONE makes it: the outer listener ends TLS and leaves
/// the peer's identity in filter state for the listener inside, which has no TLS.
fn tunnel(tls: &Value, config: &Value) -> Value {
    let kind = |name: &str| format!("type.googleapis.com/envoy.extensions.{name}");
    let publish = json!({"name": "envoy.filters.http.set_filter_state", "typed_config": {
        "@type": kind("filters.http.set_filter_state.v3.Config"),
        "on_request_headers": [{
            "object_key": "io.istio.peer_principal",
            // Hashable: each identity gets connections of its own.
            "factory_key": "envoy.hashable_string",
            "shared_with_upstream": "ONCE",
            "format_string": {"text_format_source": {"inline_string": "%DOWNSTREAM_PEER_URI_SAN%"}}
        }]
    }});
    let router = json!({"name": "envoy.filters.http.router", "typed_config": {
        "@type": kind("filters.http.router.v3.Router")
    }});
    let manager = |name: &str, filter: Value, action: [Value; 2]| {
        let [key, value] = action;
        let route = json!({"match": {"prefix": "/"}, key.as_str().unwrap(): value});
        json!([{"name": "envoy.filters.network.http_connection_manager", "typed_config": {
            "@type": kind("filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": name,
            "http_filters": [filter, router],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]}
        }}])
    };
    let outer = manager(
        "outer",
        publish,
        [json!("route"), json!({"cluster": "inside"})],
    );
    let inside = filter_of(config).into();
    let inside = manager(
        "inside",
        inside,
        [json!("direct_response"), json!({"status": 200})],
    );
    let internal = json!({"name": "envoy.transport_sockets.internal_upstream", "typed_config": {
        "@type": kind("transport_sockets.internal_upstream.v3.InternalUpstreamTransport"),
        "transport_socket": {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {
            "@type": kind("transport_sockets.raw_buffer.v3.RawBuffer")
        }}
    }});
    let address = json!({"envoy_internal_address": {"server_listener_name": "inside"}});
    json!({
        "bootstrap_extensions": [{"name": "envoy.bootstrap.internal_listener", "typed_config": {
            "@type": kind("bootstrap.internal_listener.v3.InternalListener")
        }}],
        "static_resources": {
            "listeners": [
                {
                    "name": "outer",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": 15008}},
                    "filter_chains": [{"transport_socket": tls, "filters": outer}]
                },
                {"name": "inside", "internal_listener": {}, "filter_chains": [{"filters": inside}]}
            ],
            "clusters": [{
                "name": "inside",
                "load_assignment": {"cluster_name": "inside", "endpoints": [
                    {"lb_endpoints": [{"endpoint": {"address": address}}]}
                ]},
                "transport_socket": internal
            }]
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_identity_of_a_tunnel_is_taken_from_filter_state() {
    let certificates = Certificates::new().unwrap();
    let server = certificates.issue(&["localhost"]).unwrap();
    let mutual = certificates.mutual_tls(&server);
    let file = |path: &std::path::Path| json!({"filename": path});
    let tls = json!({"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": true,
        "common_tls_context": {
            "tls_certificates": [{
                "certificate_chain": file(&mutual.certificate), "private_key": file(&mutual.key)
            }],
            "validation_context": {"trusted_ca": file(&certificates.authority())}
        }
    }});
    let config = from(json!({"principals": ["cluster.local/ns/default/sa/sleep"]}));
    let envoy = Envoy::from_bootstrap(&tunnel(&tls, &config).to_string())
        .unwrap()
        .start()
        .await
        .unwrap();
    for (name, status) in [
        ("spiffe://cluster.local/ns/default/sa/sleep", 200),
        ("spiffe://cluster.local/ns/x/sa/sleep", 403),
    ] {
        let identity = certificates.issue(&[name]).unwrap();
        let tls = certificates.client_tls(Some(&identity)).unwrap();
        let client = Client::http1(envoy.address("outer")).tls(tls, "localhost");
        assert_eq!(client.get("/").await.unwrap().status, status, "{name}");
    }
}

fn filter_of(config: &Value) -> HttpFilter {
    filter(config).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_keep_their_types() {
    let mut typed = when("request.auth.claims[age]", &["42"]);
    typed["typedClaims"] = json!(true);
    let payload = json!({
        "iss": "i", "sub": "s", "age": 42, "admin": true, "groups": ["a", 7, "dev"],
        "realm": {"roles": ["editor"]}, "quoted": "42", "https://x.y/z": "slash"
    });
    let mut boolean = when("request.auth.claims[admin]", &["true"]);
    boolean["typedClaims"] = json!(true);
    let mut listed = when("request.auth.claims[groups]", &["7"]);
    listed["typedClaims"] = json!(true);
    let cases = [
        (when("request.auth.principal", &["i/s"]), 200),
        (when("request.auth.claims[groups]", &["dev"]), 200),
        (when("request.auth.claims[groups]", &["7"]), 403),
        (when("request.auth.claims[realm][roles]", &["ed*"]), 200),
        (when("request.auth.claims[https://x.y/z]", &["slash"]), 200),
        (when("request.auth.claims[age]", &["42"]), 403),
        (when("request.auth.claims[quoted]", &["42"]), 200),
        (typed, 200),
        (boolean, 200),
        (listed, 200),
        (when("experimental.envoy.filters.http.f[k]", &["[x]"]), 200),
        (when("experimental.envoy.filters.http.f[k]", &["x"]), 403),
    ];
    for builder in builders() {
        let configs: Vec<Value> = cases.iter().map(|(config, _)| config.clone()).collect();
        let envoy = start(builder, &configs).await;
        for (number, (config, status)) in cases.iter().enumerate() {
            let request = Request::get("/")
                .header(PAYLOAD_HEADER, metadata_header(&payload))
                .header(OTHER_HEADER, metadata_header(&json!(["x"])));
            let answer = envoy
                .client(&number.to_string())
                .send(request)
                .await
                .unwrap();
            assert_eq!(answer.status, *status, "{config}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_cookies_lists_and_expressions_match() {
    let mut groups = when("request.headers[x-groups]", &["dev"]);
    groups["splitHeaders"] = json!(["X-Groups"]);
    let regex = |key: &str, list: &str, pattern: &str| {
        only(json!({"when": [{"key": key, list: [pattern]}]}))
    };
    let cases = [
        (when("request.query[user]", &["a b"]), 200),
        (when("request.query[user]", &["a"]), 403),
        (when("request.cookies[session]", &["x*"]), 200),
        (when("request.headers[x-groups]", &["dev"]), 403),
        (groups, 200),
        (
            regex("request.headers[x-groups]", "valuesRegex", "ops, *(dev|qa)"),
            200,
        ),
        (
            regex("request.headers[x-groups]", "valuesRegex", "dev"),
            403,
        ),
        (
            regex("request.query[user]", "notValuesRegex", "[a-z]+"),
            200,
        ),
    ];
    let envoy = start(
        Envoy::builder(),
        &cases
            .iter()
            .map(|(config, _)| config.clone())
            .collect::<Vec<_>>(),
    )
    .await;
    for (number, (config, status)) in cases.iter().enumerate() {
        let request = Request::get("/p?x=1&user=a%20b")
            .header("x-groups", "ops, dev")
            .header("cookie", "a=b; session=\"xyz\"");
        let answer = envoy
            .client(&number.to_string())
            .send(request)
            .await
            .unwrap();
        assert_eq!(answer.status, *status, "{config}");
    }
}

/// A filter that leaves payloads of tokens under these keys, from headers of their
/// names, as jwt_authn does under its providers' in Envoy Gateway.
fn payloads_from_headers(keys: &[&str]) -> HttpFilter {
    let kind = "type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config";
    let rule = |key: &&str| {
        json!({"header": format!("x-{key}"), "remove": true, "on_header_present": {
            "metadata_namespace": "envoy.filters.http.jwt_authn", "key": key,
            "type": "PROTOBUF_VALUE", "encode": "BASE64",
        }})
    };
    let rules: Vec<Value> = keys.iter().map(rule).collect();
    HttpFilter::new(
        "envoy.filters.http.header_to_metadata",
        json!({"@type": kind, "request_rules": rules}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_read_under_any_name() {
    let deny = config(&[policy(
        "deny",
        "DENY",
        json!([{"when": [{"key": "request.auth.claims[role]", "values": ["guest"]}]}]),
    )]);
    let allow = when("request.auth.claims[role]", &["admin"]);
    let principal = from(json!({"requestPrincipals": ["i/admin"]}));
    let mut named = allow.clone();
    named["jwtPayloadKeys"] = json!(["a"]);
    let token = |role: &str| metadata_header(&json!({"iss": "i", "sub": role, "role": role}));
    let sent = |tokens: &[(&str, &str)]| {
        tokens
            .iter()
            .fold(Request::get("/"), |request, (key, role)| {
                request.header(format!("x-{key}"), token(role))
            })
    };
    /// Tokens by key and role; what deny, allow, principal and named answer.
    type Case<'a> = (&'a [(&'a str, &'a str)], [u16; 4]);
    let cases: [Case<'_>; 8] = [
        (&[], [200, 403, 403, 403]),
        (&[("payload", "guest")], [403, 403, 403, 403]),
        (&[("payload", "admin")], [200, 200, 200, 403]),
        (&[("a", "guest")], [403, 403, 403, 403]),
        (&[("a", "admin")], [200, 200, 200, 200]),
        (&[("a", "admin"), ("b", "guest")], [403, 403, 403, 200]),
        (&[("a", "guest"), ("b", "admin")], [403, 403, 403, 403]),
        (&[("a", "admin"), ("b", "admin")], [200, 200, 200, 200]),
    ];
    for builder in builders() {
        let mut builder = builder;
        for (name, config) in [
            ("0", &deny),
            ("1", &allow),
            ("2", &principal),
            ("3", &named),
        ] {
            let filters = vec![
                payloads_from_headers(&["payload", "a", "b"]),
                filter(config).into(),
            ];
            builder = builder.listener(listener(name, filters));
        }
        let envoy = builder.start().await.unwrap();
        for (tokens, expected) in cases {
            for (number, status) in expected.into_iter().enumerate() {
                let client = envoy.client(&number.to_string());
                let answer = client.send(sent(tokens)).await.unwrap();
                assert_eq!(answer.status, status, "{tokens:?} {number}");
            }
        }
        assert!(envoy.log_contains("requests carry several tokens"));
    }
}
