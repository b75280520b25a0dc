//! Listeners with an HTTP connection manager.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{HttpFilter, Route, merge};
use crate::port::Port;

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// HTTP/1.1 or HTTP/2, by the first bytes or by ALPN.
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
}

/// TLS towards clients, from files (see [`Certificates`](crate::Certificates)).
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// The server's certificate chain, PEM.
    pub certificate: PathBuf,
    /// The server's private key, PEM.
    pub key: PathBuf,
    /// With it, clients must show a certificate that this authority signed.
    pub client_ca: Option<PathBuf>,
}

impl ServerTls {
    fn transport_socket(&self) -> Value {
        let kind =
            "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
        let file = |path: &Path| json!({"filename": path});
        let mut tls = json!({"@type": kind, "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [{
                "certificate_chain": file(&self.certificate),
                "private_key": file(&self.key),
            }],
        }});
        if let Some(ca) = &self.client_ca {
            tls["require_client_certificate"] = json!(true);
            tls["common_tls_context"]["validation_context"] = json!({"trusted_ca": file(ca)});
        }
        json!({"name": "envoy.transport_sockets.tls", "typed_config": tls})
    }
}

/// A filter whose configuration Envoy watches in a file.
#[derive(Clone, Debug)]
pub(crate) struct EcdsFilter {
    pub(crate) name: String,
    pub(crate) first: HttpFilter,
}

#[derive(Clone, Debug)]
enum Slot {
    Fixed(Value),
    Ecds(EcdsFilter),
}

/// A listener on a free port of 127.0.0.1.
#[derive(Clone, Debug)]
pub struct Listener {
    name: String,
    port: Option<u16>,
    codec: Codec,
    tls: Option<ServerTls>,
    filters: Vec<Slot>,
    routes: Vec<Value>,
    virtual_hosts: Vec<Value>,
    manager: Value,
    listener: Value,
}

impl Listener {
    /// A listener that answers 404 until it is given routes.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            port: None,
            codec: Codec::Auto,
            tls: None,
            filters: Vec::new(),
            routes: Vec::new(),
            virtual_hosts: Vec::new(),
            manager: json!({}),
            listener: json!({}),
        }
    }

    /// Adds a filter to the end of the chain; the router is added by itself.
    pub fn filter(mut self, filter: impl Into<HttpFilter>) -> Self {
        self.filters.push(Slot::Fixed(filter.into().into()));
        self
    }

    /// Adds a filter that [`Envoy::swap_filter_config`](crate::Envoy::swap_filter_config)
    /// can replace while Envoy runs, under the discovery name `name`.
    pub fn swappable_filter(
        mut self,
        name: impl Into<String>,
        first: impl Into<HttpFilter>,
    ) -> Self {
        self.filters.push(Slot::Ecds(EcdsFilter {
            name: name.into(),
            first: first.into(),
        }));
        self
    }

    /// Adds a route to the virtual host that takes every host.
    pub fn route(mut self, route: impl Into<Route>) -> Self {
        self.routes.push(route.into().into());
        self
    }

    /// Adds a literal virtual host.
    pub fn virtual_host(mut self, virtual_host: Value) -> Self {
        self.virtual_hosts.push(virtual_host);
        self
    }

    /// What the listener speaks; [`Codec::Auto`] unless set.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Speaks TLS, and mutual TLS if `tls` names a client authority.
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// A port that is known before Envoy starts, instead of a free one.
    pub fn port(mut self, port: &Port) -> Self {
        self.port = Some(port.address().port());
        self
    }

    /// Merges `patch` into the HTTP connection manager.
    pub fn merge_manager(mut self, patch: Value) -> Self {
        merge(&mut self.manager, patch);
        self
    }

    /// Merges `patch` into the listener.
    pub fn merge(mut self, patch: Value) -> Self {
        merge(&mut self.listener, patch);
        self
    }

    pub(crate) fn ecds_filters(&self) -> impl Iterator<Item = &EcdsFilter> {
        self.filters.iter().filter_map(|slot| match slot {
            Slot::Ecds(filter) => Some(filter),
            Slot::Fixed(_) => None,
        })
    }

    /// The listener as JSON; `ecds_file` says where a swappable filter's file is.
    pub(crate) fn into_json(self, ecds_file: impl Fn(&str) -> PathBuf) -> Value {
        let mut filters: Vec<Value> = self
            .filters
            .into_iter()
            .map(|slot| match slot {
                Slot::Fixed(filter) => filter,
                Slot::Ecds(filter) => discovered(&filter, &ecds_file(&filter.name)),
            })
            .collect();
        filters.push(HttpFilter::router().into());
        let mut virtual_hosts = self.virtual_hosts;
        if !self.routes.is_empty() {
            virtual_hosts.push(json!({"name": "all", "domains": ["*"], "routes": self.routes}));
        }
        let kind = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
        let mut manager = json!({
            "@type": kind,
            "stat_prefix": self.name,
            "codec_type": match self.codec {
                Codec::Auto => "AUTO",
                Codec::Http1 => "HTTP1",
                Codec::Http2 => "HTTP2",
            },
            "http_filters": filters,
            "route_config": {"name": self.name, "virtual_hosts": virtual_hosts},
        });
        merge(&mut manager, self.manager);
        let mut chain = json!({"filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
        ]});
        if let Some(tls) = &self.tls {
            chain["transport_socket"] = tls.transport_socket();
        }
        let mut listener = json!({
            "name": self.name,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": self.port.unwrap_or(0)}},
            "filter_chains": [chain],
        });
        if self.port.is_some() {
            // Two Envoys that are told the same port must not share it in silence.
            listener["enable_reuse_port"] = json!(false);
        }
        merge(&mut listener, self.listener);
        listener
    }
}

fn discovered(filter: &EcdsFilter, file: &Path) -> Value {
    json!({"name": filter.name, "config_discovery": {
        "config_source": {
            "path_config_source": {"path": file},
            "resource_api_version": "V3",
        },
        "type_urls": [filter.first.typed_config()["@type"]],
    }})
}
