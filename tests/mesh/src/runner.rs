//! Scenarios by name, run one after the other on one cluster: what libtest does, inside
//! the namespaces.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::cluster::Cluster;

/// A scenario; it leaves the cluster as it was.
pub type Scenario = for<'a> fn(&'a Cluster) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Runs the scenarios whose names contain an argument of this program, all if there is none.
pub async fn run(cluster: &Cluster, scenarios: &[(&str, Scenario)]) -> Result<ExitCode> {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, scenario) in scenarios {
        if !chosen(name) {
            skipped += 1;
            continue;
        }
        let started = Instant::now();
        let result = scenario(cluster).await;
        let seconds = started.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                passed += 1;
                println!("test {name} ... ok ({seconds:.1} s)");
            }
            Err(error) => {
                failed += 1;
                println!("test {name} ... FAILED ({seconds:.1} s)\n{error:#}");
                cluster.clean().await?;
            }
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; \
         {skipped} filtered out"
    );
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
