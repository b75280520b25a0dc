//! `meshpack explain`: what would these filters do with this request, and why?

mod authz;
mod canary;
mod configured;
mod report;
mod request;
mod retry;
mod telemetry;

use std::collections::BTreeSet;

use crate::output::{self, Verdict};
use crate::yaml;
use report::Report;

/// Says what every configured filter would do with a request, and why.
///
/// authz_policy: the decision, the rule that made it, and for the nearest other
/// rules what they lacked. canary_split: the arm, the reason, and where the
/// client's hash falls. retry_budget: the budget and what it tells the router.
/// telemetry: labels, path template, sampling and trace context as far as they
/// are known without Envoy. The filters decide in this order, as in the pack.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files with AuthorizationPolicy resources or filter configurations (also
    /// inside WasmPlugin, TrafficExtension, EnvoyFilter, Envoy bootstraps); `-`
    /// for the standard input. AuthorizationPolicies of all files count together.
    #[arg(required = true)]
    files: Vec<String>,
    /// How many authorization rules to report on beside the deciding one.
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    nearest: usize,
    /// Fail unless this is the decision of authz_policy.
    #[arg(long, value_enum)]
    expect: Option<Decision>,
    /// Fail unless this is the arm that canary_split chooses.
    #[arg(long, value_name = "ARM")]
    expect_arm: Option<String>,
    #[command(flatten)]
    settings: configured::Settings,
    #[command(flatten)]
    request: request::Flags,
}

/// What can become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Decision {
    /// It passes.
    Allow,
    /// It is refused.
    Deny,
}

impl Decision {
    const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

pub(crate) fn run(args: &Args, as_json: bool) -> anyhow::Result<Verdict> {
    let mut texts = Vec::new();
    for name in &args.files {
        let text = yaml::read(name).map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        texts.push((name.as_str(), text));
    }
    let configured = match configured::gather(&texts, &args.settings) {
        Ok(configured) => configured,
        Err(problems) => {
            output::complain_lines(&problems);
            return Ok(Verdict::Findings);
        }
    };
    if args.expect.is_some() && configured.authz.is_none() {
        anyhow::bail!(
            "--expect: there is no AuthorizationPolicy and no authz_policy in these files"
        );
    }
    if args.expect_arm.is_some() && configured.canary.is_none() {
        anyhow::bail!("--expect-arm: there is no canary_split in these files");
    }
    let request = args.request.describe()?;
    known_names(args, &configured, &request)?;
    let report = Report::new(configured, request, args.nearest)?;
    output::text(&if as_json {
        format!("{:#}\n", report.to_json())
    } else {
        report.to_string()
    })?;
    let mut failed = Vec::new();
    if let Some(expected) = args.expect
        && report.decision() != Some(expected)
    {
        let seen = report.decision().map_or("neither", Decision::name);
        failed.push(format!("--expect {}: it is {seen}", expected.name()));
    }
    if let Some(expected) = args.expect_arm.as_deref()
        && report.arm() != Some(expected)
    {
        let seen = match report.arm() {
            Some(arm) => format!("it is {arm}"),
            None if report.decision() == Some(Decision::Deny) => {
                "authz_policy denies the request before".to_owned()
            }
            None => "no split takes the request, or chance chooses".to_owned(),
        };
        failed.push(format!("--expect-arm {expected}: {seen}"));
    }
    output::complain_lines(&failed);
    Ok(Verdict::clean_if(failed.is_empty()))
}

/// Refuses names of arms and splits that are in no file: an expectation of one could
/// never hold, and an abort of one would change nothing.
fn known_names(
    args: &Args,
    configured: &configured::Configured,
    request: &request::Request,
) -> anyhow::Result<()> {
    let splits = configured.canary.iter().flat_map(|canary| &canary.splits);
    if let Some(arm) = &args.expect_arm {
        let arms: BTreeSet<&str> = splits
            .clone()
            .flat_map(|split| split.arms.iter().map(String::as_str))
            .collect();
        if !arms.contains(arm.as_str()) {
            let known = arms.into_iter().collect::<Vec<_>>().join(", ");
            anyhow::bail!("--expect-arm: {arm:?} is no arm; the arms are {known}");
        }
    }
    let names: Vec<&str> = splits.map(|split| split.name.as_str()).collect();
    if let Some(split) = request.unknown_aborted(&names) {
        let known = names.join(", ");
        anyhow::bail!("--aborted: {split:?} is no split; the splits are {known}");
    }
    Ok(())
}
