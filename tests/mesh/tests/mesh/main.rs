//! Every Istio manifest of the project, judged by a real Kubernetes API.

mod api;
mod lifetime;

use std::process::ExitCode;

use meshpack_mesh::{Cluster, Scenario, enter, run};

/// Asked for by `make mesh-test`: it needs root and programs that take minutes to build.
const ASKED: &str = "MESHPACK_MESH_TEST";

macro_rules! scenarios {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$((
            concat!(stringify!($module), "::", stringify!($name)),
            (|cluster| Box::pin($module::$name(cluster))) as Scenario,
        )),*]
    };
}

const SCENARIOS: &[(&str, Scenario)] = scenarios![
    api::every_manifest_is_taken,
    api::every_kustomization_is_taken,
    api::mistakes_are_refused,
    api::a_pinned_overlay_names_images_that_are_there,
    lifetime::a_killed_run_leaves_nothing,
];

fn main() -> ExitCode {
    let inside = std::env::var_os("MESHPACK_MESH_ROLE").is_some();
    if !inside && std::env::var_os(ASKED).is_none() {
        println!("The tests on a Kubernetes API did NOT run: `make mesh-test` runs them.");
        println!("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        return ExitCode::SUCCESS;
    }
    enter(
        |missing| {
            println!("The tests on a Kubernetes API did NOT run:\n{missing}");
            ExitCode::FAILURE
        },
        async |programs| {
            let started = std::time::Instant::now();
            let cluster = Cluster::start(&programs).await?;
            println!("ready after {:.0} s", started.elapsed().as_secs_f64());
            run(&cluster, SCENARIOS).await
        },
    )
}
