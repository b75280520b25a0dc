//! The Envoy in front of all servers.

use std::fmt;
use std::io;

use anyhow::Result;
use meshpack_harness::{Cluster, Envoy, HttpFilter, Listener, Route, WasmFilter, wasm_module};
use serde_json::{Value, json};

use crate::servers::{Address, Server};
use crate::wire::{Answer, Connection};

/// Istio's `pathNormalization`, as it configures Envoy for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Normalization {
    /// Paths stay as they come.
    None,
    /// RFC 3986: dot segments, backslashes, unreserved characters. Istio's default.
    Base,
    /// And slashes are merged.
    MergeSlashes,
    /// And encoded slashes are decoded before all that.
    DecodeAndMergeSlashes,
}

impl Normalization {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self::None,
        Self::Base,
        Self::MergeSlashes,
        Self::DecodeAndMergeSlashes,
    ];

    fn manager(self) -> Value {
        match self {
            Self::None => json!({"normalize_path": false}),
            Self::Base => json!({"normalize_path": true}),
            Self::MergeSlashes => json!({"normalize_path": true, "merge_slashes": true}),
            Self::DecodeAndMergeSlashes => json!({
                "normalize_path": true,
                "merge_slashes": true,
                "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD",
            }),
        }
    }
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "NONE",
            Self::Base => "BASE",
            Self::MergeSlashes => "MERGE_SLASHES",
            Self::DecodeAndMergeSlashes => "DECODE_AND_MERGE_SLASHES",
        })
    }
}

/// What stands before the route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Through {
    /// Nothing.
    Nothing,
    /// The filter in Istio's mode refuses the guarded area.
    IstioDeny,
    /// The filter in hardened mode refuses the guarded area.
    HardenedDeny,
    /// The filter in hardened mode allows the public area only.
    HardenedAllow,
    /// The filter in hardened mode refuses all but the public area.
    HardenedDenyNot,
    /// The filter in hardened mode refuses the guarded area by templates.
    HardenedTemplate,
    /// The filter in hardened mode refuses the files of the guarded area by their names.
    HardenedExact,
}

impl Through {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Nothing,
        Self::IstioDeny,
        Self::HardenedDeny,
        Self::HardenedAllow,
        Self::HardenedDenyNot,
        Self::HardenedTemplate,
        Self::HardenedExact,
    ];

    /// Those in hardened mode.
    pub const HARDENED: [Self; 5] = [
        Self::HardenedDeny,
        Self::HardenedAllow,
        Self::HardenedDenyNot,
        Self::HardenedTemplate,
        Self::HardenedExact,
    ];

    /// Whether the policy guards what `server` guards. A server that takes any path
    /// that begins with `/admin` has guarded resources which a template does not name,
    /// and one that looks for a page in the folders above has any number of names.
    #[must_use]
    pub fn fits(self, server: &str) -> bool {
        let named = [
            "files",
            "static",
            "Static",
            "FileServer",
            "Alias",
            "mounts",
            "scripts",
        ];
        let loose = [
            "case",
            "location",
            "JDK httpserver contexts",
            "PHP's own server, files",
        ];
        match self {
            Self::HardenedTemplate => !loose.iter().any(|part| server.contains(part)),
            Self::HardenedExact => {
                named.iter().any(|part| server.contains(part))
                    && server != "PHP's own server, files"
            }
            _ => true,
        }
    }

    fn filter(self) -> Result<Option<WasmFilter>> {
        let (mode, action, operation) = match self {
            Self::Nothing => return Ok(None),
            Self::IstioDeny => (
                "istio",
                "DENY",
                json!({"paths": ["/admin*", "/api/admin*"]}),
            ),
            Self::HardenedDeny => {
                let paths = ["/admin*", "/api/admin*"];
                ("hardened", "DENY", json!({"paths": paths}))
            }
            Self::HardenedAllow => ("hardened", "ALLOW", json!({"paths": ["/public*"]})),
            Self::HardenedDenyNot => ("hardened", "DENY", json!({"notPaths": ["/public*"]})),
            Self::HardenedTemplate => {
                let paths = ["/admin", "/admin/{**}", "/api/admin", "/{*}/admin/{**}"];
                ("hardened", "DENY", json!({"paths": paths}))
            }
            Self::HardenedExact => {
                let names = ["", "/", "/index.html", "/secret.txt", "/secret.php"];
                let paths =
                    ["/admin", "/api/admin"].map(|area| names.map(|name| format!("{area}{name}")));
                let mut paths = paths.concat();
                // Pages of the front controller.
                paths.push("/index.php/*".to_owned());
                ("hardened", "DENY", json!({"paths": paths}))
            }
        };
        let filter = WasmFilter::new("authz_policy", wasm_module("authz_policy")?);
        Ok(Some(filter.config(&json!({
            "policies": [{"metadata": {"name": "guard"}, "spec": {
                "action": action,
                "rules": [{"to": [{"operation": operation}]}],
            }}],
            "pathMatching": mode,
            "decisionLog": {"denied": false},
        }))))
    }
}

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nothing => "no filter",
            Self::IstioDeny => "istio, DENY /admin*",
            Self::HardenedDeny => "hardened, DENY /admin*",
            Self::HardenedAllow => "hardened, ALLOW /public*",
            Self::HardenedDenyNot => "hardened, DENY all but /public*",
            Self::HardenedTemplate => "hardened, DENY /admin/{**}",
            Self::HardenedExact => "hardened, DENY /admin/secret.txt",
        })
    }
}

