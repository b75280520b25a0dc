//! `make demo`: each filter at work in a stock Envoy, under real traffic.

use std::process::ExitCode;
use std::time::Instant;

use meshpack_e2e::demo;

#[tokio::main]
async fn main() -> ExitCode {
    let began = Instant::now();
    let result = run().await;
    match result {
        Ok(()) => {
            eprintln!("\nDone in {:.0} s.", began.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    demo::authz().await?;
    demo::canary().await?;
    demo::retry().await?;
    demo::telemetry().await
}
