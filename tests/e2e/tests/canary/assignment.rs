//! Who goes where, on every supported version.

use std::collections::HashSet;

use meshpack_e2e::canary::{
    HEADER, answering, arm, arms, by, filter, flagd, ids, of, split, steering, texts, timestamp,
    unleash,
};
use meshpack_e2e::undisturbed;
use meshpack_harness::{
    Client, Envoy, EnvoyVersion, Listener, Request, Route, Swap, Upstream, versions,
};
use serde_json::{Value, json};

use super::tokens::{UID_12345, USER_1, USER_2, jwt_authn};

const HALF: [f64; 2] = [50.0, 50.0];

fn splits() -> Vec<Value> {
    let mut splits: Vec<Value> = [1.0, 5.0, 10.0, 25.0, 50.0]
        .iter()
        .map(|weight| {
            split(
                &format!("weight-{weight}"),
                [100.0 - weight, *weight],
                json!({}),
            )
        })
        .collect();
    splits.extend([
        split("salt-a", [90.0, 10.0], json!({"salt": "a"})),
        split("salt-b", [90.0, 10.0], json!({"salt": "b"})),
        split("unleash", [70.0, 30.0], json!({"hash": "unleash", "salt": "gr1"})),
        split("no-salt", HALF, json!({"salt": ""})),
        split("shorthand", HALF, json!({"salt": "fractional-flag-shorthand"})),
        split("cookie", HALF, json!({"stickyBy": [{"cookie": "session"}]})),
        split("address", HALF, json!({"stickyBy": ["sourceIp"]})),
        split("uid", HALF, json!({"stickyBy": [{"claim": "uid"}]})),
        split("claim", HALF, json!({"stickyBy": [{"claim": "sub"}]})),
        split("several", HALF, json!({"stickyBy": [{"header": "x-user-id"}, {"cookie": "session"}, {"claim": "sub"}, "sourceIp"]})),
        split("random", HALF, json!({"stickyBy": [{"header": "x-user-id"}]})),
        split("default", [0.0, 1.0], json!({"onMissingKey": "default"})),
        split("minted", HALF, json!({"onMissingKey": "cookie", "cookie": {"name": "sid", "ttl": "1h", "path": "/"}})),
        split("forced", [1.0, 0.0], json!({
            "force": {"header": "x-canary", "cookie": "canary"},
            "rules": [{"match": {"headers": {"x-beta": "1"}, "paths": ["/beta/{**}"]}, "value": "v2"}],
        })),
        split("three", [60.0, 20.0], json!({"arms": [
            {"value": "v1", "weight": 60}, {"value": "v2", "weight": 20}, {"value": "v3", "weight": 20},
        ]})),
    ]);
    splits
}

async fn start(version: EnvoyVersion, workers: u32) -> Envoy {
    let mut listener = Listener::new("in")
        .filter(jwt_authn(&[("p", "", "payload")]))
        .filter(filter(&splits()));
    for value in ["v1", "v2", "v3"] {
        listener = listener.route(Route::direct(200, value).when_header(HEADER, value));
    }
    Envoy::builder()
        .listener(listener.route(Route::direct(200, "default")))
        .concurrency(workers)
        .version(version)
        .start()
        .await
        .unwrap()
}

async fn shares_are_exact_and_nobody_leaves(client: &Client) {
    let users = ids(20_000);
    let at_5 = arms(client, &users, "weight-5").await;
    let share = of(&at_5, "v2") as f64 / 20_000.0;
    assert!((0.047..=0.053).contains(&share), "{share}");
    for (user, found) in users.iter().zip(&at_5) {
        assert_eq!(found, flagd("salt", user, [95, 5]), "{user}");
    }
    let users = &users[..2000];
    let mut before: Vec<String> = vec!["v1".into(); users.len()];
    for weight in [1, 5, 10, 25, 50] {
        let after = arms(client, users, &format!("weight-{weight}")).await;
        let left = before
            .iter()
            .zip(&after)
            .filter(|(b, a)| *b == "v2" && *a != "v2");
        assert_eq!(left.count(), 0, "at {weight} %");
        let share = of(&after, "v2") as f64 / 20.0;
        assert!(
            (share - f64::from(weight)).abs() < 4.0,
            "{share} % at {weight} %"
        );
        before = after;
    }
}

async fn salts_are_independent(client: &Client) {
    let users = ids(8000);
    let (a, b) = (
        arms(client, &users, "salt-a").await,
        arms(client, &users, "salt-b").await,
    );
    let joint = a
        .iter()
        .zip(&b)
        .filter(|(a, b)| *a == "v2" && *b == "v2")
        .count();
    // 1 % of 8000, give or take five standard deviations.
    assert!((36..=124).contains(&joint), "{joint}");
}

