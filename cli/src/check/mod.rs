//! `meshpack check`: would the filters take these configurations?

mod analysis;
mod carried;
mod code;
mod envoy;
mod file;
mod finding;
mod ignore;
mod inputs;
mod resource;
mod sarif;

use std::path::PathBuf;

use meshpack_sdk::config::Node;

use serde_json::json;

use crate::filters::Filter;
use crate::output::{self, Verdict};
use crate::yaml::Position;
use code::{Code, Severity};
use file::{Checked, Found, Source};
use finding::Finding;
use ignore::Ignored;

/// Checks plugin configurations: as they are, inside WasmPlugin,
/// TrafficExtension and EnvoyFilter resources, inside Envoy bootstraps; and what
/// they come to together with the routes, subsets and gateways beside them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// YAML or JSON files, folders of them, `-` for the standard input.
    #[arg(required = true)]
    files: Vec<String>,
    /// Whose configuration it is, where the keys do not tell.
    #[arg(long, value_enum)]
    filter: Option<Filter>,
    /// Also load everything in a stock Envoy (see ENVOY_BIN, ENVOY_VERSION).
    #[arg(long)]
    envoy: bool,
    /// Where --envoy finds the modules; else MESHPACK_DIST, the nearest dist/, those
    /// installed with this command.
    #[arg(long, value_name = "FOLDER")]
    modules: Option<PathBuf>,
    /// A finding that is meant; may be given several times. In a file, write
    /// `# meshpack-ignore: CODE reason` on the line before.
    #[arg(long, value_name = "CODE", value_parser = ignore::parse)]
    allow: Vec<&'static Code>,
    /// Print the findings as SARIF, which code hosts show beside the lines.
    #[arg(long, conflicts_with = "json")]
    sarif: bool,
    /// Istio's root namespace, whose plugins act everywhere.
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    root_namespace: String,
}

const EXAMPLES: &str = "\
Examples:
  meshpack check plugins.yaml routes.yaml
  meshpack check mesh/
  kustomize build overlays/production | meshpack check -
  meshpack check mesh/ --allow MP111 --sarif > check.sarif

All codes: docs/check.md";

pub(crate) fn run(args: &Args, as_json: bool) -> anyhow::Result<Verdict> {
    let inputs = inputs::read(&args.files);
    let mut all = Found::default();
    for source in &inputs.sources {
        let mut found = file::check(source, args.filter);
        if args.envoy && found.findings.is_empty() {
            let refused = envoy::load(
                &source.name,
                &source.text,
                &found.checked,
                args.modules.as_deref(),
            )?;
            found.findings.extend(refused);
        }
        all.findings.append(&mut found.findings);
        all.checked.append(&mut found.checked);
        all.others.append(&mut found.others);
        all.strangers.append(&mut found.strangers);
    }
    let Found {
        mut findings,
        checked,
        others,
        strangers,
    } = all;
    // A person who named one file of something else has to hear of it; in a folder or
    // among others it is just not ours.
    let only_strangers = checked.is_empty() && findings.is_empty() && !strangers.is_empty();
    if only_strangers {
        findings.extend(strangers);
    }
    findings.extend(analysis::findings(&checked, &others, &args.root_namespace));
    let allowed = allow(&mut findings, &inputs.sources, &args.allow);
    findings.sort_by(|a, b| (&a.file, a.position).cmp(&(&b.file, b.position)));
    // Two plugins of one bootstrap may lack the same.
    findings.dedup();

    let report = if as_json {
        let checked: Vec<_> = checked.iter().map(Checked::to_json).collect();
        let findings: Vec<_> = findings.iter().map(Finding::to_json).collect();
        format!(
            "{:#}\n",
            json!({"checked": checked, "findings": findings, "allowed": allowed, "unreadable": inputs.unreadable})
        )
    } else if args.sarif {
        format!("{:#}\n", sarif::log(&findings))
    } else {
        let mut report = for_people(&findings);
        report.push_str(&summary(checked.len(), &findings, allowed, args.envoy));
        report
    };
    output::text(&report)?;
    if !inputs.unreadable.is_empty() {
        anyhow::bail!(inputs.unreadable.join("\nmeshpack: "));
    }
    Ok(Verdict::clean_if(!findings.iter().any(Finding::fails)))
}

