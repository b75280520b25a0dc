//! Attached for the first time, edited, removed: under load.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use meshpack_mesh::{Cluster, Manifest, Mesh, Proxy};
use serde_json::Value;

use crate::load::{Statuses, during};

const EDITS: u32 = 25;

fn manifest(file: &str) -> Result<Manifest> {
    Ok(Manifest::read(&format!("istio-manifests/{file}"))?.remove(0))
}

fn failed(statuses: &Statuses) -> usize {
    let failed = statuses.iter().filter(|(status, _)| **status != 200);
    failed.map(|(_, count)| count).sum()
}

/// Waits until the configuration that a pod's proxy has contains `text`.
async fn wait_for_config(mesh: &Mesh, pod: &str, text: &str) -> Result<()> {
    for _ in 0..1800 {
        if Proxy::plugins(mesh.pod(pod)?).await?.contains(text) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("{pod} never has {text}:\n{}", mesh.pod(pod)?.agent_log())
}

pub(crate) async fn callers_notice_nothing(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    mesh.keep_connections(true).await?;
    let routes = ["destinationrule.yaml", "virtualservice.yaml"];
    for file in routes {
        mesh.apply(&manifest(&format!("canary-split/{file}"))?.text())
            .await?;
    }
    let caller = mesh.caller("cart", "payments.shop")?;
    let canary = manifest("canary-split/wasmplugin.yaml")?;
    let budget = manifest("retry-budget/wasmplugin-outbound.yaml")?;
    for plugin in [&canary, &budget] {
        let (statuses, ()) = during(&caller, "/pay", mesh.apply(&plugin.text())).await?;
        ensure!(
            failed(&statuses) == 0,
            "attaching {}: {statuses:?}",
            plugin.file
        );
    }
    let edits = async {
        for number in 0..EDITS {
            let salt = format!("edit-{number}");
            let edited = canary.changed(|plugin| {
                plugin["spec"]["pluginConfig"]["splits"][0]["salt"] = salt.clone().into();
            });
            cluster.kubernetes().apply(&edited.text()).await?;
            wait_for_config(mesh, "cart", &salt).await?;
        }
        Ok(())
    };
    let (statuses, ()) = during(&caller, "/pay", edits).await?;
    println!("{EDITS} edits of a canary under load: {statuses:?}");
    ensure!(failed(&statuses) == 0, "editing: {statuses:?}");
    for plugin in [&canary, &budget] {
        let (statuses, ()) = during(&caller, "/pay", mesh.delete(&plugin.text())).await?;
        ensure!(
            failed(&statuses) == 0,
            "removing {}: {statuses:?}",
            plugin.file
        );
    }
    for file in routes {
        mesh.delete(&manifest(&format!("canary-split/{file}"))?.text())
            .await?;
    }
    mesh.keep_connections(false).await
}

fn with_strategy(plugin: &Manifest, strategy: &str) -> String {
    plugin
        .changed(|plugin| plugin["spec"]["failStrategy"] = Value::from(strategy))
        .text()
}

pub(crate) async fn a_guard_is_attached_in_two_steps(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    mesh.keep_connections(true).await?;
    let caller = mesh.caller("cart", "payments.shop")?;
    let guard = manifest("meshpack/wasmplugin-inbound.yaml")?;
    let at_once = guard.text();
    let (statuses, ()) = during(&caller, "/users/7", mesh.apply(&at_once)).await?;
    println!("a guard attached at once: {statuses:?}");
    mesh.delete(&at_once).await?;

    let open = with_strategy(&guard, "FAIL_OPEN");
    let steps = async {
        mesh.apply(&open).await?;
        cluster.kubernetes().apply(&at_once).await?;
        wait_for_config(mesh, "payments-v1", "FAIL_RELOAD").await
    };
    let (statuses, ()) = during(&caller, "/users/7", steps).await?;
    println!("a guard attached in two steps: {statuses:?}");
    ensure!(failed(&statuses) == 0, "in two steps: {statuses:?}");
    let frontend = mesh.caller("frontend", "payments.shop")?;
    let status = frontend
        .status(meshpack_harness::Request::get("/users/7"))
        .await?;
    ensure!(status == 403, "it does not guard: {status}");
    mesh.delete(&at_once).await?;
    mesh.keep_connections(false).await
}