async fn buckets_equal_those_of_feature_flag_services(client: &Client) {
    let users = ids(1000);
    for (user, found) in users.iter().zip(&arms(client, &users, "unleash").await) {
        assert_eq!(found, unleash("gr1", user, 30), "{user}");
    }
    // flagd's own cases: the hashes at the edges of the range and of the arms.
    for (host, key, expected) in [
        ("no-salt", "ejOoVL", "v1"),
        ("no-salt", "bY9fO-", "v1"),
        ("no-salt", "SI7p-", "v1"),
        ("no-salt", "6LvT0", "v2"),
        ("no-salt", "ceQdGm", "v2"),
        ("shorthand", "jon@company.com", "v1"),
        ("shorthand", "jane@company.com", "v2"),
    ] {
        assert_eq!(arm(client, by(key, host)).await, expected, "{key}");
    }
    // Unleash's: "123" in the group "gr1" is number 73.
    assert_eq!(arm(client, by("123", "unleash")).await, "v1");
}

async fn every_source_of_a_key_works(client: &Client) {
    let session = |id: &str, host: &str| {
        Request::get("/")
            .authority(host)
            .header("cookie", format!("a=b; session={id}; c=d"))
    };
    let bearer = |token: &str, host: &str| {
        Request::get("/")
            .authority(host)
            .header("authorization", format!("Bearer {token}"))
    };
    let half = [50, 50];
    for id in ids(20) {
        assert_eq!(
            arm(client, session(&id, "cookie")).await,
            flagd("salt", &id, half)
        );
        assert_eq!(
            arm(client, session(&id, "several")).await,
            flagd("salt", &id, half)
        );
    }
    for (token, id) in [(USER_1, "user-1"), (USER_2, "user-2")] {
        for host in ["claim", "several"] {
            assert_eq!(
                arm(client, bearer(token, host)).await,
                flagd("salt", id, half),
                "{id}"
            );
        }
    }
    let found = arm(client, bearer(UID_12345, "uid")).await;
    assert_eq!(found, flagd("salt", "12345", half), "a number");
    for ip in [
        "127.0.0.1",
        "127.0.0.2",
        "127.0.0.3",
        "127.0.0.4",
        "127.0.0.5",
    ] {
        let client = client.clone().from_ip(ip.parse().unwrap());
        for host in ["address", "several"] {
            let request = Request::get("/").authority(host);
            assert_eq!(arm(&client, request).await, flagd("salt", ip, half), "{ip}");
        }
    }
    let both = session("user-1", "several").header("x-user-id", "user-2");
    assert_eq!(
        arm(client, both).await,
        flagd("salt", "user-2", half),
        "the first source wins"
    );
    let empty = session("user-1", "several").header("x-user-id", "");
    assert_eq!(
        arm(client, empty).await,
        flagd("salt", "user-1", half),
        "empty is missing"
    );
}

async fn requests_without_a_key_are_treated_as_configured(client: &Client) {
    let outcomes = client
        .load(2000, 32, |_| Request::get("/").authority("random"))
        .await;
    let canary = of(&texts(&outcomes), "v2");
    assert!((850..1150).contains(&canary), "{canary}");
    let request = Request::get("/").authority("default");
    assert_eq!(arm(client, request).await, "v1");

    let mut seen = HashSet::new();
    for _ in 0..20 {
        let first = client
            .send(Request::get("/").authority("minted"))
            .await
            .unwrap();
        let cookie = first.header("set-cookie").expect("an id cookie").to_owned();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Max-Age=3600; Path=/; HttpOnly; SameSite=Lax");
        assert!(seen.insert(pair.to_owned()), "ids differ");
        let again = Request::get("/").authority("minted").header("cookie", pair);
        let again = client.send(again).await.unwrap();
        assert_eq!(again.text(), first.text(), "the id keeps its arm");
        assert_eq!(again.header("set-cookie"), None, "and is minted once");
        let id = pair.strip_prefix("sid=").unwrap();
        assert_eq!(again.text(), flagd("salt", id, [50, 50]));
    }
    let secure = Request::get("/")
        .authority("minted")
        .header("x-forwarded-proto", "https");
    let secure = client.send(secure).await.unwrap();
    assert!(secure.header("set-cookie").unwrap().ends_with("; Secure"));
}

