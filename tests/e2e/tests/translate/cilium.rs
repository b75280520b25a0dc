//! Cilium's HTTP rules, translated.

use meshpack_e2e::translate::{Callers, example};
use meshpack_harness::{Request, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn http_rules_let_in_what_their_expressions_match_as_a_whole() {
    let app = Upstream::start("deathstar").await.unwrap();
    let builder = example("cilium/deathstar.yaml")
        .with(&[
            "--principal",
            "org=empire:cluster.local/ns/galaxy/sa/tiefighter",
        ])
        .cluster("local:8080", &[&app])
        .saying("certs/tls.crt")
        .saying("ingress[2].toPorts[0].ports[0]: the port 9090 has no HTTP rules")
        .envoy();
    let callers = Callers::of(builder, "inbound-authz-policy-deathstar-8080").await;
    let ship = Some("spiffe://cluster.local/ns/galaxy/sa/tiefighter");
    let works = Some("spiffe://cluster.local/ns/works/sa/maintenance");
    let rebel = Some("spiffe://cluster.local/ns/galaxy/sa/xwing");
    for (who, method, path, status) in [
        (ship, "POST", "/v1/request-landing", 200),
        (ship, "POST", "/v1/request-landing?now=1", 403),
        (ship, "POST", "/v1/request-landing/", 403),
        (ship, "GET", "/v1/request-landing", 403),
        (ship, "GET", "/v1/hangars/12", 200),
        (ship, "HEAD", "/v1/hangars/12?x=1", 200),
        (ship, "GET", "/v1/hangars/12a", 403),
        (ship, "PUT", "/v1/exhaust-port", 403),
        (works, "POST", "/v1/request-landing", 403),
        (works, "PUT", "/v1/exhaust-port", 403),
        (rebel, "POST", "/v1/request-landing", 403),
        (None, "POST", "/v1/request-landing", 403),
    ] {
        let request = Request::new(method, path).authority("deathstar.galaxy");
        assert_eq!(
            callers.status(who, request).await,
            status,
            "{who:?} {method} {path}"
        );
    }
    let force = |value: &str| Request::new("PUT", "/v1/exhaust-port").header("x-has-force", value);
    assert_eq!(callers.status(works, force("true")).await, 200);
    assert_eq!(callers.status(works, force("false")).await, 403);
    assert_eq!(callers.status(ship, force("true")).await, 403);
    for (host, status) in [
        ("deathstar.galaxy", 200),
        ("deathstar.galaxy:8080", 200),
        ("deathstarxgalaxy", 403),
        ("deathstar.galaxy.evil", 403),
    ] {
        let request = Request::get("/v1/status/all").authority(host);
        assert_eq!(callers.status(works, request).await, status, "{host}");
    }
}

#[test]
fn clients_that_certificates_cannot_name_are_listed_and_denied() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../translate/cilium/deathstar.yaml"
    );
    let translated = meshpack_cli::translate::from_words(&[folder]).unwrap();
    let lost: Vec<&String> = translated
        .remarks
        .iter()
        .filter(|remark| remark.starts_with("not carried over"))
        .collect();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(
        lost[0].contains("org=empire") && lost[0].contains("--principal"),
        "{lost:?}"
    );
    assert!(
        !translated.yaml().contains("request-landing"),
        "an unnamed client is not let in"
    );
}
