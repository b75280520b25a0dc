//! Values of the standard labels.

use std::borrow::Cow;

use super::flags;
use super::peer::{Connection, Identity};
use super::service::ServiceSource;
use crate::policy::labels::GoldenLabel;
use crate::policy::series::{UNKNOWN, push_key};

/// Revision of a workload that names none.
const LATEST: &[u8] = b"latest";

/// Which end of a request counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporter {
    /// The client's proxy, or a gateway.
    Source,
    /// The server's proxy.
    Destination,
    /// A waypoint between them.
    Waypoint,
}

impl Reporter {
    /// From the direction of the listener (`traffic_direction: OUTBOUND` is the
    /// client's side, anything else the server's, as in Istio) and from the kind
    /// of proxy.
    #[must_use]
    pub fn new(outbound: bool, waypoint: bool) -> Self {
        match (waypoint, outbound) {
            (true, _) => Self::Waypoint,
            (false, true) => Self::Source,
            (false, false) => Self::Destination,
        }
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::Source => b"source",
            Self::Destination => b"destination",
            Self::Waypoint => b"waypoint",
        }
    }
}

/// Everything the standard labels of one request are made of.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Which end this proxy is.
    pub reporter: Reporter,
    /// This proxy's workload.
    pub own: &'a Identity,
    /// The other side.
    pub connection: &'a Connection,
    /// The service that was asked.
    pub service: ServiceSource<'a>,
    /// HTTP status, 0 when there was none.
    pub code: i64,
    /// Response flags, a bit set.
    pub flags: i64,
    /// Whether it was a gRPC request.
    pub grpc: bool,
    /// gRPC status, if there was one.
    pub grpc_status: Option<i64>,
}

/// What the labels of a family depend on; only that goes into its keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Components {
    connection: bool,
    service: bool,
    code: bool,
    flags: bool,
    protocol: bool,
    grpc_status: bool,
}

impl Components {
    /// What these labels depend on.
    #[must_use]
    pub fn of(labels: impl IntoIterator<Item = GoldenLabel>) -> Self {
        use GoldenLabel as L;
        let mut out = Self::default();
        for label in labels {
            match label {
                L::Reporter => {}
                L::DestinationService | L::DestinationServiceName => out.service = true,
                L::DestinationServiceNamespace => {
                    out.service = true;
                    out.connection = true;
                }
                L::RequestProtocol => out.protocol = true,
                L::ResponseCode => out.code = true,
                L::GrpcResponseStatus => out.grpc_status = true,
                L::ResponseFlags => out.flags = true,
                _ => out.connection = true,
            }
        }
        out
    }

    /// Appends to a key what these facts say about the components.
    #[inline]
    pub fn push_key(self, key: &mut Vec<u8>, facts: &Facts<'_>, max_value_length: usize) {
        key.push(facts.reporter as u8);
        if self.code {
            key.extend_from_slice(&(facts.code as u32).to_le_bytes());
        }
        if self.flags {
            key.extend_from_slice(&facts.flags.to_le_bytes());
        }
        if self.protocol {
            key.push(u8::from(facts.grpc));
        }
        if self.grpc_status {
            let status = facts.grpc_status.filter(|_| facts.grpc).unwrap_or(i64::MAX);
            key.extend_from_slice(&status.to_le_bytes());
        }
        if self.connection {
            key.extend_from_slice(facts.connection.key());
        }
        if self.service {
            push_key(key, facts.service.host(), max_value_length);
            push_key(key, facts.service.name(), max_value_length);
            push_key(key, facts.service.namespace(), max_value_length);
        }
    }
}