async fn force_and_rules_go_before_keys(client: &Client) {
    let request = |path: &str, headers: &[(&str, &str)]| {
        let request = Request::get(path)
            .authority("forced")
            .header("x-user-id", "user-1");
        headers.iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        })
    };
    for (path, headers, expected) in [
        ("/", &[][..], "v1"),
        ("/", &[("x-canary", "v2")], "v2"),
        ("/", &[("x-canary", "always")], "v2"),
        ("/", &[("cookie", "canary=always")], "v2"),
        ("/", &[("x-canary", "never"), ("cookie", "canary=v2")], "v1"),
        ("/", &[("x-canary", "v7"), ("cookie", "canary=v2")], "v2"),
        ("/", &[("x-canary", "v7")], "v1"),
        ("/beta/x?y", &[("x-beta", "1")], "v2"),
        ("/beta/x", &[("x-beta", "1"), ("x-canary", "never")], "v1"),
        ("/other", &[("x-beta", "1")], "v1"),
        ("/beta/x", &[("x-beta", "2")], "v1"),
    ] {
        assert_eq!(
            arm(client, request(path, headers)).await,
            expected,
            "{path} {headers:?}"
        );
    }
}

async fn the_steering_header_cannot_be_forged(client: &Client) {
    let forged = |host: &str| by("user-1", host).header(HEADER, "v3").header(HEADER, "v2");
    let rightful = flagd("salt", "user-1", [95, 5]);
    assert_eq!(arm(client, forged("weight-5")).await, rightful);
    assert_eq!(arm(client, forged("unmatched")).await, "default");
    assert_eq!(arm(client, by("user-1", "unmatched")).await, "default");
    assert_eq!(
        arm(client, by("user-1", "WEIGHT-5:8080")).await,
        rightful,
        "case, port"
    );
}

async fn three_arms_share_as_configured(client: &Client) {
    let found = arms(client, &ids(3000), "three").await;
    for (arm, share) in [("v1", 1800), ("v2", 600), ("v3", 600)] {
        assert!(
            of(&found, arm).abs_diff(share) < 140,
            "{arm}: {}",
            of(&found, arm)
        );
    }
}

async fn workers_and_proxies_agree(version: EnvoyVersion, one: &Client) {
    let users = ids(1000);
    let four = start(version, 4).await;
    // A connection per request spreads them over the workers.
    let client = four.client("in").connection_per_request();
    for host in ["weight-25", "unleash", "three"] {
        assert_eq!(
            arms(&client, &users, host).await,
            arms(one, &users, host).await
        );
    }
}

async fn requests_are_counted(envoy: &Envoy) {
    let name =
        "wasmcustom.meshpack_canary_requests_totalsplit=.=forced;.;arm=.=v2;.;reason=.=force;.;";
    let limit = std::time::Duration::from_secs(60);
    let counted = envoy.wait_for_stat(name, limit, |count| count == 4).await;
    assert!(counted.is_ok(), "{:?}", envoy.stat(name).await);
    let gauge = "wasmcustom.meshpack_canary_weightsplit=.=three;.;arm=.=v3;.;";
    assert_eq!(envoy.stat(gauge).await.unwrap(), Some(200_000));
}

