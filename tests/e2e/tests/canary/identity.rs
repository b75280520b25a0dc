//! What splits of one name share, and secret salts.

use std::time::Duration;

use meshpack_e2e::canary::{HEADER, answering, arms, by, filter, flagd, ids, replace, split};
use meshpack_harness::{Behavior, Cluster, Envoy, Listener, Route, Upstream, WasmFilter};
use serde_json::{Value, json};

fn guarded(name: &str, more: Value) -> Value {
    let mut with = json!({
        "name": name,
        "abort": {"arm": "v2", "baseline": "v1", "cooldown": "10m"},
    });
    replace(&mut with, more);
    split("payments", [50.0, 50.0], with)
}

/// Two listeners: the canary of the first always fails, that of the second is
/// healthy.
async fn two(first: WasmFilter, second: WasmFilter) -> (Envoy, [Upstream; 3]) {
    let v1 = Upstream::start("v1").await.unwrap();
    let bad = Upstream::start_with("bad", Behavior::status(500))
        .await
        .unwrap();
    let good = Upstream::start("good").await.unwrap();
    let listener = |name: &str, filter: WasmFilter, canary: &str| {
        Listener::new(name)
            .filter(filter)
            .route(Route::to(canary).when_header(HEADER, "v2"))
            .route(Route::to("v1"))
    };
    let envoy = Envoy::builder()
        .listener(listener("first", first, "bad"))
        .listener(listener("second", second, "good"))
        .cluster(Cluster::new("v1").endpoint(v1.address()))
        .cluster(Cluster::new("bad").endpoint(bad.address()))
        .cluster(Cluster::new("good").endpoint(good.address()))
        .start()
        .await
        .unwrap();
    (envoy, [v1, bad, good])
}

#[tokio::test(flavor = "multi_thread")]
async fn splits_of_one_name_do_not_touch_each_others_abort() {
    let long = "n".repeat(100);
    let pairs = [
        (
            guarded("payments", json!({"salt": "s1"})),
            guarded("payments", json!({"salt": "s2"})),
        ),
        (
            guarded("payments", json!({})),
            guarded(
                "payments",
                json!({"match": {"hosts": ["payments", "other"]}}),
            ),
        ),
        (
            guarded(&format!("{long}a"), json!({})),
            guarded(&format!("{long}b"), json!({})),
        ),
    ];
    for (first, second) in pairs {
        let what = format!("{first} {second}");
        let (envoy, [_v1, bad, good]) = two(filter(&[first]), filter(&[second])).await;
        let (one, other) = (envoy.client("first"), envoy.client("second"));
        let request = |index: usize| by(&format!("user-{index}"), "payments");
        let time = Duration::from_secs(8);
        let (_, outcomes) = tokio::join!(
            one.rate(60.0, time, request),
            other.rate(60.0, time, request)
        );
        let share = good.requests() as f64 / outcomes.len() as f64;
        assert!(bad.requests() < 60, "{} failed: {what}", bad.requests());
        assert!(
            (0.3..0.7).contains(&share),
            "{share} of the healthy one: {what}"
        );
        assert!(!envoy.log_contains("cooldown over"), "{what}");
    }
}

/// The VM's environment.
fn with_variables(filter: WasmFilter, variables: Value) -> WasmFilter {
    filter.merge(json!({"vm_config": {"environment_variables": {"key_values": variables}}}))
}

const SECRET: &str = "a secret that no client knows";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_vm_decides_who_is_in_the_canary() {
    let plain = |more: Value| {
        let mut split = split("payments", [50.0, 50.0], more);
        split.as_object_mut().unwrap().remove("salt");
        split
    };
    let users = ids(400);
    let computed: Vec<String> = users
        .iter()
        .map(|id| flagd("payments", id, [50, 50]).to_owned())
        .collect();
    let same = |a: &[String], b: &[String]| a.iter().zip(b).filter(|(a, b)| a == b).count();
    let default = json!({"MESHPACK_CANARY_SECRET": SECRET});
    let named = json!({"PAYMENTS": SECRET});
    let mut hidden = Vec::new();
    for (more, variables, secret) in [
        (json!({}), json!({}), false),
        (json!({}), default.clone(), true),
        (
            json!({"secretSalt": {"env": "PAYMENTS"}}),
            named.clone(),
            true,
        ),
        (
            json!({"salt": "payments", "secretSalt": {"env": "PAYMENTS"}}),
            named,
            true,
        ),
        (json!({"salt": "payments"}), default.clone(), true),
        (json!({"secretSalt": "none"}), default, false),
    ] {
        let mut split = plain(json!({}));
        replace(&mut split, more.clone());
        let envoy = answering(with_variables(filter(&[split]), variables))
            .concurrency(2)
            .start()
            .await
            .unwrap();
        let found = arms(&envoy.client("in"), &users, "payments").await;
        assert!(!envoy.log_contains(SECRET), "{more}");
        if secret {
            let alike = same(&found, &computed);
            assert!(
                (140..260).contains(&alike),
                "{alike} of 400 are as computed: {more}"
            );
            hidden.push(found);
        } else {
            assert_eq!(found, computed, "{more}");
        }
    }
    assert!(
        hidden.windows(2).all(|two| two[0] == two[1]),
        "one secret, one assignment"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_none_is_refused() {
    let split = split(
        "payments",
        [1.0, 1.0],
        json!({"secretSalt": {"env": "PAYMENTS"}}),
    );
    for (variables, problem) in [
        (
            json!({}),
            "splits[0].secretSalt: the VM has no variable PAYMENTS: ",
        ),
        (
            json!({"PAYMENTS": "too short 31337"}),
            "splits[0].secretSalt: the variable PAYMENTS is shorter than 16 bytes",
        ),
    ] {
        let filter = with_variables(filter(std::slice::from_ref(&split)), variables);
        let error = answering(filter).start().await.err().expect("refused");
        assert!(error.log().contains(problem), "{}", error.log());
        assert!(!error.log().contains("31337"));
    }
}
