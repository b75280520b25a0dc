//! Prints the path of the Envoy binary that the tests would use, getting it first if
//! it is not there.

use std::env;
use std::process::ExitCode;

use meshpack_harness::resolve::install;
use meshpack_harness::{EnvoyVersion, MATRIX, Source};

const USAGE: &str = "usage: envoy-bin [--version VERSION | --all]";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<Vec<String>, String> {
    match arguments {
        [] => one(Source::from_env().map_err(|error| error.to_string())?),
        ["--version", version] => {
            let version: EnvoyVersion = version.parse().map_err(|e| format!("{e}"))?;
            one(Source::for_version(version).map_err(|error| error.to_string())?)
        }
        ["--all"] => MATRIX
            .into_iter()
            .map(|version| {
                let path = install(version).map_err(|error| error.to_string())?;
                Ok(path.display().to_string())
            })
            .collect(),
        _ => Err(USAGE.to_owned()),
    }
}

fn one(source: Source) -> Result<Vec<String>, String> {
    match source {
        Source::Binary(path) => Ok(vec![path.display().to_string()]),
        // Containers need no binary; the engine pulls the image at the first test.
        Source::Container(_) => Ok(Vec::new()),
    }
}
