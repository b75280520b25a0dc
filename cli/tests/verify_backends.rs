//! The same suite on a binary and on a container: the same results.
//!
//! Built with the feature `container`, as `make test-containers` does. Without a
//! Docker engine that has the image it says that it compared nothing; with
//! `ENVOY_BACKEND=container`, as there, that is a failure.
#![cfg(feature = "container")]

use std::path::Path;
use std::process::Command;

use meshpack_harness::DEFAULT_VERSION;
use serde_json::Value;

const SUITE: &str = "tests/verify/backends.yaml";

/// Why containers cannot be run, if so.
fn obstacle() -> Option<String> {
    let image = format!("envoyproxy/envoy:v{DEFAULT_VERSION}");
    let ran = Command::new("docker")
        .args(["image", "inspect", &image])
        .output();
    match ran {
        Err(error) => Some(format!("docker cannot be run: {error}")),
        Ok(ran) if !ran.status.success() => {
            Some(String::from_utf8_lossy(&ran.stderr).trim().to_owned())
        }
        Ok(_) => None,
    }
}

/// Everything in the report that is not about time.
fn results(args: &[&str]) -> Value {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let version = DEFAULT_VERSION.to_string();
    let words = [&["--json", "verify", SUITE, "--envoy", &version], args].concat();
    // The words alone say which backend it is.
    let ran = Command::new(env!("CARGO_BIN_EXE_meshpack"))
        .args(words)
        .current_dir(workspace)
        .env_remove("ENVOY_BACKEND")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    let mut report: Value = serde_json::from_slice(&ran.stdout).expect(&said);
    assert!(ran.status.success(), "{said}{report:#}");
    for scenario in report["suites"][0]["scenarios"].as_array_mut().unwrap() {
        let scenario = scenario.as_object_mut().unwrap();
        scenario.remove("seconds").expect("how long it took");
        for step in scenario["steps"].as_array_mut().unwrap() {
            let step = step.as_object_mut().unwrap();
            step.remove("seconds").expect("how long it took");
        }
    }
    report
}

#[test]
fn a_container_gives_the_results_of_the_binary() {
    if let Some(obstacle) = obstacle() {
        let required = std::env::var("ENVOY_BACKEND").is_ok_and(|backend| backend == "container");
        assert!(!required, "no containers: {obstacle}");
        eprintln!("NOT COMPARED, no containers here: {obstacle}");
        return;
    }
    let (binary, container) = (results(&[]), results(&["--container"]));
    let scenarios = binary["suites"][0]["scenarios"].as_array().unwrap();
    assert_eq!(scenarios.len(), 4);
    // The numbers that are compared are there.
    assert_eq!(scenarios[0]["steps"][0]["statuses"]["200"], 1000);
    assert!(scenarios[0]["steps"][0]["upstreams"]["v2"].as_u64() > Some(200));
    assert_eq!(scenarios[3]["steps"][0]["statuses"]["503"], 200);
    assert!(scenarios[3]["steps"][0]["attempts"].as_u64() > Some(200));
    assert_eq!(binary, container);
}
