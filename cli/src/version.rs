//! `meshpack version`: what is installed, in one look.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use meshpack_harness::{DEFAULT_VERSION, MATRIX};
use serde::Serialize;

use crate::bundle;
use crate::filters::Filter;
use crate::modules::{self, BUILD, Place, Stamp, VERSION};
use crate::output::{self, Verdict};

/// Prints the version of this command, of the modules it finds with their digests, and
/// the Envoys they are tested on. Exit code 1 if modules are missing or of another version.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the modules are; else MESHPACK_DIST, the nearest dist/, those installed.
    #[arg(long, value_name = "FOLDER")]
    modules: Option<std::path::PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    build: Option<&'static str>,
    platform: String,
    /// Where the modules are; `None` if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    modules: Vec<Module>,
    problems: Vec<String>,
    /// Versions of Envoy that everything is tested on.
    envoys: Vec<String>,
    /// The one that is taken unless another is asked for.
    envoy: String,
}

#[derive(Debug, Serialize)]
struct Module {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build: Option<String>,
    /// SHA-256 of the module, for Envoy's `code.remote`.
    sha256: String,
    /// Digest of the image that `bundle` makes of it, for WasmPlugin.
    image: String,
}

pub(crate) fn run(args: &Args, as_json: bool) -> anyhow::Result<Verdict> {
    let report = report(args)?;
    output::text(&match as_json {
        true => format!("{}\n", serde_json::to_string_pretty(&report)?),
        false => text(&report),
    })?;
    Ok(Verdict::clean_if(report.problems.is_empty()))
}

fn report(args: &Args) -> anyhow::Result<Report> {
    let mut modules = Vec::new();
    let mut problems = Vec::new();
    let place = place(args);
    if let Some(place) = &place {
        for filter in Filter::ALL {
            let path = place.folder.join(format!("{}.wasm", filter.name()));
            match fs::read(&path) {
                Ok(wasm) => {
                    modules.push(Module::of(filter, &wasm)?);
                    problems.extend(modules::skew(&path, &wasm));
                }
                Err(error) => problems.push(format!("{}: {error}", path.display())),
            }
        }
    } else if let Some(folder) = &args.modules {
        problems.push(format!("no modules in {}", folder.display()));
    }
    Ok(Report {
        version: VERSION,
        build: BUILD,
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        folder: place
            .as_ref()
            .map(|place| place.folder.display().to_string()),
        found: place.as_ref().map(|place| place.origin.to_string()),
        modules,
        problems,
        envoys: MATRIX.iter().map(ToString::to_string).collect(),
        envoy: DEFAULT_VERSION.to_string(),
    })
}

/// The first place with a module of the pack: the one that other commands take them from.
fn place(args: &Args) -> Option<Place> {
    let mut places = modules::places(args.modules.as_deref(), Path::new("")).into_iter();
    places.find(Place::has_modules)
}

impl Module {
    fn of(filter: Filter, wasm: &[u8]) -> anyhow::Result<Self> {
        let stamp = Stamp::of(wasm);
        Ok(Self {
            name: filter.name(),
            version: stamp.version,
            build: stamp.revision,
            sha256: bundle::sha256(wasm),
            image: bundle::digest(filter, wasm)?,
        })
    }
}

fn text(report: &Report) -> String {
    let version = |version: &str, build: Option<&str>| match build {
        Some(build) => format!("{version} ({build})"),
        None => version.to_owned(),
    };
    let mut text = format!(
        "meshpack {}, {}\n",
        version(report.version, report.build),
        report.platform
    );
    match (&report.folder, &report.found) {
        (Some(folder), Some(found)) => {
            let _ = writeln!(text, "modules in {folder} ({found})");
        }
        _ => text.push_str(
            "no modules: install the wheel or the archive of a release, or name their folder with --modules\n",
        ),
    }
    for module in &report.modules {
        let of = match &module.version {
            Some(own) => version(own, module.build.as_deref()),
            None => "of no stated version".to_owned(),
        };
        let _ = writeln!(
            text,
            "  {} {of}\n    module  sha256:{}\n    image   {}",
            module.name, module.sha256, module.image
        );
    }
    let _ = writeln!(
        text,
        "tested on stock Envoy {}; {} unless asked otherwise",
        report.envoys.join(", "),
        report.envoy
    );
    for problem in &report.problems {
        let _ = writeln!(text, "problem: {problem}");
    }
    text
}
