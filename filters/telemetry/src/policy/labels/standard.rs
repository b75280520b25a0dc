//! Istio's standard labels and the labels of the pack's own metrics.

macro_rules! golden_labels {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// One of Istio's standard labels.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum GoldenLabel { $($(#[$doc])* $variant,)* }

        /// Istio's standard labels in Istio's order.
        pub const GOLDEN_LABELS: &[GoldenLabel] = &[$(GoldenLabel::$variant,)*];

        impl GoldenLabel {
            /// The name in Prometheus.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

golden_labels! {
    /// Which end of the request counted it: `source`, `destination` or `waypoint`.
    Reporter = "reporter";
    /// Workload (Deployment, StatefulSet, …) of the client.
    SourceWorkload = "source_workload";
    /// Canonical service of the client.
    SourceCanonicalService = "source_canonical_service";
    /// Canonical revision of the client.
    SourceCanonicalRevision = "source_canonical_revision";
    /// Namespace of the client's workload.
    SourceWorkloadNamespace = "source_workload_namespace";
    /// SPIFFE identity of the client.
    SourcePrincipal = "source_principal";
    /// `app` label of the client.
    SourceApp = "source_app";
    /// `version` label of the client.
    SourceVersion = "source_version";
    /// Cluster of the client.
    SourceCluster = "source_cluster";
    /// Workload of the server.
    DestinationWorkload = "destination_workload";
    /// Namespace of the server's workload.
    DestinationWorkloadNamespace = "destination_workload_namespace";
    /// SPIFFE identity of the server.
    DestinationPrincipal = "destination_principal";
    /// `app` label of the server.
    DestinationApp = "destination_app";
    /// `version` label of the server.
    DestinationVersion = "destination_version";
    /// Host of the service that was asked.
    DestinationService = "destination_service";
    /// Canonical service of the server.
    DestinationCanonicalService = "destination_canonical_service";
    /// Canonical revision of the server.
    DestinationCanonicalRevision = "destination_canonical_revision";
    /// Short name of the service that was asked.
    DestinationServiceName = "destination_service_name";
    /// Namespace of the service that was asked.
    DestinationServiceNamespace = "destination_service_namespace";
    /// Cluster of the server.
    DestinationCluster = "destination_cluster";
    /// `http` or `grpc`.
    RequestProtocol = "request_protocol";
    /// HTTP status, 0 when the request ended without one.
    ResponseCode = "response_code";
    /// gRPC status number, empty for what is not gRPC.
    GrpcResponseStatus = "grpc_response_status";
    /// Envoy's short flags, `-` when there are none.
    ResponseFlags = "response_flags";
    /// `mutual_tls`, `none`, or `unknown` where the reporter is the source.
    ConnectionSecurityPolicy = "connection_security_policy";
}

/// The labels of the gRPC message counters: Istio leaves out the last five.
pub const MESSAGE_LABELS: usize = GOLDEN_LABELS.len() - 5;

/// Labels of the metrics that the pack's filters make, this one included.
pub const PACK_LABELS: &[&str] = &[
    "decision",
    "authz_policy",
    "split",
    "arm",
    "reason",
    "budget",
    "drop_reason",
    "module",
    "overflowed_metric",
    "failed_expression",
];
