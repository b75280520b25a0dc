//! The mesh's pods and services: those that the manifests name, and callers around them.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::collector;
use crate::pod::{APP_PORT, PodSpec, Role};

/// Every namespace of the mesh.
pub(crate) const NAMESPACES: [&str; 5] =
    ["istio-system", "shop", "default", "web", "observability"];

const fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, 0, last)
}

/// Every pod.
pub(crate) const PODS: [PodSpec; 8] = [
    // Calls payments and orders, from their own namespace.
    PodSpec {
        name: "cart",
        namespace: "shop",
        account: "cart",
        labels: &[("app", "cart")],
        ip: ip(11),
        role: Role::Sidecar,
    },
    PodSpec {
        name: "payments-v1",
        namespace: "shop",
        account: "payments",
        labels: &[("app", "payments"), ("version", "v1")],
        ip: ip(12),
        role: Role::Sidecar,
    },
    PodSpec {
        name: "payments-v2",
        namespace: "shop",
        account: "payments",
        labels: &[("app", "payments"), ("version", "v2")],
        ip: ip(13),
        role: Role::Sidecar,
    },
    PodSpec {
        name: "orders",
        namespace: "shop",
        account: "orders",
        labels: &[("app", "orders")],
        ip: ip(14),
        role: Role::Sidecar,
    },
    PodSpec {
        name: "shop",
        namespace: "default",
        account: "shop",
        labels: &[("app", "shop")],
        ip: ip(15),
        role: Role::Sidecar,
    },
    // Calls the same services from another namespace.
    PodSpec {
        name: "frontend",
        namespace: "web",
        account: "frontend",
        labels: &[("app", "frontend")],
        ip: ip(16),
        role: Role::Sidecar,
    },
    PodSpec {
        name: "ingress",
        namespace: "istio-system",
        // Its name in Istio's charts and installer.
        account: "istio-ingressgateway-service-account",
        labels: &[("istio", "ingressgateway"), ("app", "istio-ingressgateway")],
        ip: ip(17),
        role: Role::Gateway,
    },
    PodSpec {
        name: "otel-collector",
        namespace: "observability",
        account: "otel-collector",
        labels: &[("app", "otel-collector")],
        ip: ip(18),
        role: Role::Plain,
    },
];

/// A service, with the pods that it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) namespace: &'static str,
    pub(crate) ip: Ipv4Addr,
    pub(crate) port: u16,
    /// Where its pods listen.
    target: u16,
    selector: (&'static str, &'static str),
}

const fn service_ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 96, 1, last)
}

/// Every service.
pub(crate) const SERVICES: [Service; 6] = [
    Service {
        name: "payments",
        namespace: "shop",
        ip: service_ip(1),
        port: 80,
        target: APP_PORT,
        selector: ("app", "payments"),
    },
    Service {
        name: "orders",
        namespace: "shop",
        ip: service_ip(2),
        port: 80,
        target: APP_PORT,
        selector: ("app", "orders"),
    },
    Service {
        name: "cart",
        namespace: "shop",
        ip: service_ip(3),
        port: 80,
        target: APP_PORT,
        selector: ("app", "cart"),
    },
    Service {
        name: "shop",
        namespace: "default",
        ip: service_ip(4),
        port: 80,
        target: APP_PORT,
        selector: ("app", "shop"),
    },
    Service {
        name: "istio-ingressgateway",
        namespace: "istio-system",
        ip: service_ip(5),
        port: 80,
        target: APP_PORT,
        selector: ("istio", "ingressgateway"),
    },
    Service {
        name: "otel-collector",
        namespace: "observability",
        ip: service_ip(6),
        port: 4318,
        target: collector::PORT,
        selector: ("app", "otel-collector"),
    },
];

impl Service {
    fn pods(&self) -> impl Iterator<Item = &'static PodSpec> {
        let (namespace, selector) = (self.namespace, self.selector);
        PODS.iter()
            .filter(move |pod| pod.namespace == namespace && pod.labels.contains(&selector))
    }

    /// The Service and, as no controller writes them, its endpoints.
    pub(crate) fn resources(&self) -> [Value; 2] {
        let (key, value) = self.selector;
        let endpoints: Vec<Value> = self
            .pods()
            .map(|pod| {
                json!({
                    "addresses": [pod.ip.to_string()],
                    "conditions": {"ready": true},
                    "targetRef": {"kind": "Pod", "name": pod.name, "namespace": pod.namespace},
                })
            })
            .collect();
        [
            json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": self.name, "namespace": self.namespace},
                "spec": {
                    "selector": {key: value},
                    "clusterIP": self.ip.to_string(),
                    "ports": [{"name": "http", "port": self.port, "targetPort": self.target}],
                },
            }),
            json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": self.name,
                    "namespace": self.namespace,
                    "labels": {"kubernetes.io/service-name": self.name},
                },
                "addressType": "IPv4",
                "endpoints": endpoints,
                "ports": [{"name": "http", "port": self.target, "protocol": "TCP"}],
            }),
        ]
    }
}

/// The entrance: everything that comes to port 80 of the gateway.
pub(crate) fn gateway() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "ingress", "namespace": "istio-system"},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{
                "port": {"number": 80, "name": "http", "protocol": "HTTP"},
                "hosts": ["*"],
            }],
        },
    })
}

/// A connection for each request between proxies: what was kept open to a listener that is
/// replaced would be served as before for as long as the listener drains.
pub(crate) fn fresh() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "fresh", "namespace": "istio-system"},
        "spec": {
            "host": "*.local",
            "trafficPolicy": {"connectionPool": {"http": {"maxRequestsPerConnection": 1}}},
        },
    })
}

/// Everything that a person would have applied before a filter.
pub(crate) fn resources() -> Vec<Value> {
    let accounts = PODS.iter().map(|pod| {
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": pod.account, "namespace": pod.namespace},
        })
    });
    let pods = PODS.iter().map(PodSpec::resource);
    let services = SERVICES.iter().flat_map(Service::resources);
    accounts
        .chain(pods)
        .chain(services)
        .chain([gateway(), fresh()])
        .collect()
}
