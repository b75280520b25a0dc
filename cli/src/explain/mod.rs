//! `meshpack explain`: what would these filters do with this request, and why?

mod authz;
mod canary;
mod configured;
mod report;
mod request;
mod retry;
mod telemetry;

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
    let report = Report::new(configured, args.request.describe()?, args.nearest)?;
    output::text(&if as_json {
        format!("{:#}\n", report.to_json())
    } else {
        report.to_string()
    })?;
    let decided = args
        .expect
        .is_none_or(|expected| report.decision() == Some(expected));
    let steered = args
        .expect_arm
        .as_deref()
        .is_none_or(|arm| report.arm() == Some(arm));
    Ok(Verdict::clean_if(decided && steered))
}
