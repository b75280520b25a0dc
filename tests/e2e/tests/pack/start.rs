//! How soon the pack serves: with a new configuration, and when Envoy starts.

use std::time::{Duration, Instant};

use meshpack_e2e::pack::{Services, composed, proxy};
use meshpack_harness::{Cluster, Envoy, Listener, Request, Route, Swap, WasmFilter, wasm_module};
use serde_json::{Value, json};

use super::equivalence::everything;

/// From the moment when a new configuration is there to the first answer by it.
const SERVED: Duration = Duration::from_millis(300);
/// Other work on the machine can only make it slower.
const TRIES: usize = 50;

/// Everything, and a policy of one path.
fn denying(path: &str) -> Value {
    let mut config = everything();
    let policies = config["authz"]["policies"].as_array_mut().unwrap();
    policies.push(json!({
        "metadata": {"name": "swapped"},
        "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"paths": [path]}}]}]},
        "denyWith": {"status": 418},
    }));
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_serves_within_300_milliseconds() {
    let services = Services::start().await.unwrap();
    let pack = |path: &str| {
        let module = wasm_module("meshpack").unwrap();
        WasmFilter::new("meshpack", module).config(&denying(path))
    };
    let listener = Listener::new("swapped")
        .swappable_filter("pack", pack("/never"))
        .route(Route::to("app"));
    let envoy = proxy(Vec::new(), &services)
        .listener(listener)
        .cluster(Cluster::new("app").endpoint(services.v1.address()))
        .concurrency(2)
        .quiet()
        .start()
        .await
        .unwrap();
    let client = envoy.client("swapped");
    let mut fastest = Duration::MAX;
    for number in 0..TRIES {
        let path = format!("/swap-{number}");
        let began = Instant::now();
        let swap = async {
            let swapped = envoy.swap_filter_config("pack", pack(&path)).await;
            assert_eq!(swapped.unwrap(), Swap::Accepted);
        };
        let served = async {
            loop {
                let answer = client.send(Request::get(&*path)).await.unwrap();
                if answer.status == 418 {
                    return began.elapsed();
                }
                assert!(began.elapsed() < Duration::from_secs(30), "never served");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let ((), served) = tokio::join!(swap, served);
        fastest = fastest.min(served);
        println!("swap {number}: {served:?}");
        if fastest <= SERVED {
            return;
        }
    }
    panic!("the fastest of {TRIES} took {fastest:?}");
}

/// What all threads of an Envoy have run.
fn processor_time(envoy: &Envoy) -> Duration {
    let pid = envoy.pid().expect("a process");
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos = tasks.map(|task| {
        let path = task.unwrap().path().join("schedstat");
        // A thread may end meanwhile.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let first = text.split(' ').next().unwrap_or_default();
        first.parse::<u64>().unwrap_or_default()
    });
    Duration::from_nanos(nanos.sum())
}

/// Processor time from the start of an Envoy to its first answer.
async fn start(services: &Services, filters: Vec<WasmFilter>) -> Duration {
    let envoy = proxy(filters, services).quiet().start().await.unwrap();
    let request = Request::get("/users/7").authority("payments");
    let answer = envoy.client("in").send(request).await.unwrap();
    assert_eq!(answer.status, 200);
    processor_time(&envoy)
}

/// V8 compiles the whole module before Envoy listens, in time that grows with the
/// code. In processor time, and as a multiple of the smallest module's, because a
/// clock on the wall tells of the machine.
#[tokio::test(flavor = "multi_thread")]
async fn loading_it_costs_at_most_ten_times_what_an_empty_module_costs() {
    let services = Services::start().await.unwrap();
    let empty = || {
        let module = wasm_module("examples/empty").unwrap();
        vec![WasmFilter::new("empty", module)]
    };
    let [mut none, mut smallest, mut pack] = [Duration::MAX; 3];
    let mut ratio = f64::INFINITY;
    // Other work on the machine takes caches from whichever of them runs beside it.
    for _ in 0..12 {
        none = none.min(start(&services, Vec::new()).await);
        smallest = smallest.min(start(&services, empty()).await);
        pack = pack.min(start(&services, composed(&everything()).unwrap()).await);
        let (smallest, pack) = (smallest.saturating_sub(none), pack.saturating_sub(none));
        ratio = pack.as_secs_f64() / smallest.as_secs_f64();
        println!("empty {smallest:?}, pack {pack:?}: {ratio:.1} times");
        if ratio <= 10.0 {
            return;
        }
    }
    panic!("{ratio} times");
}
