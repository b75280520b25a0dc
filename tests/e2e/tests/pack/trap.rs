//! What a trap in one part does to the others, under each failure policy of
//! Envoy: the table of the pack's page.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meshpack_e2e::canary::{flagd, ids};
use meshpack_e2e::pack::{Services, proxy};
use meshpack_e2e::shipped::read;
use meshpack_harness::{
    Behavior, Client, Envoy, EnvoyVersion, FailurePolicy, Listener, Recorded, Request, Route,
    Script, WasmFilter, versions, wasm_module,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// In the third part of four, the retry budget.
const PHASES: [&str; 4] = ["request", "response", "log", "tick"];
const POLICIES: [(FailurePolicy, &str); 3] = [
    (FailurePolicy::FailClosed, "FAIL_CLOSED"),
    (FailurePolicy::FailOpen, "FAIL_OPEN"),
    (FailurePolicy::FailReload, "FAIL_RELOAD"),
];
/// Longer than Envoy's second, so that a busy machine still looks before it is over.
const BACK_OFF: &str = "3s";
/// Longer than that with its jitter.
const RELOADED: Duration = Duration::from_secs(5);
/// How long the request takes that is in flight when the part traps.
const SLOW: Duration = Duration::from_secs(2);

fn config(salt: &str) -> Value {
    json!({
        "authz": {"policies": [{
            "metadata": {"name": "admin"},
            "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/admin"]}}]}]},
            "denyWith": {"status": 404},
        }]},
        "canary": {"splits": [{
            "name": "all", "salt": salt, "stickyBy": [{"header": "x-user-id"}],
            "arms": [{"value": "v1", "weight": 50}, {"value": "v2", "weight": 50}],
        }]},
        // A few retries in an hour and no more.
        "retry": {"budgets": [{
            "name": "all", "budget": {"percent": 0, "interval": "1h"},
            "minRetryRate": {"count": 4, "interval": "1h"},
        }]},
        "telemetry": {},
    })
}

/// What the pack does for a user of v2, whose budget is spent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AtWork {
    /// The answer to a request that a policy denies.
    denied: u16,
    /// Who answers a user of v2, or with what status nobody does.
    arm: String,
    /// How often a request is tried that fails.
    attempts: u64,
}

impl AtWork {
    /// In the words of the page.
    fn says(&self) -> String {
        match (self.denied, self.arm.as_str(), self.attempts) {
            (404, "v2", 1) => "every part at work as before".to_owned(),
            (200, "v1", 3) => "pass without any part".to_owned(),
            (503, "503", 0) => "503".to_owned(),
            _ => format!("{self:?}"),
        }
    }
}

struct Scene<'a> {
    envoy: &'a Envoy,
    client: Client,
    services: &'a Services,
    user: String,
}

impl Scene<'_> {
    fn request(&self, path: &str) -> Request {
        Request::get(path).header("x-user-id", &self.user)
    }

    async fn status(&self, request: Request) -> u16 {
        self.client.send(request).await.unwrap().status
    }

    fn reached(&self) -> u64 {
        self.services.v1.requests() + self.services.v2.requests()
    }

    async fn look(&self) -> AtWork {
        let denied = self.status(self.request("/admin")).await;
        let answer = self.client.send(self.request("/")).await.unwrap();
        let arm = match answer.upstream() {
            Some(arm) => arm.to_owned(),
            None => answer.status.to_string(),
        };
        let before = self.reached();
        let failing = self.request("/").header("x-do", "503");
        assert_eq!(self.status(failing).await, 503);
        AtWork {
            denied,
            arm,
            attempts: self.reached() - before,
        }
    }

    /// Requests that telemetry has counted.
    async fn counted(&self) -> u64 {
        let stats = self.envoy.admin().stats_starting_with("wasmcustom.").await;
        let requests = |(name, _): &(&String, &u64)| name.contains(".meshpack_requests_total");
        stats.unwrap().iter().filter(requests).map(|(_, n)| n).sum()
    }
}

/// What one trap did.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// What the request that trapped was answered.
    in_hand: u16,
    /// Whether a service got it.
    in_hand_arrived: bool,
    /// What a request in flight on the same worker was answered.
    in_flight: u16,
    /// Right after the trap.
    then: AtWork,
    /// After Envoy would have started the VM again.
    later: AtWork,
    /// What another plugin of the same VM answers right after the trap.
    neighbour: u16,
    /// The first request after Envoy would have started the VM again.
    first_later: u16,
    /// Of the three requests after that.
    counted_later: u64,
}

fn script() -> Script {
    Script::new(|request: &Recorded, _| match request.header_text("x-do") {
        Some("503") => Behavior::status(503),
        Some("slow") => Behavior::echo().delay(SLOW),
        _ => Behavior::echo(),
    })
}

