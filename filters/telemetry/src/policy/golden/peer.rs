//! Who is at the two ends of a request.
//!
//! Istio's metadata exchange leaves the other side's workload in filter state:
//! Istio 1.29 and later as `downstream_peer_obj` (an object with fields) beside
//! `downstream_peer` (a struct), 1.24 to 1.28 as `downstream_peer` (an object);
//! `upstream_peer…` likewise. Without it, an endpoint's metadata may carry
//! `istio.workload`, `workload;namespace;canonical;revision;cluster`.

/// A workload, as far as it is known; an empty field is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Deployment, StatefulSet, …
    pub workload: Vec<u8>,
    /// Namespace.
    pub namespace: Vec<u8>,
    /// Canonical service.
    pub service: Vec<u8>,
    /// Canonical revision.
    pub revision: Vec<u8>,
    /// `app` label.
    pub app: Vec<u8>,
    /// `version` label.
    pub version: Vec<u8>,
    /// Cluster.
    pub cluster: Vec<u8>,
}

/// Names of the fields of a peer object, in the order of [`Identity::from_fields`].
pub const PEER_FIELDS: [&str; 7] = [
    "workload",
    "namespace",
    "service",
    "revision",
    "app",
    "version",
    "cluster",
];

impl Identity {
    /// A workload of the fields of a peer object.
    #[must_use]
    pub fn from_fields(mut field: impl FnMut(usize) -> Vec<u8>) -> Self {
        Self {
            workload: field(0),
            namespace: field(1),
            service: field(2),
            revision: field(3),
            app: field(4),
            version: field(5),
            cluster: field(6),
        }
    }

    /// Reads `workload;namespace;canonical;revision;cluster`. All five are
    /// required, as in Istio; `app` and `version` stay unknown.
    #[must_use]
    pub fn from_endpoint(text: &[u8]) -> Option<Self> {
        let mut parts = text.split(|b| *b == b';');
        let mut next = || parts.next().map(<[u8]>::to_vec);
        Some(Self {
            workload: next()?,
            namespace: next()?,
            service: next()?,
            revision: next()?,
            cluster: next()?,
            ..Self::default()
        })
    }

    /// Whether nothing at all is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.fields().into_iter().all(<[u8]>::is_empty)
    }

    fn fields(&self) -> [&[u8]; 7] {
        [
            &self.workload,
            &self.namespace,
            &self.service,
            &self.revision,
            &self.app,
            &self.version,
            &self.cluster,
        ]
    }
}

/// What stays the same while a connection lives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// The other side's workload.
    pub peer: Identity,
    /// The other side's SPIFFE identity.
    pub peer_principal: Vec<u8>,
    /// This side's SPIFFE identity.
    pub own_principal: Vec<u8>,
    /// Every part in one, so that a request adds it to its key at once.
    key: Box<[u8]>,
}

impl Connection {
    /// A connection to `peer`.
    #[must_use]
    pub fn new(peer: Identity, peer_principal: Vec<u8>, own_principal: Vec<u8>) -> Self {
        let mut key = Vec::new();
        for part in peer
            .fields()
            .into_iter()
            .chain([&*peer_principal, &*own_principal])
        {
            key.extend_from_slice(&(part.len() as u32).to_le_bytes());
            key.extend_from_slice(part);
        }
        Self {
            peer,
            peer_principal,
            own_principal,
            key: key.into_boxed_slice(),
        }
    }

    /// Bytes that differ when any part does.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Both ends have a SPIFFE identity (Istio's meaning of `mutual_tls`).
    #[must_use]
    pub fn mutual_tls(&self) -> bool {
        !self.peer_principal.is_empty() && !self.own_principal.is_empty()
    }
}

/// CEL for a field of the client's peer object, empty when there is none.
#[must_use]
pub fn inbound_field(field: &str) -> String {
    peer_field("downstream_peer", field)
}

/// CEL for a field of the server's peer object, empty when there is none.
#[must_use]
pub fn outbound_field(field: &str) -> String {
    peer_field("upstream_peer", field)
}

fn peer_field(name: &str, field: &str) -> String {
    let read = |object: &str| format!("filter_state.{object}.{field}");
    let has = |object: &str| format!("has(filter_state.{object}) && has({})", read(object));
    let object = format!("{name}_obj");
    format!(
        "{} ? {} : ({} ? {} : \"\")",
        has(&object),
        read(&object),
        has(name),
        read(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_metadata_needs_all_five_parts() {
        let identity = Identity::from_endpoint(b"reviews-v1;default;reviews;v1;c1").unwrap();
        assert_eq!(identity.workload, b"reviews-v1");
        assert_eq!(identity.namespace, b"default");
        assert_eq!(identity.service, b"reviews");
        assert_eq!(identity.revision, b"v1");
        assert_eq!(identity.cluster, b"c1");
        assert!(identity.app.is_empty());
        assert_eq!(
            Identity::from_endpoint(b"reviews-v1;default;reviews;v1"),
            None
        );
        assert_eq!(Identity::from_endpoint(b""), None);
        assert!(Identity::from_endpoint(b";;;;").unwrap().is_unknown());
    }

    #[test]
    fn the_newer_object_is_asked_before_the_older_one() {
        assert_eq!(
            inbound_field("app"),
            "has(filter_state.downstream_peer_obj) && has(filter_state.downstream_peer_obj.app) \
             ? filter_state.downstream_peer_obj.app \
             : (has(filter_state.downstream_peer) && has(filter_state.downstream_peer.app) \
             ? filter_state.downstream_peer.app : \"\")"
        );
    }

    #[test]
    fn connections_that_differ_in_any_part_have_different_keys() {
        let app = |app: &[u8]| Identity {
            app: app.to_vec(),
            ..Identity::default()
        };
        let a = Connection::new(app(b"a"), b"p".to_vec(), Vec::new());
        let b = Connection::new(app(b"a"), Vec::new(), b"p".to_vec());
        let c = Connection::new(app(b"ap"), Vec::new(), Vec::new());
        assert!(a.key() != b.key() && b.key() != c.key() && a.key() != c.key());
        assert!(!a.mutual_tls());
        assert!(Connection::new(app(b""), b"p".to_vec(), b"o".to_vec()).mutual_tls());
    }
}
