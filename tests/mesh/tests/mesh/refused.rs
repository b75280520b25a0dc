//! What happens to what cannot run: a configuration that the filter refuses, an image that
//! is not there, a digest that is another's. The API takes all of them.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use meshpack_harness::Request;
use meshpack_mesh::{Cluster, Manifest, Mesh, Proxy};
use serde_json::{Value, json};

/// Counts of the agent: what became of each module that it was to get.
const CONVERSIONS: &str = "istio_agent_wasm_config_conversion_count";

fn guard() -> Result<Manifest> {
    Ok(Manifest::read("istio-manifests/authz-policy/wasm-plugin.yaml")?.remove(0))
}

fn split() -> Result<Manifest> {
    Ok(Manifest::read("istio-manifests/canary-split/wasmplugin.yaml")?.remove(0))
}

/// Waits until something holds; the bound only ends a failing test.
async fn wait_for(what: &str, holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
    for _ in 0..600 {
        if holds().await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("{what}")
}

/// Waits until the agent of `pod` has said `text`.
async fn wait_for_log(mesh: &Mesh, pod: &str, text: &str) -> Result<()> {
    let pod = mesh.pod(pod)?;
    wait_for(&format!("{} never says {text:?}", pod.name()), async || {
        Ok(pod.agent_log_all().contains(text))
    })
    .await
}

async fn status(mesh: &Mesh, from: &str, service: &str, path: &str) -> Result<u16> {
    let caller = mesh.caller(from, service)?;
    caller.status(Request::get(path)).await
}

pub(crate) async fn an_image_that_is_not_there(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    // An overlay that nobody pinned, a wrong tag, and a module that is not the one named.
    let zeros = format!(
        "oci://registry.example.com/meshpack/NAME@sha256:{}",
        "0".repeat(64)
    );
    let tag = "oci://registry.example.com/meshpack/NAME:no-such-tag".to_owned();
    let cases = [
        ("not pinned", zeros, None),
        ("a wrong tag", tag, None),
        ("another digest", String::new(), Some("1".repeat(64))),
    ];
    for (number, (what, url, sha256)) in cases.into_iter().enumerate() {
        for (manifest, name, pod, called, allowed) in [
            (guard()?, "authz_policy", "orders", "orders.shop", false),
            (split()?, "canary_split", "cart", "payments.shop", true),
        ] {
            let wrong = manifest.changed(|plugin| {
                // A name of its own: a former plugin's filter is there until it is drained.
                plugin["metadata"]["name"] = format!("{}-{number}", manifest.name()).into();
                if !url.is_empty() {
                    plugin["spec"]["url"] = url.replace("NAME", name).into();
                }
                if let Some(sha256) = &sha256 {
                    plugin["spec"]["sha256"] = sha256.clone().into();
                }
            });
            let pod = mesh.pod(pod)?;
            let failures = async || {
                let samples = pod.metrics().await?;
                let failed = samples
                    .named(CONVERSIONS)
                    .filter(|one| one.label("result") != "success");
                anyhow::Ok(failed.map(|one| one.value).sum::<f64>())
            };
            let before = failures().await?;
            mesh.apply(&wrong.text()).await?;
            let replaced = Proxy::of(pod)
                .await?
                .is_replaced(wrong.namespace(), wrong.name());
            ensure!(replaced, "{what}: {name}");
            let said = pod.agent_log();
            ensure!(said.contains("cannot fetch Wasm module"), "{what}: {said}");
            ensure!(
                failures().await? > before,
                "{what}: {CONVERSIONS} does not show it"
            );
            let seen = status(mesh, "cart", called, "/orders/1").await?;
            let expected = if allowed { 200 } else { 403 };
            ensure!(seen == expected, "{what}: {name}: {seen}");
            mesh.delete(&wrong.text()).await?;
        }
    }
    Ok(())
}

/// How often proxies have refused what istiod sent for plugins.
async fn rejects(mesh: &Mesh) -> Result<f64> {
    let samples = mesh.control_plane_metrics().await?;
    Ok(samples.sum("pilot_total_xds_rejects", &[]))
}

/// A configuration that lets `cart` in, and nobody else.
fn cart_only() -> Value {
    json!({"policies": [{
        "metadata": {"name": "callers", "namespace": "shop"},
        "spec": {"rules": [{"from": [{"source": {
            "principals": ["cluster.local/ns/shop/sa/cart"],
        }}]}]},
    }]})
}

pub(crate) async fn a_configuration_that_the_filter_refuses(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    let guard = guard()?.changed(|plugin| plugin["spec"]["pluginConfig"] = cart_only());
    for (right, pod, called) in [
        (guard, "orders", "orders.shop"),
        (split()?, "cart", "payments.shop"),
    ] {
        let right = right.changed(|plugin| {
            plugin["metadata"]["name"] = format!("{}-refused", right.name()).into();
        });
        let wrong = right.changed(|plugin| {
            plugin["spec"]["pluginConfig"]["no-such-field"] = 1.into();
        });
        // As the first one nothing passes, whatever the strategy says.
        let before = rejects(mesh).await?;
        mesh.apply_refused(&wrong.text()).await?;
        wait_for_log(mesh, pod, "no-such-field").await?;
        let seen = status(mesh, "cart", called, "/pay").await?;
        ensure!(seen == 500, "{}: {seen}", right.file);
        ensure!(rejects(mesh).await? > before, "istiod does not count it");
        // A right one puts it in order; a wrong one after that changes nothing.
        mesh.apply(&right.text()).await?;
        let seen = status(mesh, "cart", called, "/pay").await?;
        ensure!(seen == 200, "{}: put in order: {seen}", right.file);
        let before = rejects(mesh).await?;
        cluster.kubernetes().apply(&wrong.text()).await?;
        wait_for("istiod does not count it", async || {
            Ok(rejects(mesh).await? > before)
        })
        .await?;
        let seen = status(mesh, "cart", called, "/pay").await?;
        ensure!(seen == 200, "{}: a wrong edit: {seen}", right.file);
        if pod == "orders" {
            let seen = status(mesh, "frontend", called, "/pay").await?;
            ensure!(seen == 403, "it guards no more: {seen}");
        }
        mesh.delete(&wrong.text()).await?;
    }
    Ok(())
}