async fn all_of_it(version: EnvoyVersion) {
    let envoy = start(version, 1).await;
    let client = envoy.client("in");
    the_steering_header_cannot_be_forged(&client).await;
    force_and_rules_go_before_keys(&client).await;
    every_source_of_a_key_works(&client).await;
    requests_without_a_key_are_treated_as_configured(&client).await;
    shares_are_exact_and_nobody_leaves(&client).await;
    salts_are_independent(&client).await;
    buckets_equal_those_of_feature_flag_services(&client).await;
    three_arms_share_as_configured(&client).await;
    workers_and_proxies_agree(version, &client).await;
    requests_are_counted(&envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn assignment_is_the_same_on_every_version() {
    for version in versions().unwrap() {
        println!("{version}");
        all_of_it(version).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_to_the_upstream_of_their_arm_on_every_version() {
    let v1 = Upstream::start("v1").await.unwrap();
    let v2 = Upstream::start("v2").await.unwrap();
    for version in versions().unwrap() {
        let splits = [split("payments", HALF, json!({}))];
        let envoy = steering(filter(&splits), &v1, &v2)
            .version(version)
            .start()
            .await
            .unwrap();
        for client in [envoy.client("in"), envoy.client_http2("in")] {
            for id in ids(40) {
                let answer = client.send(by(&id, "payments")).await.unwrap();
                let expected = flagd("salt", &id, [50, 50]);
                assert_eq!(answer.upstream(), Some(expected), "{version} {id}");
                let seen = answer.echo().unwrap();
                assert_eq!(seen.header(HEADER), Some(expected), "{version} {id}");
            }
            let other = client
                .send(by("user-1", "other").header(HEADER, "v2"))
                .await
                .unwrap();
            assert_eq!(
                other.upstream(),
                Some("v1"),
                "unmatched hosts take the default route"
            );
            assert_eq!(other.echo().unwrap().header(HEADER), None);
            assert_eq!(other.echo().unwrap().header("x-user-id"), Some("user-1"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_arm_can_be_a_cluster_name() {
    let v1 = Upstream::start("blue").await.unwrap();
    let v2 = Upstream::start("green").await.unwrap();
    let splits = [split(
        "shop",
        [0.0, 1.0],
        json!({"arms": [{"value": "blue", "weight": 0}, {"value": "green", "weight": 1}]}),
    )];
    let envoy = Envoy::builder()
        .listener(
            Listener::new("in")
                .filter(filter(&splits))
                .route(Route::to_cluster_in(HEADER)),
        )
        .cluster(meshpack_harness::Cluster::new("blue").endpoint(v1.address()))
        .cluster(meshpack_harness::Cluster::new("green").endpoint(v2.address()))
        .start()
        .await
        .unwrap();
    let answer = envoy.client("in").send(by("user-1", "shop")).await.unwrap();
    assert_eq!(answer.upstream(), Some("green"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ramp_raises_the_weight_as_time_passes() {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    // Ten minutes in: past the step to 10 %, before the one to 90 %.
    let start = timestamp(now.as_secs() - 600);
    let steps = json!([{"after": "0s", "weight": 1}, {"after": "5m", "weight": 10}, {"after": "1h", "weight": 90}]);
    let future = timestamp(now.as_secs() + 3600);
    let splits = [
        split(
            "step",
            HALF,
            json!({"ramp": {"arm": "v2", "start": start, "steps": steps}}),
        ),
        split(
            "future",
            HALF,
            json!({"ramp": {"arm": "v2", "start": future, "steps": steps}}),
        ),
        split(
            "linear",
            HALF,
            json!({"ramp": {"arm": "v2", "start": start, "interpolate": "linear",
            "steps": [{"after": "0s", "weight": 0}, {"after": "20m", "weight": 80}]}}),
        ),
    ];
    let envoy = answering(filter(&splits)).start().await.unwrap();
    let client = envoy.client("in");
    let users = ids(2000);
    let in_step = arms(&client, &users, "step").await;
    for (user, found) in users.iter().zip(&in_step) {
        assert_eq!(found, flagd("salt", user, [90, 10]));
    }
    assert_eq!(of(&arms(&client, &users, "future").await, "v2"), 0);
    let linear = of(&arms(&client, &users, "linear").await, "v2");
    assert!(
        (740..=880).contains(&linear),
        "{linear} of 2000, about 40 %"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ramp_starts_by_itself_when_its_time_comes() {
    undisturbed(attempt_a_ramp_starts_by_itself_when_its_time_comes).await;
}

async fn attempt_a_ramp_starts_by_itself_when_its_time_comes() {
    let starting = |start| {
        let ramp = json!({"arm": "v2", "start": start, "steps": [{"after": "0s", "weight": 100}]});
        filter(&[split("soon", HALF, json!({"ramp": ramp}))])
    };
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let listener = Listener::new("in")
        .swappable_filter("canary_split", starting(timestamp(now() + 3600)))
        .route(Route::direct(200, "v2").when_header(HEADER, "v2"))
        .route(Route::direct(200, "v1"));
    let envoy = Envoy::builder().listener(listener).start().await.unwrap();
    let client = envoy.client("in");
    // Loading takes its time on a busy machine; a swap is quick.
    let swapped = envoy
        .swap_filter_config("canary_split", starting(timestamp(now() + 8)))
        .await;
    assert_eq!(swapped.unwrap(), Swap::Accepted);
    assert_eq!(arm(&client, by("user-1", "soon")).await, "v1");
    let limit = std::time::Duration::from_secs(30);
    let gauge = "wasmcustom.meshpack_canary_weightsplit=.=soon;.;arm=.=v2;.;";
    envoy
        .wait_for_stat(gauge, limit, |weight| weight == 1_000_000)
        .await
        .unwrap();
    assert_eq!(
        arm(&client, by("user-1", "soon")).await,
        "v2",
        "the ramp has started"
    );
}