impl<'a> Facts<'a> {
    /// Value of a standard label.
    #[must_use]
    pub fn value(&self, label: GoldenLabel) -> Cow<'a, [u8]> {
        use GoldenLabel as L;
        let is_source = self.reporter == Reporter::Source;
        let (source, destination) = if is_source {
            (self.own, &self.connection.peer)
        } else {
            (&self.connection.peer, self.own)
        };
        let (source_principal, destination_principal) = if is_source {
            (
                &self.connection.own_principal,
                &self.connection.peer_principal,
            )
        } else {
            (
                &self.connection.peer_principal,
                &self.connection.own_principal,
            )
        };
        let value: &'a [u8] = match label {
            L::Reporter => self.reporter.name(),
            L::SourceWorkload => &source.workload,
            L::SourceCanonicalService => &source.service,
            L::SourceCanonicalRevision => latest(&source.revision),
            L::SourceWorkloadNamespace => &source.namespace,
            L::SourcePrincipal => source_principal,
            L::SourceApp => &source.app,
            L::SourceVersion => &source.version,
            L::SourceCluster => &source.cluster,
            L::DestinationWorkload => &destination.workload,
            L::DestinationWorkloadNamespace => &destination.namespace,
            L::DestinationPrincipal => destination_principal,
            L::DestinationApp => &destination.app,
            L::DestinationVersion => &destination.version,
            L::DestinationService => self.service_or_own(self.service.host(), destination),
            L::DestinationCanonicalService => &destination.service,
            L::DestinationCanonicalRevision => latest(&destination.revision),
            L::DestinationServiceName => self.service_or_own(self.service.name(), destination),
            L::DestinationServiceNamespace => match self.service.namespace() {
                b"" => &destination.namespace,
                namespace => namespace,
            },
            L::DestinationCluster => &destination.cluster,
            L::RequestProtocol if self.grpc => b"grpc",
            L::RequestProtocol => b"http",
            L::ResponseCode => return Cow::Owned(self.code.to_string().into_bytes()),
            L::GrpcResponseStatus => {
                let status = self.grpc_status.filter(|_| self.grpc);
                return Cow::Owned(
                    status
                        .map(|s| s.to_string())
                        .unwrap_or_default()
                        .into_bytes(),
                );
            }
            L::ResponseFlags => {
                return Cow::Owned(flags::short_names(self.flags as u64).into_bytes());
            }
            L::ConnectionSecurityPolicy if is_source => UNKNOWN,
            L::ConnectionSecurityPolicy if self.connection.mutual_tls() => b"mutual_tls",
            L::ConnectionSecurityPolicy => b"none",
        };
        Cow::Borrowed(if value.is_empty() { UNKNOWN } else { value })
    }

    /// Whether a client or a peer chose the value of a standard label. What this
    /// proxy says about itself, about the outcome and about its configuration is
    /// one of few.
    #[must_use]
    pub fn is_open(&self, label: GoldenLabel) -> bool {
        use GoldenLabel as L;
        let is_source = self.reporter == Reporter::Source;
        match label {
            L::Reporter
            | L::RequestProtocol
            | L::ResponseCode
            | L::GrpcResponseStatus
            | L::ResponseFlags
            | L::ConnectionSecurityPolicy => false,
            L::DestinationService | L::DestinationServiceName => {
                matches!(self.service, ServiceSource::Host(_))
            }
            L::DestinationServiceNamespace => is_source && self.service.namespace().is_empty(),
            L::SourceWorkload
            | L::SourceCanonicalService
            | L::SourceCanonicalRevision
            | L::SourceWorkloadNamespace
            | L::SourcePrincipal
            | L::SourceApp
            | L::SourceVersion
            | L::SourceCluster => !is_source,
            L::DestinationWorkload
            | L::DestinationWorkloadNamespace
            | L::DestinationPrincipal
            | L::DestinationApp
            | L::DestinationVersion
            | L::DestinationCanonicalService
            | L::DestinationCanonicalRevision
            | L::DestinationCluster => is_source,
        }
    }

    /// The server's proxy answers for its own workload when nothing names the
    /// service.
    fn service_or_own<'s>(&self, service: &'s [u8], destination: &'s Identity) -> &'s [u8] {
        match service {
            b"" if self.reporter != Reporter::Source => &destination.workload,
            service => service,
        }
    }
}

