//! `meshpack translate`: from what a mesh has today to the filters' configurations.

mod hcl;
mod ledger;
mod load;
mod model;
mod options;
mod report;
mod source;
mod target;

use anyhow::Context as _;
use meshpack_sdk::config::Node;

use crate::json;
use crate::output::{self, Verdict};
use ledger::Ledger;
use options::{Options, Target};

/// Translates resources of Istio, Gateway API, Linkerd, Consul, AWS App Mesh and
/// Cilium. What cannot be carried over is listed; then the exit code is 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// YAML or JSON files, `-` for the standard input.
    #[arg(required = true)]
    files: Vec<String>,
    #[command(flatten)]
    options: Options,
    /// Exit with 0 although something could not be carried over.
    #[arg(long)]
    accept_losses: bool,
    /// Write a page (Markdown) that says what came of what, what stays as it is, and what
    /// is lost and why.
    #[arg(long, value_name = "FILE")]
    report: Option<std::path::PathBuf>,
}

pub(crate) fn run(args: &Args, as_json: bool) -> anyhow::Result<Verdict> {
    let (documents, remarks) = translate(args)?;
    if let Some(file) = &args.report {
        std::fs::write(file, remarks.page())
            .with_context(|| format!("{}: the report is not written", file.display()))?;
    }
    let text = if as_json {
        remarks.to_json(&documents)
    } else {
        output::complain_lines(&remarks.short_lines());
        output::complain_lines(&[remarks.summary()]);
        remarks.header() + &yaml(&documents)
    };
    output::text(&text)?;
    Ok(Verdict::clean_if(
        remarks.lost_nothing() || args.accept_losses,
    ))
}

/// What a translation came to.
#[derive(Debug)]
pub struct Translation {
    /// The resources, or the one bootstrap.
    pub documents: Vec<Node>,
    /// What was lost, what the filters refuse, what was noted, as the command prints it.
    pub remarks: Vec<String>,
}

impl Translation {
    /// The documents as YAML.
    #[must_use]
    pub fn yaml(&self) -> String {
        yaml(&self.documents)
    }
}

/// Translates with the words of a command line, `["--to", "envoy", "FILE"]`.
///
/// # Errors
/// Wrong words; files that cannot be read.
pub fn from_words(words: &[&str]) -> anyhow::Result<Translation> {
    #[derive(clap::Parser)]
    #[command(no_binary_name = true)]
    struct Words {
        #[command(flatten)]
        args: Args,
    }
    let words = <Words as clap::Parser>::try_parse_from(words)?;
    let (documents, remarks) = translate(&words.args)?;
    Ok(Translation {
        documents,
        remarks: remarks.lines(),
    })
}

fn translate(args: &Args) -> anyhow::Result<(Vec<Node>, report::Remarks)> {
    let files = load::files(&args.files)?;
    let ledger = Ledger::default();
    let resources = load::resources(&files, &args.options, &ledger)?;
    let cx = source::Context {
        options: &args.options,
        ledger: &ledger,
    };
    let mesh = source::read(&resources, &cx);
    let documents: Vec<Node> = match args.options.to {
        Target::Wasmplugin => target::wasm_plugin::resources(&mesh, &args.options, &ledger),
        Target::Envoy => vec![target::envoy::bootstrap(&mesh, &args.options, &ledger)],
    };
    drop(resources);
    let remarks = report::Remarks::new(ledger, &documents);
    Ok((documents, remarks))
}

fn yaml(documents: &[Node]) -> String {
    let documents: Vec<String> = documents.iter().map(json::yaml).collect();
    documents.join("---\n")
}

/// Whether resources of this kind can be translated.
#[must_use]
pub(crate) fn reads_kind(kind: &str) -> bool {
    source::reads_kind(kind)
}
