//! Every Istio manifest of the project, judged by a real mesh.

mod analysis;
mod api;
mod budgets;
mod canary;
mod decisions;
mod guarded;
mod identity;
mod lifetime;
mod load;
mod loading;
mod measured;
mod random;
mod refused;
mod rollout;
mod translated;
mod tutorial;

use std::io::Write;
use std::process::ExitCode;

use meshpack_mesh::{Cluster, Scenario, enter, keep, run};

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
    identity::calls_carry_the_identity_of_the_caller,
    loading::the_table_of_who_loads_what_is_true,
    loading::a_slip_changes_who_loads_it,
    analysis::every_manifest_is_valid,
    analysis::every_translation_is_valid,
    analysis::what_is_applied_has_no_findings,
    translated::policies_decide_as_before,
    translated::generated_policies_decide_as_before,
    canary::users_stay_in_their_version,
    canary::a_failing_version_is_switched_off,
    guarded::a_workload_knows_its_callers,
    guarded::the_entrance_knows_its_users,
    budgets::an_outage_is_not_multiplied,
    measured::metrics_have_labels_and_failures_are_logged,
    tutorial::the_first_canary_as_written,
    rollout::callers_notice_nothing,
    rollout::a_guard_is_attached_in_two_steps,
    refused::an_image_that_is_not_there,
    refused::a_configuration_that_the_filter_refuses,
    lifetime::a_killed_run_leaves_nothing,
];

/// Asked for by `make mesh`: no scenario, a mesh that stays.
const KEEP: &str = "--keep";

/// Where a run of all tests collects what did not run, one line each.
const NOT_RUN: &str = "MESHPACK_NOT_RUN";

fn not_run(why: &str) {
    let Some(path) = std::env::var_os(NOT_RUN) else {
        return;
    };
    let line = format!("the tests on a mesh: {}\n", why.replace('\n', "; "));
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        println!("{NOT_RUN}: {error}");
    }
}

fn main() -> ExitCode {
    let inside = std::env::var_os("MESHPACK_MESH_ROLE").is_some();
    if !inside && std::env::var_os(ASKED).is_none() {
        println!("The tests on a mesh did NOT run: `make mesh-test` runs them.");
        println!("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        return ExitCode::SUCCESS;
    }
    enter(
        |missing| {
            println!("The tests on a mesh did NOT run:\n{missing}");
            not_run(&missing.to_string());
            ExitCode::FAILURE
        },
        async |programs| {
            let started = std::time::Instant::now();
            let cluster = Cluster::start(&programs).await?;
            println!("ready after {:.0} s", started.elapsed().as_secs_f64());
            if std::env::args().any(|argument| argument == KEEP) {
                keep(&cluster).await?;
            }
            run(&cluster, SCENARIOS).await
        },
    )
}
