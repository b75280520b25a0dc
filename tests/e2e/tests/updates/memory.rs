//! Configurations that come and go while requests flow: what is gone leaves nothing
//! behind, and open streams keep what they need.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meshpack_harness::{
    Cluster, DEFAULT_VERSION, Envoy, EnvoyBuilder, EnvoyVersion, Listener, Route, Swap, Upstream,
    WasmFilter, versions, wasm_module,
};
use serde_json::{Value, json};

const MODULES: [&str; 5] = [
    "authz_policy",
    "canary_split",
    "retry_budget",
    "telemetry",
    "meshpack",
];
/// Entries of each configuration: enough that one of them is tens of KiB in memory.
const ENTRIES: usize = 100;

/// The allocator's scatter; less than ten configurations take, however many came.
const SETTLING_KIB: u64 = 1024;

/// A configuration as large as every other, and different from them. Names that are
/// labels stay, because Envoy never frees a stat.
fn config(module: &str, revision: usize) -> Value {
    let each = |entry: fn(usize, usize) -> Value| -> Vec<Value> {
        (0..ENTRIES).map(|index| entry(index, revision)).collect()
    };
    match module {
        "authz_policy" => json!({"policies": each(|index, revision| json!({
            "metadata": {"name": format!("p{index}")},
            "spec": {"action": "DENY", "rules": [{
                "to": [{"operation": {"paths": [format!("/guarded/{revision:06}/{index}*")]}}],
            }]},
        }))}),
        "canary_split" => json!({"splits": each(|index, revision| json!({
            "name": format!("s{index}"), "salt": format!("{revision:06}"),
            "match": {"hosts": [format!("h{index}.example.com")]},
            "stickyBy": [{"header": "x-user-id"}],
            "arms": [{"value": "v1", "weight": 90}, {"value": "v2", "weight": 10}],
            "abort": {"arm": "v2", "baseline": "v1"},
        }))}),
        "retry_budget" => json!({"budgets": each(|index, revision| json!({
            "name": format!("b{index}"),
            "match": {"hosts": [format!("h{index}-{revision:06}.example.com")]},
        }))}),
        "telemetry" => json!({
            "metrics": [{
                "name": "changes_total", "type": "counter",
                "labels": {"operation": "path_template", "tenant": "request.headers[\"x-tenant\"]"},
                "when": format!("request.url_path != \"/{revision:06}\""),
            }],
            "pathTemplates": (0..ENTRIES)
                .map(|index| format!("/t{revision:06}/{index}/{{id}}"))
                .collect::<Vec<_>>(),
        }),
        _ => json!({
            "authz": config("authz_policy", revision), "canary": config("canary_split", revision),
            "retry": config("retry_budget", revision), "telemetry": config("telemetry", revision),
        }),
    }
}

fn filter(module: &str, revision: usize) -> WasmFilter {
    WasmFilter::new(module, wasm_module(module).unwrap()).config(&config(module, revision))
}

/// A proxy whose five filters can all be swapped.
fn proxy(upstream: &Upstream, version: EnvoyVersion) -> EnvoyBuilder {
    let listener = MODULES
        .iter()
        .fold(Listener::new("in"), |listener, &module| {
            listener.swappable_filter(module, filter(module, 0))
        });
    Envoy::builder()
        .version(version)
        .concurrency(2)
        .quiet()
        .listener(listener.route(Route::to("app")))
        .cluster(Cluster::new("app").endpoint(upstream.address()))
}

/// What a module's VM on one thread held when it said so last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    configurations: u64,
    memory_kib: u64,
}

/// By module and thread.
fn held(envoy: &Envoy) -> BTreeMap<(String, String), Held> {
    let mut last = BTreeMap::new();
    for line in envoy.log().lines() {
        let Some((before, said)) = line.split_once(": configurations held: ") else {
            continue;
        };
        let (count, rest) = said.split_once(", memory: ").unwrap();
        let (memory, _) = rest.split_once(" KiB").unwrap();
        let module = before.rsplit(' ').next().unwrap();
        let thread = line.split("][").nth(1).unwrap();
        let held = Held {
            configurations: count.parse().unwrap(),
            memory_kib: memory.parse().unwrap(),
        };
        last.insert((module.to_owned(), thread.to_owned()), held);
    }
    last
}

/// Most that any VM of each module holds.
fn most(envoy: &Envoy) -> BTreeMap<String, Held> {
    let mut most: BTreeMap<String, Held> = BTreeMap::new();
    for ((module, _), held) in held(envoy) {
        let entry = most.entry(module).or_default();
        entry.configurations = entry.configurations.max(held.configurations);
        entry.memory_kib = entry.memory_kib.max(held.memory_kib);
    }
    most
}

async fn change_all(envoy: &Envoy, revision: usize) {
    for module in MODULES {
        let swap = envoy.swap_filter_config(module, filter(module, revision));
        assert_eq!(swap.await.unwrap(), Swap::Accepted, "{module} {revision}");
    }
}

/// Changes of each configuration: `MESHPACK_SOAK_CHANGES`, 1000 for the claim.
fn changes() -> usize {
    let wanted = std::env::var("MESHPACK_SOAK_CHANGES").ok();
    wanted.map_or(60, |text| text.parse().expect("a number of changes"))
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_flat_while_configurations_change_under_traffic() {
    for version in versions().unwrap() {
        let changes = if version == DEFAULT_VERSION {
            changes()
        } else {
            9
        };
        memory_is_flat(version, changes).await;
    }
}

async fn memory_is_flat(version: EnvoyVersion, changes: usize) {
    let upstream = Upstream::start("app").await.unwrap();
    let envoy = proxy(&upstream, version).start().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (client, stop) = (envoy.client("in"), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut served = 0;
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/").await.unwrap().status, 200);
                    served += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                served
            })
        })
        .collect();

    let warm = changes / 3;
    for revision in 1..=warm {
        change_all(&envoy, revision).await;
    }
    let before = most(&envoy);
    for revision in warm + 1..=changes {
        change_all(&envoy, revision).await;
    }
    let after = most(&envoy);
    println!("{version} after {warm} changes: {before:?}\nafter {changes} changes: {after:?}");
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0, "no traffic");
    }
    for module in MODULES {
        let (before, after) = (before[module], after[module]);
        assert!(
            after.configurations <= 4,
            "{version}: {module} holds {after:?}"
        );
        assert!(
            after.memory_kib <= before.memory_kib + SETTLING_KIB,
            "{version}: {module} grows: {before:?}, then {after:?}"
        );
    }
}
