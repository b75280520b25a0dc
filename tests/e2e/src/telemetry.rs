//! What the tests and the demo of the telemetry filter share.

use std::collections::BTreeMap;

use meshpack_harness::{Envoy, EnvoyBuilder, Samples, WasmFilter, wasm_module};
use meshpack_telemetry::policy::labels::{GOLDEN_LABELS, PACK_LABELS};
use serde_json::{Value, json};

/// The filter with a configuration.
///
/// # Panics
/// When the module is not built (`make build`).
#[must_use]
pub fn telemetry(config: &Value) -> WasmFilter {
    let module = wasm_module("telemetry").expect("dist/telemetry.wasm: run make build");
    WasmFilter::new("telemetry", module).config(config)
}

/// An Envoy that extracts the standard labels, the pack's, and `more`.
#[must_use]
pub fn envoy_with_labels(more: &[&str]) -> EnvoyBuilder {
    let golden = GOLDEN_LABELS.iter().map(|label| label.name());
    let all = golden
        .chain(PACK_LABELS.iter().copied())
        .chain(more.iter().copied());
    all.fold(Envoy::builder(), |builder, label| {
        builder.stats_tag(label, &format!(r"({label}=\.=(.*?);\.;)"))
    })
}

/// Istio's node of a sidecar of `shop-v1`.
#[must_use]
pub fn shop_node() -> Value {
    json!({"node": {
        "id": "sidecar~10.0.0.7~shop-v1-abc.shop-ns~shop-ns.svc.cluster.local",
        "cluster": "shop.shop-ns",
        "metadata": {
            "NAME": "shop-v1-abc",
            "NAMESPACE": "shop-ns",
            "WORKLOAD_NAME": "shop-v1",
            "CLUSTER_ID": "east",
            "LABELS": {
                "app": "shop",
                "version": "v1",
                "service.istio.io/canonical-name": "shop",
                "service.istio.io/canonical-revision": "v1",
            },
        },
    }})
}

/// Sum of a metric by one label's value.
#[must_use]
pub fn by_label(samples: &Samples, metric: &str, label: &str) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for sample in samples.named(metric) {
        *out.entry(sample.label(label).to_owned()).or_default() += sample.value as u64;
    }
    out
}
