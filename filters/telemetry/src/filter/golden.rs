//! Records the golden metrics of one request.

use std::ops::Range;
use std::time::Duration;

use meshpack_sdk::metrics::Kind;

use super::host::{HostStats, Node, NodeKind};
use super::lookup::{GrpcCall, Peers, RouteName, Services};
use super::shape::{is_open, label_shape, standard_shape};
use super::values::{Shown, Values};
use crate::config::{Config, GOLDEN_METRICS, GoldenMetric, GoldenSource};
use crate::policy::engine::ResultType;
use crate::policy::engine::{Slot, split_list};
use crate::policy::golden::{Components, Facts, Identity, Reporter, ServiceSource, is_grpc};
use crate::policy::labels::GoldenLabel;
use crate::policy::series::{Family, FamilyShape, LabelValue};

/// Index of the first metric that counts gRPC messages.
const FIRST_MESSAGE_METRIC: usize = 4;

/// Slots of the request's batch that the golden metrics read.
#[derive(Debug)]
struct Slots {
    /// Flags and code in one number, see [`CODES`]: every element of a list costs.
    outcome: Slot,
    duration: Slot,
    request_bytes: Slot,
    response_bytes: Slot,
    cluster: Slot,
    /// What the other side hangs on: on a client's side a list of the server's
    /// address and the host, on a server's the id of the connection. So it tells
    /// the direction too, and the engine looks that up only once.
    other_side: Slot,
    /// The server's address on a waypoint, which has peers on both sides.
    endpoint: Option<Slot>,
    content_type: Slot,
}

/// Response codes are below this; the flags stand above them.
const CODES: i64 = 1 << 16;

#[derive(Debug)]
enum Label {
    Standard(GoldenLabel),
    /// Further: whether a client may choose it.
    Shown(Shown, bool),
}

#[derive(Debug)]
struct GoldenFamily {
    family: Family<HostStats>,
    /// Which golden metrics, in the order of the family's.
    which: Vec<usize>,
    labels: Vec<Label>,
    components: Components,
}

/// The golden metrics.
#[derive(Debug)]
pub(super) struct Golden {
    slots: Slots,
    own: Identity,
    waypoint: bool,
    max_value_length: usize,
    families: Vec<GoldenFamily>,
    clients: Peers,
    servers: Peers,
    services: Services,
    route: RouteName,
    grpc: GrpcCall,
    key: Vec<u8>,
    spans: Vec<Range<usize>>,
}

impl Golden {
    /// `None` when no golden metric is on, or when the engine lacks an attribute
    /// that they all need.
    pub(super) fn new(config: &Config, node: &Node, values: &mut Values) -> Option<Self> {
        if config.golden.is_empty() {
            return None;
        }
        let slots = Slots::add(values, node.kind)?;
        let mut families: Vec<(Vec<&GoldenMetric>, bool)> = Vec::new();
        for metric in &config.golden {
            let messages = metric.which >= FIRST_MESSAGE_METRIC;
            let same = families.iter_mut().find(|(metrics, of_messages)| {
                *of_messages == messages
                    && metrics.first().is_some_and(|m| m.labels == metric.labels)
            });
            match same {
                Some((metrics, _)) => metrics.push(metric),
                None => families.push((vec![metric], messages)),
            }
        }
        let families = families
            .into_iter()
            .map(|(metrics, _)| GoldenFamily::new(&metrics, config, values))
            .collect::<Option<_>>()?;
        Some(Self {
            slots,
            own: node.identity.clone(),
            waypoint: node.kind == NodeKind::Waypoint,
            max_value_length: config.cardinality.max_value_length,
            families,
            clients: Peers::clients(),
            servers: Peers::servers(),
            services: Services::new(),
            route: RouteName::new(),
            grpc: GrpcCall::new(),
            key: Vec::with_capacity(512),
            spans: Vec::new(),
        })
    }

    /// Records the request in hand; `grpc` says whether it is a gRPC call, where
    /// that is known from its headers.
    pub(super) fn record(
        &mut self,
        values: &Values,
        grpc: Option<bool>,
        stats: &HostStats,
        now: Duration,
        overflowed: &mut dyn FnMut(&str),
    ) {
        let batch = &values.batch;
        let slots = &self.slots;
        let other_side = batch.bytes(slots.other_side);
        let outbound = split_list(other_side, 2, &mut self.spans);
        let part = |index: usize| {
            let span = self.spans.get(index).cloned();
            span.and_then(|span| other_side.get(span))
                .unwrap_or_default()
        };
        let (connection_key, host) = if outbound {
            (part(0), part(1))
        } else {
            (other_side, &b""[..])
        };
        let reporter = Reporter::new(outbound, self.waypoint);
        let lookup = if outbound {
            &mut self.servers
        } else {
            &mut self.clients
        };
        let connection = lookup.find(connection_key, now);
        let endpoint = slots
            .endpoint
            .map(|slot| self.servers.find(batch.bytes(slot), now));

        let grpc = grpc.unwrap_or_else(|| is_grpc(batch.bytes(slots.content_type)));
        let (grpc_status, messages) = if grpc { self.grpc.read() } else { (None, None) };

        let cluster = batch.bytes(slots.cluster);
        let known = self.services.find(cluster, now);
        let route = if cluster.is_empty() && outbound {
            self.route.read()
        } else {
            Vec::new()
        };
        let outcome = batch.integer(slots.outcome).unwrap_or(0);
        let facts = Facts {
            reporter,
            own: endpoint
                .as_ref()
                .map_or(&self.own, |endpoint| &endpoint.peer),
            connection: &connection,
            service: ServiceSource::choose(known.as_ref().as_ref(), cluster, &route, host),
            code: outcome % CODES,
            flags: outcome / CODES,
            grpc,
            grpc_status,
        };
        let amounts = [
            Some(1),
            batch.integer(slots.duration),
            batch.integer(slots.request_bytes),
            batch.integer(slots.response_bytes),
            messages.map(|(request, _)| request),
            messages.map(|(_, response)| response),
        ];
        for family in &mut self.families {
            family.record(
                &mut self.key,
                &facts,
                &amounts,
                values,
                stats,
                self.max_value_length,
                overflowed,
            );
        }
    }
}