/// Takes out what somebody allows; gives their number. A comment that allows nothing
/// because it is written wrongly is a finding itself.
fn allow(findings: &mut Vec<Finding>, sources: &[Source], codes: &[&'static Code]) -> usize {
    let before = findings.len();
    findings.retain(|finding| !codes.contains(&finding.code));
    let mut wrong = Vec::new();
    for source in sources {
        let ignored = Ignored::of(&source.text);
        findings.retain(|finding| finding.file != source.name || !ignored.allows(finding));
        wrong.extend(ignored.wrong.into_iter().map(|(line, message)| Finding {
            code: &code::REFUSED,
            file: source.name.clone(),
            position: Position { line, column: 1 },
            path: String::new(),
            message: format!("meshpack-ignore {message}"),
        }));
    }
    let allowed = before - findings.len();
    findings.append(&mut wrong);
    allowed
}

/// One line for each finding, and once for each code what follows from it.
fn for_people(findings: &[Finding]) -> String {
    let mut report: String = findings.iter().map(|found| format!("{found}\n")).collect();
    let codes = code::ALL.iter().filter(|code| {
        let said = **code == &code::REFUSED || **code == &code::NOTHING_OF_OURS;
        !said && findings.iter().any(|finding| finding.code == **code)
    });
    for code in codes {
        report.push_str(&format!(
            "\n{code}, {}: {}.\n  {}\n  Remedy: {}.\n",
            code.severity.name(),
            code.title,
            code.effect,
            code.remedy
        ));
    }
    if report.contains("\n\n") {
        report.push('\n');
    }
    report
}

/// What `check` would say about a document, for those who write documents.
pub(crate) fn problems_of(document: &Node) -> Vec<String> {
    let source = Source::new("", crate::json::text(document), true);
    let found = file::check(&source, None);
    let line = |finding: &Finding| format!("{}: {}", finding.path, finding.message);
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
    let source = Source::new(name, text.to_owned(), true);
    let mut found = file::check(&source, filter);
    if found.checked.is_empty() {
        found.findings.append(&mut found.strangers);
    }
    taken(found)
}

/// As [`configurations`], of a file that may hold only other resources.
///
/// # Errors
/// As [`configurations`].
pub(crate) fn carried_configurations(
    name: &str,
    text: &str,
) -> Result<Vec<(Filter, Node)>, Vec<String>> {
    let source = Source::new(name, text.to_owned(), true);
    taken(file::check(&source, None))
}

fn taken(found: Found<'_>) -> Result<Vec<(Filter, Node)>, Vec<String>> {
    if !found.findings.is_empty() {
        return Err(found.findings.iter().map(ToString::to_string).collect());
    }
    let checked = found.checked.into_iter();
    Ok(checked
        .map(|checked| (checked.filter, checked.open.node))
        .collect())
}

fn summary(checked: usize, findings: &[Finding], allowed: usize, in_envoy: bool) -> String {
    let configurations = counted(checked, "configuration");
    let place = if in_envoy { " and loaded in Envoy" } else { "" };
    let hints = findings.iter().filter(|finding| !finding.fails()).count();
    let mut notes = String::new();
    if hints > 0 {
        notes.push_str(&format!(", {}", counted(hints, Severity::Hint.name())));
    }
    if allowed > 0 {
        notes.push_str(&format!(", {allowed} allowed"));
    }
    match findings.len() - hints {
        0 if checked == 0 => {
            "nothing to check: no configuration of meshpack's filters\n".to_owned()
        }
        0 => format!("{configurations} checked{place}: no problems{notes}\n"),
        problems => format!(
            "{configurations} checked: {}{notes}\n",
            counted(problems, "problem")
        ),
    }
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