async fn trap(version: EnvoyVersion, policy: FailurePolicy, phase: &str) -> Seen {
    const SALT: &str = "trap";
    let services = Services::start().await.unwrap();
    services.v1.set(script());
    services.v2.set(script());
    let module = wasm_module("examples/trapping").unwrap();
    let plugin = |name: &str, config: &Value| {
        WasmFilter::new(name, &module)
            .root_id("meshpack")
            .vm_id("meshpack")
            .config(config)
            .failure_policy(policy)
            .merge(json!({"reload_config": {"backoff": {"base_interval": BACK_OFF}}}))
    };
    let neighbour = Listener::new("neighbour")
        .filter(plugin("neighbour", &json!({"telemetry": {}})))
        .route(Route::direct(200, "ok"));
    let envoy = proxy(vec![plugin("meshpack", &config(SALT))], &services)
        .listener(neighbour)
        .version(version)
        .quiet()
        .start()
        .await
        .unwrap();
    let users = ids(100);
    let of_v2 = |id: &&String| flagd(SALT, id, [50, 50]) == "v2";
    let scene = Scene {
        envoy: &envoy,
        client: envoy.client("in"),
        services: &services,
        user: users.iter().find(of_v2).unwrap().clone(),
    };

    // At work: the budget is spent, and every request counted.
    let mut sent = 3;
    loop {
        let before = scene.reached();
        let failing = scene.request("/").header("x-do", "503");
        assert_eq!(scene.status(failing).await, 503);
        sent += 1;
        if scene.reached() == before + 1 {
            break;
        }
        assert!(sent < 20, "the budget is never spent");
    }
    let expected = AtWork {
        denied: 404,
        arm: "v2".to_owned(),
        attempts: 1,
    };
    assert_eq!(scene.look().await, expected, "before the trap");
    let limit = tokio::time::Instant::now() + Duration::from_secs(60);
    while scene.counted().await < sent {
        assert!(tokio::time::Instant::now() < limit, "not counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let (client, slow) = (
        scene.client.clone(),
        scene.request("/").header("x-do", "slow"),
    );
    let before = scene.reached();
    let in_flight = tokio::spawn(async move { client.send(slow).await.unwrap().status });
    while scene.reached() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let in_hand = scene.request("/").header("x-trap", phase);
    let in_hand = scene.status(in_hand).await;
    let trapped = envoy
        .wait_for_log("Function: proxy_on", Duration::from_secs(60))
        .await;
    assert!(trapped, "no trap");
    let in_hand_arrived = scene.reached() == before + 2;
    let neighbour = envoy.client("neighbour").get("/").await.unwrap().status;
    let then = scene.look().await;
    let in_flight = in_flight.await.unwrap();
    tokio::time::sleep(RELOADED).await;
    // The first request starts the VM again, if any does.
    let first_later = scene.status(scene.request("/")).await;
    let kept = scene.counted().await;
    assert!(
        kept >= sent,
        "counts that Envoy had are gone: {kept} of {sent}"
    );
    let later = scene.look().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    Seen {
        in_hand,
        in_hand_arrived,
        in_flight,
        then,
        later,
        neighbour,
        first_later,
        counted_later: scene.counted().await - kept,
    }
}

impl Seen {
    /// What became of the request that trapped.
    fn in_hand(&self) -> String {
        let service = if self.in_hand_arrived {
            "a service got it"
        } else {
            "no service got it"
        };
        format!("{}, {service}", self.in_hand)
    }

    fn later_requests(&self) -> String {
        if self.then == self.later {
            return self.then.says();
        }
        format!("{}, then {}", self.then.says(), self.later.says())
    }

    /// Whether the first request after the back-off found the parts again, and was
    /// counted as were the three behind it.
    fn comes_back(&self) -> String {
        match (self.first_later, self.counted_later) {
            (200, 3) => "by itself".to_owned(),
            (_, 0) => "with the next configuration".to_owned(),
            (status, counted) => format!("{status}, {counted} counted"),
        }
    }
}

/// The lines of the page's table; a trap in each phase must agree on all but the first.
fn lines(seen: &BTreeMap<(&str, &str), Seen>) -> Vec<String> {
    let line = |what: &str, phases: &[&str], cell: &dyn Fn(&Seen) -> String| {
        let mut line = format!("| {what} |");
        for (_, policy) in POLICIES {
            let cells: BTreeSet<String> = phases
                .iter()
                .map(|phase| cell(&seen[&(policy, *phase)]))
                .collect();
            let cells: Vec<String> = cells.into_iter().collect();
            line.push_str(&format!(" {} |", cells.join(" or ")));
        }
        line
    };
    let neighbour = |seen: &Seen| seen.neighbour.to_string();
    vec![
        line(
            "the request that traps a part on its way in",
            &["request"],
            &Seen::in_hand,
        ),
        line("… on the way back", &["response"], &Seen::in_hand),
        line(
            "… at its end, or a trap between requests",
            &["log", "tick"],
            &Seen::in_hand,
        ),
        line("requests in flight in the same VM", &PHASES, &|seen| {
            seen.in_flight.to_string()
        }),
        line(
            "requests to another plugin of the same VM",
            &PHASES,
            &neighbour,
        ),
        line("later requests", &PHASES, &Seen::later_requests),
        line("the pack comes back", &PHASES, &Seen::comes_back),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_the_page_says_what_a_trap_does() {
    let page = read("filters/pack/README.md");
    let versions = versions().unwrap();
    let oldest_and_newest: BTreeSet<_> = versions
        .first()
        .into_iter()
        .chain(versions.last())
        .collect();
    let mut seen: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (policy, name) in POLICIES {
        // Most of it is waiting.
        let mut traps = JoinSet::new();
        for &&version in &oldest_and_newest {
            for phase in PHASES {
                traps.spawn(async move { (version, phase, trap(version, policy, phase).await) });
            }
        }
        for (version, phase, trap) in traps.join_all().await {
            let of_version = seen.entry(version).or_default();
            of_version.insert((name, phase), trap);
        }
    }
    for (version, seen) in &seen {
        for line in lines(seen) {
            assert!(
                page.contains(&line),
                "{version}: the page does not say {line}"
            );
        }
    }
}