/// The response header in which Envoy says which path it would forward.
const FORWARDED: &str = "x-forwarded-path";

/// One Envoy with a listener for each [`Normalization`] and [`Through`]. Header
/// `x-server` names the server a request is for; without it Envoy answers itself.
pub struct Proxy {
    envoy: Envoy,
}

impl Proxy {
    /// Starts it in front of `servers`, whose numbers are their places.
    ///
    /// # Errors
    /// If Envoy or the module is not there or does not start.
    pub async fn start(servers: &[Server]) -> Result<Self> {
        let mut builder = Envoy::builder().concurrency(2).log_level("error").quiet();
        for normalization in Normalization::ALL {
            for through in Through::ALL {
                builder = builder.listener(listener(normalization, through)?);
            }
        }
        for (number, server) in servers.iter().enumerate() {
            let mut cluster = Cluster::new(format!("s{number}"));
            if server.one_request {
                let kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
                cluster = cluster.merge(json!({"typed_extension_protocol_options": {kind: {
                    "@type": format!("type.googleapis.com/{kind}"),
                    "explicit_http_config": {"http_protocol_options": {}},
                    "common_http_protocol_options": {"max_requests_per_connection": 1},
                }}}));
            }
            builder = builder.cluster(match &server.address {
                Address::Tcp(address) => cluster.endpoint(*address),
                Address::Unix(path) => cluster.unix_endpoint(path),
            });
        }
        let envoy = builder.start().await?;
        Ok(Self { envoy })
    }

    /// A client of one listener.
    #[must_use]
    pub fn client(&self, normalization: Normalization, through: Through) -> Client {
        Client(Connection::new(
            self.envoy.address(&name(normalization, through)),
        ))
    }
}

fn name(normalization: Normalization, through: Through) -> String {
    format!("{normalization}, {through}")
}

fn listener(normalization: Normalization, through: Through) -> Result<Listener> {
    let header = json!({"name": "x-server", "present_match": true});
    let route = Route::to_cluster_in("x-server").merge(json!({
        "match": {"headers": [header]},
        "route": {"timeout": "30s"},
    }));
    let echo = Route::direct(200, "forwarded").merge(json!({"response_headers_to_add": [
        {"header": {"key": FORWARDED, "value": "%REQ(:PATH)%"}},
    ]}));
    let mut listener = Listener::new(name(normalization, through));
    if let Some(filter) = through.filter()? {
        listener = listener.filter(HttpFilter::from(filter));
    }
    Ok(listener
        .route(route)
        .route(echo)
        .merge_manager(normalization.manager()))
}

/// One connection to one listener.
#[derive(Debug)]
pub struct Client(Connection);

impl Client {
    /// The path that Envoy would forward for `target`; `None` if it refuses the request.
    ///
    /// # Errors
    /// If Envoy does not answer.
    pub fn forwarded(&mut self, target: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let answer = self.0.get(target, None)?;
        let path = answer.header(FORWARDED).filter(|_| answer.status == 200);
        Ok(path.map(<[u8]>::to_vec))
    }

    /// The answer of server number `server` to `target`.
    ///
    /// # Errors
    /// If Envoy does not answer.
    pub fn get(&mut self, target: &[u8], server: usize) -> io::Result<Answer> {
        self.0.get(target, Some(server))
    }
}
