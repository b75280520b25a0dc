//! Consul, translated: router, splitter, intentions.

use std::time::Duration;

use meshpack_e2e::translate::{Callers, example};
use meshpack_e2e::undisturbed;
use meshpack_harness::{Behavior, Request, Script, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn the_router_goes_before_the_splitter_and_shares_are_fine() {
    undisturbed(attempt_the_router_goes_before_the_splitter_and_shares_are_fine).await;
}

async fn attempt_the_router_goes_before_the_splitter_and_shares_are_fine() {
    let v1 = Upstream::start("v1").await.unwrap();
    let v2 = Upstream::start("v2").await.unwrap();
    let admin = Upstream::start("admin").await.unwrap();
    let envoy = example("consul/traffic.json")
        .with(&["--sticky-by", "header:x-user-id"])
        .cluster("web/v1", &[&v1])
        .cluster("web/v2", &[&v2])
        .cluster("admin", &[&admin])
        .envoy()
        .start()
        .await
        .unwrap();
    let client = envoy.client("outbound");
    fn call(method: &str, path: &str, user: usize) -> Request {
        let user = format!("user-{user}");
        Request::new(method, path)
            .authority("web")
            .header("x-user-id", user)
    }
    let answer = client.send(call("GET", "/admin/users", 1)).await.unwrap();
    assert_eq!(answer.upstream(), Some("admin"));
    let users = 12_000;
    let coffees = client
        .load(users, 16, |user| call("GET", "/coffees", user))
        .await;
    assert_eq!(coffees.with_status(200), users);
    // 1.5 %, give or take four standard deviations.
    let (canary, mean) = (coffees.by_upstream()["v2"] as f64, users as f64 * 0.015);
    assert!((canary - mean).abs() < 4.0 * mean.sqrt(), "{canary}");
    let teas = client.load(500, 8, |user| call("GET", "/teas", user)).await;
    for (coffee, tea) in coffees.iter().zip(teas.iter()) {
        assert_eq!(
            coffee.upstream(),
            tea.upstream(),
            "one arm on all routes of the service"
        );
    }
    let user_of_v1 = coffees
        .iter()
        .position(|one| one.upstream() == Some("v1"))
        .unwrap();

    v1.set(Behavior::status(503));
    for (method, path, attempts) in [
        ("GET", "/coffees", 3),
        ("POST", "/coffees", 1),
        ("GET", "/teas", 1),
    ] {
        v1.forget();
        let status = client
            .send(call(method, path, user_of_v1))
            .await
            .unwrap()
            .status;
        assert_eq!(
            (status, v1.recorded().len()),
            (503, attempts),
            "{method} {path}"
        );
    }
    v1.forget();
    v1.set(Script::first(1, Behavior::reset(), Behavior::echo()));
    let answer = client
        .send(call("GET", "/coffees", user_of_v1))
        .await
        .unwrap();
    assert_eq!((answer.status, v1.recorded().len()), (200, 2));
    admin.set(Behavior::hang());
    let begin = std::time::Instant::now();
    let answer = client.send(call("GET", "/admin", 1)).await.unwrap();
    let took = begin.elapsed();
    assert_eq!(answer.status, 504);
    assert!(
        took >= Duration::from_millis(950) && took < Duration::from_millis(1500),
        "{took:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_permission_of_the_most_specific_source_decides() {
    let app = Upstream::start("api").await.unwrap();
    let builder = example("consul/intentions.yaml")
        .cluster("local", &[&app])
        .saying("certs/tls.crt")
        .envoy();
    let callers = Callers::of(builder, "inbound-authz-policy-api").await;
    let service =
        |name: &str| format!("spiffe://11111111-2222.consul/ns/default/dc/dc1/svc/{name}");
    let [dashboard, reports, legacy, other] =
        ["admin-dashboard", "report-generator", "legacy", "web"].map(service);
    let evil = service("not-admin-dashboard");
    let (dashboard, reports) = (Some(dashboard.as_str()), Some(reports.as_str()));
    let (legacy, other) = (Some(legacy.as_str()), Some(other.as_str()));
    for (who, method, path, status) in [
        (dashboard, "GET", "/private/health", 200),
        (dashboard, "POST", "/private/health", 403),
        (dashboard, "GET", "/private/keys", 403),
        (dashboard, "PUT", "/anything", 200),
        (dashboard, "DELETE", "/anything", 403),
        (reports, "GET", "/v2/widgets/7", 200),
        (reports, "POST", "/v2/widgets/7", 403),
        (reports, "POST", "/v2/reports/12?full=1", 200),
        (reports, "POST", "/v2/reports/x", 403),
        (reports, "GET", "/status", 403),
        (legacy, "GET", "/status", 403),
        (other, "GET", "/status", 200),
        (other, "GET", "/v2/widgets", 403),
        (Some(&evil), "PUT", "/anything", 403),
        (None, "GET", "/status", 403),
    ] {
        let got = callers.status(who, Request::new(method, path)).await;
        assert_eq!(got, status, "{who:?} {method} {path}");
    }
    let confirmed = Request::new("DELETE", "/anything").header("x-confirmed", "yes");
    assert_eq!(callers.status(dashboard, confirmed).await, 200);
}