fn latest(revision: &[u8]) -> &[u8] {
    if revision.is_empty() {
        LATEST
    } else {
        revision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::golden::Service;
    use crate::policy::labels::GOLDEN_LABELS;

    fn workload(name: &str) -> Identity {
        Identity {
            workload: format!("{name}-v1").into_bytes(),
            namespace: format!("{name}-ns").into_bytes(),
            service: name.into(),
            revision: b"v1".to_vec(),
            app: name.into(),
            version: b"v1".to_vec(),
            cluster: b"c1".to_vec(),
        }
    }

    fn shown(facts: &Facts<'_>) -> String {
        GOLDEN_LABELS
            .iter()
            .map(|label| {
                let value = facts.value(*label);
                format!("{}={}\n", label.name(), String::from_utf8_lossy(&value))
            })
            .collect()
    }

    #[test]
    fn a_client_reports_what_istio_reports() {
        let own = workload("shop");
        let service = Service {
            host: b"reviews.reviews-ns.svc.cluster.local".to_vec(),
            name: b"reviews".to_vec(),
            namespace: b"reviews-ns".to_vec(),
        };
        let connection = Connection::new(
            workload("reviews"),
            b"spiffe://td/ns/reviews-ns/sa/reviews".to_vec(),
            b"spiffe://td/ns/shop-ns/sa/shop".to_vec(),
        );
        let facts = Facts {
            reporter: Reporter::new(true, false),
            own: &own,
            connection: &connection,
            service: ServiceSource::Cluster(&service),
            code: 503,
            flags: 0x2,
            grpc: true,
            grpc_status: Some(14),
        };
        assert_eq!(
            shown(&facts),
            "reporter=source\n\
             source_workload=shop-v1\n\
             source_canonical_service=shop\n\
             source_canonical_revision=v1\n\
             source_workload_namespace=shop-ns\n\
             source_principal=spiffe://td/ns/shop-ns/sa/shop\n\
             source_app=shop\n\
             source_version=v1\n\
             source_cluster=c1\n\
             destination_workload=reviews-v1\n\
             destination_workload_namespace=reviews-ns\n\
             destination_principal=spiffe://td/ns/reviews-ns/sa/reviews\n\
             destination_app=reviews\n\
             destination_version=v1\n\
             destination_service=reviews.reviews-ns.svc.cluster.local\n\
             destination_canonical_service=reviews\n\
             destination_canonical_revision=v1\n\
             destination_service_name=reviews\n\
             destination_service_namespace=reviews-ns\n\
             destination_cluster=c1\n\
             request_protocol=grpc\n\
             response_code=503\n\
             grpc_response_status=14\n\
             response_flags=UH\n\
             connection_security_policy=unknown\n"
        );
    }

    #[test]
    fn a_server_without_peer_metadata_reports_unknown_and_itself() {
        let own = workload("reviews");
        let connection = Connection::default();
        let facts = Facts {
            reporter: Reporter::new(false, false),
            own: &own,
            connection: &connection,
            service: ServiceSource::Unknown,
            code: 0,
            flags: 0x4000,
            grpc: false,
            grpc_status: Some(0),
        };
        assert_eq!(
            shown(&facts),
            "reporter=destination\n\
             source_workload=unknown\n\
             source_canonical_service=unknown\n\
             source_canonical_revision=latest\n\
             source_workload_namespace=unknown\n\
             source_principal=unknown\n\
             source_app=unknown\n\
             source_version=unknown\n\
             source_cluster=unknown\n\
             destination_workload=reviews-v1\n\
             destination_workload_namespace=reviews-ns\n\
             destination_principal=unknown\n\
             destination_app=reviews\n\
             destination_version=v1\n\
             destination_service=reviews-v1\n\
             destination_canonical_service=reviews\n\
             destination_canonical_revision=v1\n\
             destination_service_name=reviews-v1\n\
             destination_service_namespace=reviews-ns\n\
             destination_cluster=c1\n\
             request_protocol=http\n\
             response_code=0\n\
             grpc_response_status=\n\
             response_flags=DC\n\
             connection_security_policy=none\n"
        );
    }

    #[test]
    fn keys_differ_exactly_where_labels_do() {
        let own = workload("reviews");
        let connection = Connection::default();
        let facts = |code, flags, grpc_status| Facts {
            reporter: Reporter::Destination,
            own: &own,
            connection: &connection,
            service: ServiceSource::Host(b"h"),
            code,
            flags,
            grpc: true,
            grpc_status,
        };
        let key = |components: Components, facts: &Facts<'_>| {
            let mut key = Vec::new();
            components.push_key(&mut key, facts, 100);
            key
        };
        let all = Components::of(GOLDEN_LABELS.iter().copied());
        let base = key(all, &facts(200, 0, Some(0)));
        assert_ne!(base, key(all, &facts(201, 0, Some(0))));
        assert_ne!(base, key(all, &facts(200, 1, Some(0))));
        assert_ne!(base, key(all, &facts(200, 0, None)));
        let code_only = Components::of([GoldenLabel::ResponseCode]);
        assert_eq!(
            key(code_only, &facts(200, 0, Some(0))),
            key(code_only, &facts(200, 1, None))
        );
    }
}
