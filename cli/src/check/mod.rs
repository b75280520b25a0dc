//! `meshpack check`: would the filters take these configurations?

mod carried;
mod envoy;
mod file;
mod finding;
mod resource;

use std::path::PathBuf;

use meshpack_sdk::config::Node;

use serde_json::json;

use crate::filters::Filter;
use crate::output::{self, Verdict};
use crate::yaml;
use file::Checked;

/// Checks plugin configurations: as they are, inside WasmPlugin,
/// TrafficExtension and EnvoyFilter resources, inside Envoy bootstraps.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// YAML or JSON files, `-` for the standard input.
    #[arg(required = true)]
    files: Vec<String>,
    /// Whose configuration it is, where the keys do not tell.
    #[arg(long, value_enum)]
    filter: Option<Filter>,
    /// Also load everything in a stock Envoy (see ENVOY_BIN, ENVOY_VERSION).
    #[arg(long)]
    envoy: bool,
    /// Where --envoy finds the modules.
    #[arg(long, value_name = "FOLDER", default_value = "dist")]
    modules: PathBuf,
}

pub(crate) fn run(args: &Args, as_json: bool) -> anyhow::Result<Verdict> {
    let mut findings = Vec::new();
    let mut checked = Vec::new();
    let mut unreadable = Vec::new();
    for name in &args.files {
        match yaml::read(name) {
            Ok(text) => {
                let mut found = file::check(name, &text, args.filter);
                if args.envoy && found.findings.is_empty() {
                    let refused = envoy::load(name, &text, &found.checked, &args.modules)?;
                    found.findings.extend(refused);
                }
                findings.extend(found.findings);
                checked.extend(found.checked);
            }
            Err(error) => unreadable.push(format!("{name}: {error}")),
        }
    }
    let report = if as_json {
        let checked: Vec<_> = checked.iter().map(Checked::to_json).collect();
        let findings: Vec<_> = findings.iter().map(finding::Finding::to_json).collect();
        format!(
            "{:#}\n",
            json!({"checked": checked, "findings": findings, "unreadable": unreadable})
        )
    } else {
        let mut report = String::new();
        for finding in &findings {
            report.push_str(&format!("{finding}\n"));
        }
        report + &summary(&checked, findings.len(), args.envoy)
    };
    output::text(&report)?;
    if !unreadable.is_empty() {
        anyhow::bail!(unreadable.join("\nmeshpack: "));
    }
    Ok(Verdict::clean_if(findings.is_empty()))
}

/// What `check` would say about a document, for those who write documents.
pub(crate) fn problems_of(document: &Node) -> Vec<String> {
    let text = crate::json::text(document);
    let found = file::check("", &text, None);
    let line = |finding: &finding::Finding| format!("{}: {}", finding.path, finding.message);
    let ours = found
        .findings
        .iter()
        .filter(|finding| !finding.path.is_empty());
    ours.map(line).collect()
}

/// The plugin configurations of a file, each with the filter it is for.
///
/// # Errors
/// What `check` would complain about, one line each.
pub(crate) fn configurations(
    name: &str,
    text: &str,
    filter: Option<Filter>,
) -> Result<Vec<(Filter, Node)>, Vec<String>> {
    taken(file::check(name, text, filter))
}

/// As [`configurations`], of a file that may hold only other resources.
///
/// # Errors
/// As [`configurations`].
pub(crate) fn carried_configurations(
    name: &str,
    text: &str,
) -> Result<Vec<(Filter, Node)>, Vec<String>> {
    taken(file::check_carried(name, text, None).0)
}

fn taken(found: file::Found) -> Result<Vec<(Filter, Node)>, Vec<String>> {
    if !found.findings.is_empty() {
        return Err(found.findings.iter().map(ToString::to_string).collect());
    }
    let checked = found.checked.into_iter();
    Ok(checked
        .map(|checked| (checked.filter, checked.config))
        .collect())
}

fn summary(checked: &[Checked], findings: usize, in_envoy: bool) -> String {
    let configurations = counted(checked.len(), "configuration");
    let place = if in_envoy { " and loaded in Envoy" } else { "" };
    match findings {
        0 if checked.is_empty() => String::new(),
        0 => format!("{configurations} checked{place}: no problems\n"),
        _ => format!(
            "{configurations} checked: {}\n",
            counted(findings, "problem")
        ),
    }
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
