//! A budget kept attempt by attempt, as an upstream HTTP filter, beside the
//! filter's own modes: what it would give and what it would take.

use std::time::Duration;

use meshpack_e2e::retry::{cluster, filter, is_retry, virtual_host};
use meshpack_e2e::undisturbed;
use meshpack_harness::{
    Behavior, Client, Envoy, EnvoyBuilder, Listener, Request, Script, Upstream, WasmFilter,
    versions, wasm_module,
};
use serde_json::json;

/// Where a budget of 20 % is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Reserve,
    Settle,
    PerAttempt,
}

const KEPT: [Kept; 3] = [Kept::Reserve, Kept::Settle, Kept::PerAttempt];

impl Kept {
    /// Adds a listener and a cluster, both called `name`.
    fn add_to(self, envoy: EnvoyBuilder, name: &str, upstream: &Upstream) -> EnvoyBuilder {
        let listener = Listener::new(name).virtual_host(virtual_host(name));
        let cluster = cluster(name, upstream.address());
        let mode = match self {
            Self::Reserve => "reserve",
            Self::Settle => "settle",
            Self::PerAttempt => {
                let module = wasm_module("examples/per_attempt").unwrap();
                let filter = WasmFilter::new("per_attempt", module).config(&json!({"name": name}));
                return envoy
                    .listener(listener)
                    .cluster(cluster.upstream_filter(filter));
            }
        };
        let config = json!({"budgets": [{
            "name": name, "mode": mode, "budget": {"percent": 20, "interval": "10s"},
            "minRetryRate": {"count": 0},
        }]});
        envoy
            .listener(listener.filter(filter(&config).unwrap()))
            .cluster(cluster)
    }
}

/// A load on one of them, and what came of it.
struct Scene {
    kept: Kept,
    latency: u64,
    rate: f64,
    seconds: u64,
    upstream: Upstream,
}

#[derive(Debug)]
struct Outcome {
    kept: Kept,
    latency: u64,
    /// Retries per request.
    retries: f64,
    succeeded: f64,
    /// Requests that got another answer than the upstream's.
    replaced: f64,
}

impl Scene {
    async fn new(kept: Kept, latency: u64, rate: f64, seconds: u64, failing: f64) -> Self {
        let slow = |status| Behavior::status(status).delay(Duration::from_millis(latency));
        let script = Script::fraction(failing, 5, slow(502), slow(200));
        Self {
            kept,
            latency,
            rate,
            seconds,
            upstream: Upstream::start_with("app", script).await.unwrap(),
        }
    }

    async fn run(self, client: Client) -> Outcome {
        let duration = Duration::from_secs(self.seconds);
        let outcomes = client
            .rate(self.rate, duration, |_| Request::get("/"))
            .await;
        let retries = self
            .upstream
            .recorded()
            .iter()
            .filter(|r| is_retry(r))
            .count();
        let share = |count: usize| count as f64 / outcomes.len() as f64;
        let outcome = Outcome {
            kept: self.kept,
            latency: self.latency,
            retries: share(retries),
            succeeded: share(outcomes.with_status(200)),
            replaced: share(outcomes.with_status(503)),
        };
        eprintln!("{outcome:?}");
        outcome
    }
}

/// All scenes at once in one Envoy.
async fn run(scenes: Vec<Scene>) -> Vec<Outcome> {
    let mut envoy = Envoy::builder().concurrency(2);
    for (number, scene) in scenes.iter().enumerate() {
        envoy = scene
            .kept
            .add_to(envoy, &number.to_string(), &scene.upstream);
    }
    let envoy = envoy.start().await.unwrap();
    let mut loads = tokio::task::JoinSet::new();
    for (number, scene) in scenes.into_iter().enumerate() {
        loads.spawn(scene.run(envoy.client(&number.to_string())));
    }
    loads.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_each_attempt_holds_no_tighter_bound_and_replaces_answers() {
    undisturbed(attempt_counting_each_attempt_holds_no_tighter_bound_and_replaces_answers).await;
}

async fn attempt_counting_each_attempt_holds_no_tighter_bound_and_replaces_answers() {
    let mut scenes = Vec::new();
    for kept in KEPT {
        for (latency, rate) in [(5, 100.0), (100, 100.0), (1000, 60.0)] {
            scenes.push(Scene::new(kept, latency, rate, 13, 1.0).await);
        }
    }
    let outcomes = run(scenes).await;
    let of = |kept| outcomes.iter().filter(move |outcome| outcome.kept == kept);
    for outcome in of(Kept::Reserve).chain(of(Kept::PerAttempt)) {
        assert!((0.19..=0.2).contains(&outcome.retries), "{outcome:?}");
    }
    assert!(of(Kept::Reserve).all(|outcome| outcome.replaced == 0.0));
    assert!(
        of(Kept::PerAttempt).any(|outcome| outcome.replaced > 0.0),
        "failures in flight at once outrun each other: {outcomes:?}"
    );
    let slow = of(Kept::Settle).find(|outcome| outcome.latency == 1000);
    assert!(
        slow.unwrap().retries > 0.25,
        "settling overshoots: {slow:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_each_attempt_locks_nothing() {
    undisturbed(attempt_counting_each_attempt_locks_nothing).await;
}

async fn attempt_counting_each_attempt_locks_nothing() {
    let mut scenes = Vec::new();
    for kept in KEPT {
        scenes.push(Scene::new(kept, 1000, 20.0, 30, 0.1).await);
    }
    let outcomes = run(scenes).await;
    let succeeded = |kept| {
        let found = outcomes.iter().find(|outcome| outcome.kept == kept);
        found.unwrap().succeeded
    };
    assert!(succeeded(Kept::Reserve) < succeeded(Kept::PerAttempt));
    assert!((succeeded(Kept::Settle) - succeeded(Kept::PerAttempt)).abs() < 0.01);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_runs_an_upstream_filter_and_obeys_its_mark() {
    undisturbed(attempt_every_version_runs_an_upstream_filter_and_obeys_its_mark).await;
}

async fn attempt_every_version_runs_an_upstream_filter_and_obeys_its_mark() {
    for version in versions().unwrap() {
        let upstream = Upstream::start_with("app", Behavior::status(502))
            .await
            .unwrap();
        let envoy = Kept::PerAttempt
            .add_to(Envoy::builder().version(version), "in", &upstream)
            .start()
            .await
            .unwrap();
        let client = envoy.client("in");
        let marked = client.load(100, 1, |_| Request::get("/")).await;
        assert_eq!(upstream.requests(), 120, "{version}");
        assert_eq!(marked.with_status(502), 100, "{version}: answers are kept");
        // A reset has no answer to mark: the first attempt's failure is replaced.
        upstream.set(Behavior::reset());
        let reset = client.load(50, 1, |_| Request::get("/")).await;
        assert_eq!(upstream.requests(), 120 + 60, "{version}");
        let refused = reset.count(|outcome| {
            let answer = outcome.result.as_ref().unwrap();
            answer.text() == "retry budget exhausted"
        });
        assert!(refused >= 40, "{version}: {refused}");
    }
}
