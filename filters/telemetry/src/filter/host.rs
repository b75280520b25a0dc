//! The core's traits on Envoy.

use std::cell::RefCell;
use std::collections::HashMap;

use meshpack_sdk::attributes;
use meshpack_sdk::metrics::{Histogram, Kind};
use meshpack_sdk::shared::{MetricCounter, SharedCounter as _, SharedData};
use meshpack_sdk::{clock, with_foreign_function};

use crate::policy::engine::{Engine, Token};
use crate::policy::golden::Identity;
use crate::policy::series::Stats;

/// Envoy's CEL engine behind its foreign functions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HostEngine;

impl Engine for HostEngine {
    fn create(&self, cel: &str) -> Option<Token> {
        with_foreign_function("expr_create", cel.as_bytes(), |bytes| {
            Some(Token(u32::from_le_bytes(bytes.try_into().ok()?)))
        })
        .ok()?
    }

    fn evaluate(&self, token: Token, out: &mut Vec<u8>) -> bool {
        with_foreign_function("expr_evaluate", &token.0.to_le_bytes(), |bytes| {
            out.extend_from_slice(bytes);
        })
        .is_ok()
    }

    fn delete(&self, token: Token) {
        let _ = with_foreign_function("expr_delete", &token.0.to_le_bytes(), |_| ());
    }
}

/// A metric of any kind. Every write is one scalar host call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Handle {
    Counter(MetricCounter),
    Gauge(MetricCounter),
    Histogram(Histogram),
}

impl Handle {
    /// Adds to a counter or gauge, records in a histogram. Counters and
    /// histograms take no negative values.
    #[inline]
    pub(super) fn record(self, value: i64) {
        match self {
            Self::Counter(counter) if value > 0 => {
                let _ = counter.add(value);
            }
            Self::Gauge(gauge) => {
                let _ = gauge.add(value);
            }
            Self::Histogram(histogram) => {
                if let Ok(value) = u64::try_from(value) {
                    histogram.record(value);
                }
            }
            Self::Counter(_) => {}
        }
    }
}

/// Envoy's stats, with the number of series kept in shared data so that all
/// workers count together.
#[derive(Debug)]
pub(super) struct HostStats {
    shared: SharedData,
    /// Numbers of members at which a family was full; a member once admitted never
    /// goes away, so neither does this.
    full: RefCell<HashMap<Box<[u8]>, usize>>,
}

impl HostStats {
    pub(super) fn new(plugin: &str) -> Self {
        Self {
            shared: SharedData::new(plugin),
            full: RefCell::default(),
        }
    }

    fn is_full(&self, family: &str, cap: usize) -> bool {
        let full = self.full.try_borrow();
        full.is_ok_and(|full| full.get(family.as_bytes()).is_some_and(|at| *at >= cap))
    }

    /// Takes a place among the series of a family, if there is one.
    fn take_place(&self, family: &str, cap: usize) -> bool {
        let mut taken = false;
        let updated = self.shared.update(&format!("count.{family}"), |old| {
            let count = number(old);
            taken = count < cap as u64;
            taken.then(|| (count + 1).to_le_bytes().to_vec())
        });
        if !taken
            && updated.is_ok()
            && let Ok(mut full) = self.full.try_borrow_mut()
        {
            let at = full.entry(family.as_bytes().into()).or_default();
            *at = (*at).max(cap);
        }
        taken && updated.is_ok()
    }

    fn give_place_back(&self, family: &str) {
        let _ = self.shared.update(&format!("count.{family}"), |old| {
            Some(number(old).saturating_sub(1).to_le_bytes().to_vec())
        });
    }
}

fn number(bytes: Option<&[u8]>) -> u64 {
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

impl Stats for HostStats {
    type Handle = Handle;

    fn define(&self, kind: Kind, name: &str) -> Option<Handle> {
        Some(match kind {
            Kind::Counter => Handle::Counter(MetricCounter::counter(name).ok()?),
            Kind::Gauge => Handle::Gauge(MetricCounter::gauge(name).ok()?),
            Kind::Histogram => Handle::Histogram(Histogram::define(name).ok()?),
        })
    }

    fn admit(&self, family: &str, member: &str, cap: usize) -> bool {
        let key = format!("series.{family}.{member}");
        if matches!(self.shared.get(&key), Ok(Some(_))) {
            return true;
        }
        if self.is_full(family, cap) || !self.take_place(family, cap) {
            return false;
        }
        // Another worker may have admitted the same series in between; the mark
        // tells whose place counts.
        let mark = clock::secure_random().to_le_bytes();
        let owner = self.shared.update(&key, |old| match old {
            Some(_) => None,
            None => Some(mark.to_vec()),
        });
        match owner {
            Ok(Some(owner)) if owner != mark => self.give_place_back(family),
            Ok(_) => {}
            Err(error) => ::log::warn!("telemetry: a series could not be noted: {error}"),
        }
        true
    }
}

/// This proxy, from Istio's node metadata.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) identity: Identity,
    /// First part of the node id: `sidecar`, `router`, `waypoint`, …
    pub(super) kind: NodeKind,
    /// Attributes of the proxy for log records, as OpenTelemetry names them.
    pub(super) resource: Vec<(String, String)>,
}

/// What kind of proxy this is, as far as labels depend on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum NodeKind {
    /// A sidecar, or an Envoy without Istio.
    #[default]
    Sidecar,
    /// A gateway.
    Gateway,
    /// A waypoint.
    Waypoint,
}

impl Node {
    pub(super) fn read() -> Self {
        let read = |segments: &[&str]| {
            let path =
                attributes::path(["xds", "node"].into_iter().chain(segments.iter().copied()));
            attributes::of_plugin(&path)
                .ok()
                .flatten()
                .unwrap_or_default()
        };
        let label = |name: &str| read(&["metadata", "LABELS", name]);
        let first = |values: [Vec<u8>; 3]| {
            values
                .into_iter()
                .find(|value| !value.is_empty())
                .unwrap_or_default()
        };
        let workload = read(&["metadata", "WORKLOAD_NAME"]);
        let identity = Identity {
            namespace: read(&["metadata", "NAMESPACE"]),
            service: first([
                label("service.istio.io/canonical-name"),
                label("app"),
                workload.clone(),
            ]),
            revision: first([
                label("service.istio.io/canonical-revision"),
                label("version"),
                Vec::new(),
            ]),
            app: label("app"),
            version: label("version"),
            cluster: read(&["metadata", "CLUSTER_ID"]),
            workload,
        };
        let id = read(&["id"]);
        let kind = match id.split(|b| *b == b'~').next() {
            Some(b"router") => NodeKind::Gateway,
            Some(b"waypoint") => NodeKind::Waypoint,
            _ => NodeKind::Sidecar,
        };
        let service = first([
            identity.service.clone(),
            read(&["cluster"]),
            b"envoy".to_vec(),
        ]);
        let resource = [
            ("service.name", service),
            ("service.version", identity.version.clone()),
            ("service.instance.id", id),
            ("k8s.namespace.name", identity.namespace.clone()),
            ("k8s.pod.name", read(&["metadata", "NAME"])),
            ("k8s.cluster.name", identity.cluster.clone()),
        ];
        let resource = resource
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| {
                (
                    name.to_owned(),
                    String::from_utf8_lossy(&value).into_owned(),
                )
            })
            .collect();
        Self {
            identity,
            kind,
            resource,
        }
    }
}
