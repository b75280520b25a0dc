//! A request from the command line.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use meshpack_authz_policy::policy::described::Described;
use meshpack_authz_policy::policy::request::Attribute;
use meshpack_sdk::config::{Node, Value, read_node};
use meshpack_sdk::metadata::encode;

use crate::json::object;

/// The request; what is left out the request does not have.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The request")]
pub(super) struct Flags {
    /// Method.
    #[arg(long, default_value = "GET")]
    method: String,
    /// Path with query.
    #[arg(long, default_value = "/")]
    path: String,
    /// Host, with its port if the client sends one.
    #[arg(long)]
    host: Option<String>,
    /// A header, `name: value`; may be repeated, also with the same name.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The caller's identity, with or without `spiffe://`.
    #[arg(long)]
    principal: Option<String>,
    /// Address of the TCP peer (`ipBlocks`).
    #[arg(long, value_name = "IP")]
    source_ip: Option<IpAddr>,
    /// Address of the client after X-Forwarded-For (`remoteIpBlocks`); the TCP
    /// peer's without it.
    #[arg(long, value_name = "IP")]
    remote_ip: Option<IpAddr>,
    /// Where the connection was made to.
    #[arg(long, value_name = "IP:PORT")]
    destination: Option<SocketAddr>,
    /// Server name of the TLS hello.
    #[arg(long)]
    sni: Option<String>,
    /// The token's payload, a JSON object.
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    /// Dynamic metadata of other filters: a JSON object of filters, each an object.
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// The cluster that the route chooses (`key: cluster` of retry budgets).
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// When the request comes (ramps of canary splits), as 2026-11-20T10:00:00Z;
    /// now without it.
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Duration>,
    /// A split whose canary the proxy has taken out; may be repeated.
    #[arg(long = "aborted", value_name = "SPLIT")]
    aborted: Vec<String>,
    /// Where in a policy's enforcePercent the request falls: 0 is enforced by all
    /// that have any share, 100 by those alone that have all.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    draw: f64,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("use a number from 0 to 100".to_owned()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let node = Node::String(text.to_owned());
    let read = read_node(&node, |value: Value<'_>| value.timestamp());
    read.map_err(|problems| {
        problems
            .first()
            .map_or_else(String::new, |problem| problem.message().to_owned())
    })
}

/// A request that no proxy has seen, and the world around it.
#[derive(Debug)]
pub(super) struct Request {
    headers: Vec<(String, String)>,
    attributes: Vec<(Attribute, String)>,
    metadata: Node,
    client: Option<IpAddr>,
    /// The cluster that the route chooses.
    pub(super) cluster: Option<String>,
    /// Time since the Unix epoch.
    pub(super) at: Duration,
    aborted: Vec<String>,
    draw: f64,
}

impl Request {
    /// A split that was said to have aborted and is not among `splits`.
    pub(super) fn unknown_aborted(&self, splits: &[&str]) -> Option<&str> {
        let mut aborted = self.aborted.iter().map(String::as_str);
        aborted.find(|name| !splits.contains(name))
    }

    /// As authz_policy asks for it.
    pub(super) fn described(&self) -> Described {
        let mut described = Described::default();
        for (name, value) in &self.headers {
            described.header(name, value);
        }
        for (attribute, value) in &self.attributes {
            described.attribute(*attribute, value);
        }
        described.metadata(&self.metadata);
        described
    }

    /// The draw as authz_policy makes it, over all of `u32`.
    pub(super) fn draw(&self) -> u32 {
        (self.draw / 100.0 * f64::from(u32::MAX)) as u32
    }

    /// Values of a header, in order.
    pub(super) fn header<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r str> {
        let own = self.headers.iter().filter(move |(own, _)| own == name);
        own.map(|(_, value)| value.as_str())
    }

    /// Replaces a header as a filter does; `None` removes it.
    pub(super) fn set_header(&mut self, name: &str, value: Option<&str>) {
        self.headers.retain(|(own, _)| own != name);
        let value = value.map(|value| (name.to_owned(), value.to_owned()));
        self.headers.extend(value);
    }

    /// What was said about the connection.
    pub(super) fn attribute(&self, attribute: Attribute) -> Option<&str> {
        let own = self.attributes.iter().find(|(own, _)| *own == attribute);
        own.map(|(_, value)| value.as_str())
    }

    /// Address of the client as Envoy has it, with a port.
    pub(super) fn client(&self) -> Option<String> {
        self.client.map(|ip| SocketAddr::new(ip, 0).to_string())
    }

    /// Dynamic metadata as Envoy hands it out.
    pub(super) fn encoded_metadata(&self) -> Vec<u8> {
        encode(&self.metadata)
    }

    /// Whether the proxy has taken the canary of a split out.
    pub(super) fn is_aborted(&self, split: &str) -> bool {
        self.aborted.iter().any(|name| name == split)
    }
}

impl Flags {
    pub(super) fn describe(&self) -> anyhow::Result<Request> {
        let mut headers = vec![
            (":method".to_owned(), self.method.clone()),
            (":path".to_owned(), self.path.clone()),
        ];
        headers.extend(
            self.host
                .clone()
                .map(|host| (":authority".to_owned(), host)),
        );
        for header in &self.headers {
            let (name, value) = header
                .split_once(':')
                .filter(|(name, _)| !name.is_empty())
                .with_context(|| format!("--header {header:?}: write it as \"name: value\""))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let principal = self.principal.as_ref().map(|principal| {
            let id = principal.strip_prefix("spiffe://").unwrap_or(principal);
            format!("spiffe://{id}")
        });
        let client = self.remote_ip.or(self.source_ip);
        let attributes = [
            (Attribute::UriSan, principal),
            (
                Attribute::DirectRemoteAddress,
                self.source_ip.map(|ip| ip.to_string()),
            ),
            (Attribute::SourceAddress, client.map(|ip| ip.to_string())),
            (
                Attribute::DestinationAddress,
                self.destination.map(|address| address.to_string()),
            ),
            (Attribute::ServerName, self.sni.clone()),
        ];
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(Request {
            headers,
            attributes: attributes
                .into_iter()
                .filter_map(|(attribute, value)| Some((attribute, value?)))
                .collect(),
            metadata: self.all_metadata()?,
            client,
            cluster: self.cluster.clone(),
            at: self
                .at
                .map_or_else(now, Ok)
                .context("the clock of this machine")?,
            aborted: self.aborted.clone(),
            draw: self.draw,
        })
    }

    fn all_metadata(&self) -> anyhow::Result<Node> {
        let parse = |flag: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match serde_json::from_str(text) {
                Ok(Node::Object(entries)) => Ok(Some(entries)),
                Ok(_) => Err(anyhow::anyhow!("{flag}: is not a JSON object")),
                Err(error) => Err(anyhow::anyhow!("{flag}: is not JSON: {error}")),
            },
        };
        let mut filters = parse("--metadata", &self.metadata)?.unwrap_or_default();
        if let Some(claims) = parse("--claims", &self.claims)? {
            let payload = object([("payload", Node::Object(claims))]);
            filters.push(("envoy.filters.http.jwt_authn".to_owned(), payload));
        }
        Ok(Node::Object(filters))
    }
}
