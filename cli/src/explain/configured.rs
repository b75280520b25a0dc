//! The configurations to explain, from whatever files a user has.

use meshpack_sdk::config::{Node, Problem, Value, read_node};

use crate::check;
use crate::filters::Filter;
use crate::json::object;
use crate::yaml;

/// What AuthorizationPolicy resources do not say about the mesh.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The mesh")]
pub(super) struct Settings {
    /// The mesh's trust domain, for AuthorizationPolicy resources.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    trust_domain: String,
    /// A former name of the trust domain; may be repeated.
    #[arg(long = "trust-domain-alias", value_name = "DOMAIN")]
    trust_domain_aliases: Vec<String>,
    /// Match paths and hosts as `pathMatching: hardened` does.
    #[arg(long)]
    hardened: bool,
}

/// The filters that are configured, each at most once.
#[derive(Debug, Default)]
pub(super) struct Configured {
    pub(super) authz: Option<meshpack_authz_policy::config::Config>,
    pub(super) canary: Option<meshpack_canary_split::config::Config>,
    pub(super) retry: Option<meshpack_retry_budget::config::Config>,
    pub(super) telemetry: Option<meshpack_telemetry::config::Config>,
}

/// Reads the configurations of all files.
///
/// # Errors
/// What the filters would refuse, one line each.
pub(super) fn gather(
    texts: &[(&str, String)],
    settings: &Settings,
) -> Result<Configured, Vec<String>> {
    let mut resources = Vec::new();
    let mut parts = Vec::new();
    for (name, text) in texts {
        let documents = yaml::parse(text).map_err(|error| vec![format!("{name}:{error}")])?;
        let found = documents
            .iter()
            .flat_map(|document| policies_in(document.root().node()));
        let before = (resources.len(), parts.len());
        resources.extend(found.cloned());
        for (filter, config) in check::carried_configurations(name, text)? {
            parts.extend(parts_of(filter, config));
        }
        if before == (resources.len(), parts.len()) {
            return Err(vec![format!(
                "{name}: there is no AuthorizationPolicy and no configuration of a filter in it"
            )]);
        }
    }
    if !resources.is_empty() {
        parts.push((Filter::AuthzPolicy, settings.config(resources)));
    }
    let mut configured = Configured::default();
    for filter in [
        Filter::AuthzPolicy,
        Filter::CanarySplit,
        Filter::RetryBudget,
        Filter::Telemetry,
    ] {
        let mut own = parts.iter().filter(|(of, _)| *of == filter);
        let (Some((_, config)), second) = (own.next(), own.next()) else {
            continue;
        };
        if second.is_some() {
            return Err(vec![format!(
                "these files hold several configurations of {filter}{}: name one workload's at a time",
                if filter == Filter::AuthzPolicy {
                    ", or one beside AuthorizationPolicy resources"
                } else {
                    ""
                }
            )]);
        }
        configured.read(filter, config)?;
    }
    Ok(configured)
}

/// The AuthorizationPolicy resources of a document, also in a `kind: List` as
/// `kubectl get -o yaml` prints it.
fn policies_in(document: &Node) -> Vec<&Node> {
    let Node::Object(entries) = document else {
        return Vec::new();
    };
    let field = |key: &str| {
        entries
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, node)| node)
    };
    match (field("kind"), field("items")) {
        (Some(Node::String(kind)), _) if kind == "AuthorizationPolicy" => vec![document],
        (Some(Node::String(kind)), Some(Node::List(items))) if kind.ends_with("List") => {
            items.iter().flat_map(policies_in).collect()
        }
        _ => Vec::new(),
    }
}

/// A configuration, or those of the pack's parts.
fn parts_of(filter: Filter, config: Node) -> Vec<(Filter, Node)> {
    match (filter, config) {
        (Filter::Meshpack, Node::Object(parts)) => parts
            .into_iter()
            .filter_map(|(key, config)| Some((Filter::of_part(&key)?, config)))
            .collect(),
        (filter, config) => vec![(filter, config)],
    }
}

impl Configured {
    fn read(&mut self, filter: Filter, config: &Node) -> Result<(), Vec<String>> {
        match filter {
            Filter::AuthzPolicy => {
                self.authz = Some(read(config, meshpack_authz_policy::config::Config::read)?);
            }
            Filter::CanarySplit => {
                let parse = |value: Value<'_>| meshpack_canary_split::config::Config::read(&value);
                self.canary = Some(read(config, parse)?);
            }
            Filter::RetryBudget => {
                let parse = |value: Value<'_>| meshpack_retry_budget::config::Config::read(&value);
                self.retry = Some(read(config, parse)?);
            }
            Filter::Telemetry => {
                let parse = |value: Value<'_>| meshpack_telemetry::config::read(&value);
                self.telemetry = Some(read(config, parse)?);
            }
            Filter::Meshpack => {}
        }
        Ok(())
    }
}

fn read<T>(config: &Node, parse: impl FnOnce(Value<'_>) -> Option<T>) -> Result<T, Vec<String>> {
    read_node(config, parse).map_err(|problems| problems.iter().map(Problem::to_string).collect())
}

impl Settings {
    fn config(&self, resources: Vec<Node>) -> Node {
        let text = |text: &str| Node::String(text.to_owned());
        let aliases = self.trust_domain_aliases.iter().map(|alias| text(alias));
        let matching = if self.hardened { "hardened" } else { "istio" };
        object([
            ("policies", Node::List(resources)),
            ("trustDomain", text(&self.trust_domain)),
            ("trustDomainAliases", Node::List(aliases.collect())),
            ("pathMatching", text(matching)),
            // A description can name the peer without any proxy publishing it.
            (
                "directRemoteIp",
                object([("filterState", text("described"))]),
            ),
        ])
    }
}
