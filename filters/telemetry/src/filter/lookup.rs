//! What is not read for every request: peers, services, routes, gRPC outcomes.

use std::rc::Rc;
use std::time::Duration;

use super::host::HostEngine;
use crate::policy::engine::ResultType;
use crate::policy::engine::{Batch, Slot};
use crate::policy::golden::{
    Connection, Expiring, Identity, PEER_FIELDS, Service, inbound_field, outbound_field,
};

/// A downstream connection's peer never changes, but its first request may end
/// before the peer has said who it is.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(10);
/// An upstream address may be given to another workload, a cluster be changed.
const ENDPOINT_LIFETIME: Duration = Duration::from_secs(5);
/// Most connections and endpoints remembered per worker.
const MAX_REMEMBERED: usize = 4096;

/// Looks up who is at the other end, once per connection.
#[derive(Debug)]
pub(super) struct Peers {
    known: Expiring<Connection>,
    batch: Batch<HostEngine>,
    fields: Vec<Option<Slot>>,
    peer_principal: Option<Slot>,
    own_principal: Option<Slot>,
    endpoint: Option<Slot>,
}

impl Peers {
    /// Clients on connections that they opened.
    pub(super) fn clients() -> Self {
        Self::new(CONNECTION_LIFETIME, false)
    }

    /// Servers by their address.
    pub(super) fn servers() -> Self {
        Self::new(ENDPOINT_LIFETIME, true)
    }

    fn new(lifetime: Duration, outbound: bool) -> Self {
        let mut batch = Batch::new(HostEngine);
        let mut add = |cel: &str| batch.add_own(cel, cel, ResultType::Text);
        let fields = PEER_FIELDS
            .iter()
            .map(|field| {
                add(&if outbound {
                    outbound_field(field)
                } else {
                    inbound_field(field)
                })
            })
            .collect();
        let (root, endpoint) = if outbound {
            let metadata = "xds.upstream_host_metadata";
            let istio = format!("{metadata}.filter_metadata[\"istio\"]");
            let cel = format!(
                "has({metadata}) && \"istio\" in {metadata}.filter_metadata && has({istio}.workload) ? {istio}.workload : \"\""
            );
            ("upstream", add(&cel))
        } else {
            ("connection", None)
        };
        let mut principal = |side: &str| {
            let san = format!("{root}.uri_san_{side}_certificate");
            add(&format!("has({san}) ? {san} : \"\""))
        };
        let (peer_principal, own_principal) = (principal("peer"), principal("local"));
        batch.compile();
        Self {
            known: Expiring::new(lifetime, MAX_REMEMBERED),
            batch,
            fields,
            peer_principal,
            own_principal,
            endpoint,
        }
    }

    pub(super) fn find(&mut self, key: &[u8], now: Duration) -> Rc<Connection> {
        if let Some(known) = self.known.get(key, now) {
            return known;
        }
        self.batch.evaluate(|_| {});
        let text = |slot: Option<Slot>| {
            slot.map(|slot| self.batch.bytes(slot).to_vec())
                .unwrap_or_default()
        };
        let field = |index: usize| text(self.fields.get(index).copied().flatten());
        let mut peer = Identity::from_fields(field);
        if peer.is_unknown() {
            peer = Identity::from_endpoint(&text(self.endpoint)).unwrap_or_default();
        }
        let connection = Connection::new(peer, text(self.peer_principal), text(self.own_principal));
        self.known.insert(key, connection, now)
    }
}

/// A value read now and then: one expression of its own, empty when missing.
fn text(batch: &Batch<HostEngine>, slot: Option<Slot>) -> Vec<u8> {
    slot.map(|slot| batch.bytes(slot).to_vec())
        .unwrap_or_default()
}

/// Looks up which service a cluster is.
#[derive(Debug)]
pub(super) struct Services {
    known: Expiring<Option<Service>>,
    batch: Batch<HostEngine>,
    fields: [Option<Slot>; 3],
}

impl Services {
    pub(super) fn new() -> Self {
        let mut batch = Batch::new(HostEngine);
        let metadata = "xds.cluster_metadata";
        let istio = format!("{metadata}.filter_metadata[\"istio\"]");
        let first = format!("{istio}.services[0]");
        let fields = ["host", "name", "namespace"].map(|field| {
            let cel = format!(
                "has({metadata}) && \"istio\" in {metadata}.filter_metadata && has({istio}.services) \
                 && size({istio}.services) > 0 && has({first}.{field}) ? {first}.{field} : \"\""
            );
            batch.add_own(&cel, &cel, ResultType::Text)
        });
        batch.compile();
        Self {
            known: Expiring::new(ENDPOINT_LIFETIME, MAX_REMEMBERED),
            batch,
            fields,
        }
    }

    /// What the metadata of the request's cluster says, if anything.
    pub(super) fn find(&mut self, cluster: &[u8], now: Duration) -> Rc<Option<Service>> {
        if let Some(known) = self.known.get(cluster, now) {
            return known;
        }
        self.batch.evaluate(|_| {});
        let [host, name, namespace] = self.fields.map(|slot| text(&self.batch, slot));
        let service = (!host.is_empty()).then_some(Service {
            host,
            name,
            namespace,
        });
        self.known.insert(cluster, service, now)
    }
}

/// Reads the route's name, where there is no cluster to tell the service.
#[derive(Debug)]
pub(super) struct RouteName {
    batch: Batch<HostEngine>,
    name: Option<Slot>,
}

impl RouteName {
    pub(super) fn new() -> Self {
        let mut batch = Batch::new(HostEngine);
        let cel = "has(xds.route_name) ? xds.route_name : \"\"";
        let name = batch.add_own(cel, cel, ResultType::Text);
        batch.compile();
        Self { batch, name }
    }

    pub(super) fn read(&mut self) -> Vec<u8> {
        self.batch.evaluate(|_| {});
        text(&self.batch, self.name)
    }
}

/// Reads how a gRPC call ended.
#[derive(Debug)]
pub(super) struct GrpcCall {
    batch: Batch<HostEngine>,
    status: Option<Slot>,
    counts: Option<Slot>,
}

/// Request and response messages of a call.
pub(super) type Messages = (i64, i64);

impl GrpcCall {
    pub(super) fn new() -> Self {
        let mut batch = Batch::new(HostEngine);
        let status = "has(response.grpc_status) ? response.grpc_status : \"\"";
        let status = batch.add_own(status, status, ResultType::Int);
        let counts = "filter_state[\"envoy.filters.http.grpc_stats\"]";
        let counts =
            format!("\"envoy.filters.http.grpc_stats\" in filter_state ? {counts} : b\"\"");
        let counts = batch.add_own(&counts, &counts, ResultType::Text);
        batch.compile();
        Self {
            batch,
            status,
            counts,
        }
    }

    /// The status, and the messages where `grpc_stats` counts them.
    pub(super) fn read(&mut self) -> (Option<i64>, Option<Messages>) {
        self.batch.evaluate(|_| {});
        let status = self.status.and_then(|slot| self.batch.integer(slot));
        let messages = self.counts.and_then(|slot| {
            let text = std::str::from_utf8(self.batch.bytes(slot)).ok()?;
            let (request, response) = text.split_once(',')?;
            Some((request.parse().ok()?, response.parse().ok()?))
        });
        (status, messages)
    }
}