impl Slots {
    fn add(values: &mut Values, kind: NodeKind) -> Option<Self> {
        let mut certain = |cel: &str, result| values.batch.add_own(cel, cel, result);
        let request_bytes = certain("request.total_size", ResultType::Int)?;
        let response_bytes = certain("response.total_size", ResultType::Int)?;
        let content_type = certain(
            "\"content-type\" in request.headers ? request.headers[\"content-type\"] : \"\"",
            ResultType::Text,
        )?;
        let address = "has(upstream.address) ? upstream.address : \"\"";
        // As Istio configures it: servers and gateways do not believe the header.
        let host = match kind {
            NodeKind::Sidecar => "has(request.host) ? request.host : \"\"",
            NodeKind::Gateway | NodeKind::Waypoint => "\"\"",
        };
        let (other_side, endpoint) = if kind == NodeKind::Waypoint {
            let endpoint = certain(address, ResultType::Text)?;
            (certain("connection.id", ResultType::Int)?, Some(endpoint))
        } else {
            let cel =
                format!("xds.listener_direction == 2 ? [({address}), ({host})] : connection.id");
            (certain(&cel, ResultType::Text)?, None)
        };
        let mut usual = |cel: &str, result| {
            let safe = format!("has({cel}) ? ({cel}) : \"\"");
            values.batch.add_own(&format!("({cel})"), &safe, result)
        };
        let cluster = usual("xds.cluster_name", ResultType::Text)?;
        let duration = usual("request.duration", ResultType::Nanoseconds)?;
        let outcome = values.batch.add_own(
            &format!("response.flags * {CODES} + response.code"),
            &format!("response.flags * {CODES} + (has(response.code) ? response.code : 0)"),
            ResultType::Int,
        )?;
        values.batch.spare(content_type);
        Some(Self {
            outcome,
            duration,
            request_bytes,
            response_bytes,
            cluster,
            other_side,
            endpoint,
            content_type,
        })
    }
}

impl GoldenFamily {
    fn new(metrics: &[&GoldenMetric], config: &Config, values: &mut Values) -> Option<Self> {
        let labels = &metrics.first()?.labels;
        let shape = FamilyShape {
            metrics: metrics
                .iter()
                .filter_map(|metric| {
                    GOLDEN_METRICS
                        .get(metric.which)
                        .map(|name| (metric.which, name))
                })
                .map(|(which, name)| {
                    let histogram = (1..FIRST_MESSAGE_METRIC).contains(&which);
                    let kind = if histogram {
                        Kind::Histogram
                    } else {
                        Kind::Counter
                    };
                    ((*name).to_owned(), kind)
                })
                .collect(),
            labels: labels
                .iter()
                .map(|label| match &label.source {
                    GoldenSource::Standard(standard) => standard_shape(*standard, config),
                    GoldenSource::Expression(expression) => {
                        label_shape(&label.name, expression, config)
                    }
                })
                .collect(),
            max_series: config.cardinality.max_series,
            max_values: config.cardinality.max_values,
            max_value_length: config.cardinality.max_value_length,
        };
        let standard = labels.iter().filter_map(|label| match &label.source {
            GoldenSource::Standard(standard) => Some(*standard),
            GoldenSource::Expression(_) => None,
        });
        Some(Self {
            family: Family::new(shape),
            which: metrics.iter().map(|metric| metric.which).collect(),
            components: Components::of(standard),
            labels: labels
                .iter()
                .map(|label| match &label.source {
                    GoldenSource::Standard(standard) => Label::Standard(*standard),
                    GoldenSource::Expression(expression) => Label::Shown(
                        values.show(expression),
                        is_open(&label.name, expression, config),
                    ),
                })
                .collect(),
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn record(
        &mut self,
        key: &mut Vec<u8>,
        facts: &Facts<'_>,
        amounts: &[Option<i64>],
        values: &Values,
        stats: &HostStats,
        max_value_length: usize,
        overflowed: &mut dyn FnMut(&str),
    ) {
        let amount = |which: &usize| amounts.get(*which).copied().flatten();
        if self.which.iter().all(|which| amount(which).is_none()) {
            return;
        }
        key.clear();
        self.components.push_key(key, facts, max_value_length);
        for label in &self.labels {
            if let Label::Shown(shown, _) = label {
                values.push_key(shown, key, max_value_length);
            }
        }
        let labels = &self.labels;
        let found = self.family.series(stats, key, || {
            let value = |label: &Label| match label {
                Label::Standard(standard) => LabelValue {
                    value: facts.value(*standard),
                    open: facts.is_open(*standard),
                },
                Label::Shown(shown, open) => values.label(shown, *open),
            };
            labels.iter().map(value).collect()
        });
        let Some((handles, other)) = found else {
            return;
        };
        for (handle, which) in handles.iter().zip(&self.which) {
            if let Some(amount) = amount(which) {
                handle.record(amount);
            }
        }
        if other {
            self.family.metrics().for_each(overflowed);
        }
    }
}
