//! `meshpack tags`: what the bootstrap has to say so that labels come out of
//! stat names.

use meshpack_sdk::config::Node;

use crate::check;
use crate::filters::Filter;
use crate::output::{self, Verdict};
use crate::stat_tags::Tags;
use crate::yaml;

/// Prints the bootstrap settings that turn stat names into labels: Envoy's
/// stats_tags and histogram buckets, or Istio's extraStatTags.
///
/// Without files it prints those of all filters with default configurations.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// YAML or JSON files: plugin configurations, resources that carry them,
    /// Envoy bootstraps; `-` for the standard input.
    files: Vec<String>,
    /// Whose configuration it is, where the keys do not tell.
    #[arg(long, value_enum)]
    filter: Option<Filter>,
    /// For whom.
    #[arg(long = "for", value_enum, default_value_t = Audience::Envoy)]
    audience: Audience,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Audience {
    /// An Envoy bootstrap: stats_config.
    Envoy,
    /// Istio: meshConfig and pod annotations.
    Istio,
}

pub(crate) fn run(args: &Args, as_json: bool) -> anyhow::Result<Verdict> {
    let mut tags = Tags::default();
    if args.files.is_empty() {
        for filter in std::iter::once(Filter::Meshpack).chain(Filter::ALL) {
            tags.add(filter, &Node::Object(Vec::new()));
        }
    }
    let mut refused = Vec::new();
    for name in &args.files {
        let text = yaml::read(name).map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        match check::configurations(name, &text, args.filter) {
            Ok(configurations) => {
                for (filter, config) in configurations {
                    tags.add(filter, &config);
                }
            }
            Err(problems) => refused.extend(problems),
        }
    }
    if !refused.is_empty() {
        output::text(&format!("{}\n", refused.join("\n")))?;
        return Ok(Verdict::Findings);
    }
    output::text(&match (as_json, args.audience) {
        (true, _) => tags.to_json(),
        (false, Audience::Envoy) => tags.for_envoy(),
        (false, Audience::Istio) => tags.for_istio(),
    })?;
    Ok(Verdict::Clean)
}
