//! Which service was asked.

/// A service, as cluster metadata names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// Full host name.
    pub host: Vec<u8>,
    /// Short name.
    pub name: Vec<u8>,
    /// Namespace.
    pub namespace: Vec<u8>,
}

/// Where the service of a request is known from, in Istio's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceSource<'a> {
    /// Metadata `istio.services[0]` of the cluster.
    Cluster(&'a Service),
    /// Istio's cluster for what it does not know or does not let through:
    /// `PassthroughCluster`, `BlackHoleCluster`.
    Catchall(&'a [u8]),
    /// The `Host` header.
    Host(&'a [u8]),
    /// Nothing; the server knows itself at least.
    Unknown,
}

impl<'a> ServiceSource<'a> {
    /// Chooses the source. `metadata` is what the cluster says, if anything;
    /// `host` is empty where the header is not to be believed (the server side
    /// and gateways, as Istio configures it).
    #[must_use]
    pub fn choose(
        metadata: Option<&'a Service>,
        cluster: &'a [u8],
        route: &[u8],
        host: &'a [u8],
    ) -> Self {
        if let Some(service) = metadata {
            return Self::Cluster(service);
        }
        match (cluster, route) {
            (b"PassthroughCluster" | b"BlackHoleCluster", _) => Self::Catchall(cluster),
            (_, b"block_all") => Self::Catchall(b"BlackHoleCluster"),
            (_, b"allow_any") => Self::Catchall(b"PassthroughCluster"),
            _ if !host.is_empty() => Self::Host(host),
            _ => Self::Unknown,
        }
    }

    /// Host name of the service; empty when unknown.
    #[must_use]
    pub fn host(&self) -> &'a [u8] {
        match *self {
            Self::Cluster(service) => &service.host,
            Self::Catchall(name) | Self::Host(name) => name,
            Self::Unknown => b"",
        }
    }

    /// Short name of the service; empty when unknown.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        match *self {
            Self::Cluster(service) => &service.name,
            Self::Catchall(name) | Self::Host(name) => name,
            Self::Unknown => b"",
        }
    }

    /// Namespace of the service; empty when unknown.
    #[must_use]
    pub fn namespace(&self) -> &'a [u8] {
        match *self {
            Self::Cluster(service) => &service.namespace,
            _ => b"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_metadata_goes_before_routes_and_routes_before_the_host() {
        let service = Service {
            host: b"reviews.default.svc.cluster.local".to_vec(),
            name: b"reviews".to_vec(),
            namespace: b"default".to_vec(),
        };
        let name = |metadata, cluster: &'static [u8], route: &[u8], host: &'static [u8]| {
            ServiceSource::choose(metadata, cluster, route, host)
                .host()
                .to_vec()
        };
        assert_eq!(name(Some(&service), b"c", b"", b"h:80"), service.host);
        assert_eq!(
            name(None, b"PassthroughCluster", b"", b"h"),
            b"PassthroughCluster"
        );
        assert_eq!(name(None, b"", b"block_all", b"h"), b"BlackHoleCluster");
        assert_eq!(name(None, b"x", b"allow_any", b"h"), b"PassthroughCluster");
        assert_eq!(name(None, b"c", b"", b"h:80"), b"h:80");
        assert_eq!(name(None, b"c", b"", b""), b"");
    }
}
