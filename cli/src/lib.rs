//! The meshpack command line, as a library so that tests can call a command.
//!
//! One module per command: its arguments (`Args`) and a `run` that prints a
//! report and says what it came to. [`yaml`] reads the files of all of them.

mod bundle;
mod check;
mod explain;
mod filters;
pub mod json;
mod modules;
mod output;
mod stat_tags;
mod tags;
pub mod translate;
mod verify;
mod version;
pub mod yaml;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory, Parser, Subcommand};

pub use filters::Filter;
pub use output::Verdict;

/// Exit code for wrong usage and input that cannot be read.
const UNUSABLE: u8 = 2;

const ABOUT: &str = "Checks, explains, translates, tests and packages the configurations of \
    authz_policy, canary_split, retry_budget and telemetry, filters that stock Envoy loads.";

const EXIT_CODES: &str = "\
Exit codes:
  0  all right
  1  problems found, losses in a translation, or an expectation that failed
  2  wrong usage, input that cannot be read, or no Envoy where one is needed";

#[derive(Debug, Parser)]
#[command(name = "meshpack", version, about = ABOUT, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    /// Print the report as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bundle(bundle::Args),
    Check(check::Args),
    Explain(Box<explain::Args>),
    Tags(tags::Args),
    Translate(translate::Args),
    Verify(verify::Args),
    Version(version::Args),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all commands to a folder.
    Man {
        /// A folder that is there.
        #[arg(long, short, value_name = "FOLDER")]
        output: Option<PathBuf>,
    },
}

/// Runs the command line of this process. Exit codes: 0 all right, 1 findings or
/// failed expectations, 2 wrong usage or input that cannot be read.
#[must_use]
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(verdict) => verdict.into(),
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("{error:#}"));
            ExitCode::from(UNUSABLE)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<Verdict> {
    match cli.command {
        Command::Bundle(args) => bundle::run(&args, cli.json),
        Command::Check(args) => check::run(&args, cli.json),
        Command::Explain(args) => explain::run(&args, cli.json),
        Command::Tags(args) => tags::run(&args, cli.json),
        Command::Translate(args) => translate::run(&args, cli.json),
        Command::Verify(args) => verify::run(&args, cli.json),
        Command::Version(args) => version::run(&args, cli.json),
        Command::Completions { shell } => completions(shell),
        Command::Man { output } => man(output.as_deref()),
    }
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<Verdict> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "meshpack", &mut script);
    output::bytes(&script)?;
    Ok(Verdict::Clean)
}

fn man(folder: Option<&Path>) -> anyhow::Result<Verdict> {
    match folder {
        Some(folder) => clap_mangen::generate_to(Cli::command(), folder)
            .with_context(|| format!("cannot write to {}", folder.display()))?,
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            output::bytes(&page)?;
        }
    }
    Ok(Verdict::Clean)
}
