//! `meshpack verify`: a user's own tests in a stock Envoy, without Rust.

mod binary;
mod chance;
mod judge;
mod report;
mod run;
mod suite;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use meshpack_harness::envoy::EnvoyBuilder;
use meshpack_harness::{EnvoyVersion, MATRIX, Source};
use meshpack_sdk::config;

use crate::modules;
use crate::output::{self, Verdict};
use crate::yaml;
use report::{Report, ScenarioReport, SuiteReport};
use run::{Progress, StageError};
use suite::{Files, Scenario, Suite};

/// Runs scenarios in a stock Envoy: with these plugins and upstreams, when these
/// requests are sent, expect these answers, shares, attempts and metrics.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Scenario files.
    #[arg(required = true, value_name = "SCENARIOS.yaml")]
    files: Vec<PathBuf>,
    /// The version of Envoy, instead of what the file says; may be repeated.
    #[arg(long, value_name = "VERSION", conflicts_with = "matrix")]
    envoy: Vec<EnvoyVersion>,
    /// Run on every supported version of Envoy.
    #[arg(long)]
    matrix: bool,
    /// Run this Envoy binary, whatever its version.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["matrix", "envoy", "container"])]
    envoy_bin: Option<PathBuf>,
    /// Run Envoy as a container of the image envoyproxy/envoy.
    #[arg(long)]
    container: bool,
    /// Where the modules are; else MESHPACK_DIST, the nearest dist/, those installed with
    /// this command.
    #[arg(long, value_name = "FOLDER")]
    modules: Option<PathBuf>,
    /// Run only the scenarios with this in their names.
    #[arg(long, value_name = "TEXT")]
    scenario: Option<String>,
    /// Write a JUnit report.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a page with charts.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, as_json: bool) -> anyhow::Result<Verdict> {
    let suites = read_all(args)?;
    let scenarios = suites.iter().flat_map(|(_, suite)| &suite.scenarios);
    modules::complain_of_skew(scenarios.flat_map(|scenario| scenario.setup.modules()));
    binary::check(args.envoy_bin.as_deref(), &wanted_versions(args, &suites))?;
    for path in [&args.junit, &args.html].into_iter().flatten() {
        writable(path)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let report = runtime.block_on(run_all(args, &suites, as_json))?;
    if as_json {
        output::text(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        output::text(&report::text::summary(&report))?;
    }
    if let Some(path) = &args.junit {
        write(path, &report::junit::render(&report))?;
    }
    if let Some(path) = &args.html {
        write(path, &report::html::render(&report))?;
    }
    Ok(Verdict::clean_if(report.passed()))
}

/// The versions that somebody asked for, in files or on the command line.
fn wanted_versions(args: &Args, suites: &[(PathBuf, Suite)]) -> Vec<EnvoyVersion> {
    let all = suites.iter().flat_map(|(_, suite)| versions(args, suite));
    all.flatten().collect()
}

/// Reports are tried before anything runs: not to find out after ten minutes.
fn writable(path: &Path) -> anyhow::Result<()> {
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map(drop)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads all files before anything runs, so that a typing error costs no time.
fn read_all(args: &Args) -> anyhow::Result<Vec<(PathBuf, Suite)>> {
    let mut problems = Vec::new();
    let mut suites = Vec::new();
    for path in &args.files {
        match read(path, args) {
            Ok(suite) => suites.push((path.clone(), suite)),
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        bail!(problems.join("\nmeshpack: "));
    }
    if let Some(text) = &args.scenario {
        for (_, suite) in &mut suites {
            suite.scenarios.retain(|s| s.name.contains(text.as_str()));
        }
        suites.retain(|(_, suite)| !suite.scenarios.is_empty());
        if suites.is_empty() {
            bail!("no scenario has {text:?} in its name");
        }
    }
    Ok(suites)
}

fn read(path: &Path, args: &Args) -> Result<Suite, Vec<String>> {
    let name = path.display();
    let text = yaml::read(&path.to_string_lossy()).map_err(|e| vec![format!("{name}: {e}")])?;
    let documents = yaml::parse(&text).map_err(|error| vec![format!("{name}:{error}")])?;
    let [document] = documents.as_slice() else {
        let count = documents.len();
        return Err(vec![format!(
            "{name}: holds {count} documents: put one file of scenarios in it"
        )]);
    };
    let mut files = Files::new(suite::setup::folder_of(path));
    files.modules.clone_from(&args.modules);
    let root = document.root();
    config::read_node(root.node(), |value| Suite::read(&value, &mut files)).map_err(|problems| {
        let line = |problem: &config::Problem| {
            format!("{name}:{}: {problem}", root.locate(problem.path()))
        };
        problems.iter().map(line).collect()
    })
}

/// The Envoys to run a suite on; `None` is whatever the environment says.
fn versions(args: &Args, suite: &Suite) -> Vec<Option<EnvoyVersion>> {
    let wanted = if args.matrix {
        MATRIX.to_vec()
    } else if args.envoy.is_empty() && args.envoy_bin.is_none() {
        suite.envoy.clone()
    } else {
        args.envoy.clone()
    };
    match wanted.as_slice() {
        [] => vec![None],
        versions => versions.iter().copied().map(Some).collect(),
    }
}

async fn run_all(args: &Args, suites: &[(PathBuf, Suite)], quiet: bool) -> anyhow::Result<Report> {
    let progress = Progress::on_terminal();
    let mut report = Report::default();
    for (path, suite) in suites {
        let file = path.display().to_string();
        let title = suite.title.clone().unwrap_or_else(|| file.clone());
        let mut done = SuiteReport {
            title,
            file,
            scenarios: Vec::new(),
        };
        if !quiet {
            output::text(&report::text::heading(&done))?;
        }
        for version in versions(args, suite) {
            for scenario in &suite.scenarios {
                progress.say(&format!("{}…", scenario.name));
                let result = run_one(args, suite, scenario, version, &progress).await?;
                progress.clear();
                if !quiet {
                    output::text(&report::text::scenario(&result))?;
                }
                done.scenarios.push(result);
            }
        }
        report.suites.push(done);
    }
    Ok(report)
}

async fn run_one(
    args: &Args,
    suite: &Suite,
    scenario: &Scenario,
    version: Option<EnvoyVersion>,
    progress: &Progress,
) -> anyhow::Result<ScenarioReport> {
    let pick = |builder: EnvoyBuilder| match (&args.envoy_bin, version) {
        (Some(path), _) => builder.source(Source::Binary(path.clone())),
        (None, version) if args.container => {
            let version = version.unwrap_or_else(report::default_version);
            builder.source(Source::Container(version))
        }
        (None, Some(version)) => builder.version(version),
        (None, None) => builder,
    };
    let started = Instant::now();
    let mut steps = Vec::new();
    let mut envoy = version.map(|version| version.to_string());
    let outcome = run::scenario(
        scenario,
        &suite.folder,
        pick,
        progress,
        |running, step, seen| {
            envoy = Some(running.to_owned());
            steps.push(judge::step(step, &seen));
        },
    )
    .await;
    let error = match outcome {
        Ok(()) => None,
        Err(StageError::Refused(reason)) => Some(reason),
        Err(StageError::NoEnvoy(reason)) => bail!(reason),
    };
    Ok(ScenarioReport {
        name: scenario.name.clone(),
        envoy: envoy.unwrap_or_else(|| match &args.envoy_bin {
            Some(path) => path.display().to_string(),
            None => report::default_version().to_string(),
        }),
        seconds: (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        steps,
        error,
    })
}
