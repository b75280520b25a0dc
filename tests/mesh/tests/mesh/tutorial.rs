//! `docs/first-canary.md`, step by step, with the commands of the page.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use meshpack_harness::{Outcomes, Request};
use meshpack_mesh::{Caller, Cluster, Manifest, meshpack};

/// The users of the page's loop.
const USERS: usize = 200;

/// A copy of the manifests, whose digests may change.
const COPY: &str = "/run/mesh/tutorial";

/// The arguments of the page's command that begins so.
fn command<'a>(page: &'a str, start: &str) -> Result<Vec<&'a str>> {
    let mut lines = page.lines();
    let line = lines.find_map(|line| line.strip_prefix(start));
    let line = line.with_context(|| format!("the page has no {start:?}"))?;
    Ok(line.split_whitespace().collect())
}

fn copied(path: &str) -> String {
    path.replacen("istio-manifests", &format!("{COPY}/istio-manifests"), 1)
}

/// The loop of the page.
async fn users(caller: &Caller) -> Result<Outcomes> {
    let by = |user: usize| Request::get("/").header("x-user-id", format!("user-{}", user + 1));
    let outcomes = caller.load(USERS, 1, by).await?;
    ensure!(outcomes.with_status(200) == USERS, "{:?}", outcomes.first());
    Ok(outcomes)
}

fn in_canary(outcomes: &Outcomes) -> Vec<usize> {
    let canary = outcomes
        .iter()
        .filter(|one| one.upstream() == Some("payments-v2"));
    canary.map(|one| one.index).collect()
}

pub(crate) async fn the_first_canary_as_written(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    let page = std::fs::read_to_string(Manifest::root().join("docs/first-canary.md"))?;
    std::fs::create_dir_all(COPY)?;
    let copy = Command::new("cp")
        .arg("-r")
        .arg(Manifest::root().join("istio-manifests"))
        .arg(COPY)
        .status()?;
    ensure!(copy.success());

    // 1: push and pin, to the registry of the mesh, which has no TLS for those who push.
    let bundle = command(&page, "meshpack bundle ")?;
    let bundle: Vec<String> = bundle.into_iter().map(copied).collect();
    let mut arguments = vec!["bundle", "--plain-http"];
    arguments.extend(bundle.iter().map(String::as_str));
    let output = meshpack(&arguments).await?;
    ensure!(output.success, "bundle: {}", output.text());
    // Before you apply.
    let check = command(&page, "meshpack check ")?;
    let output = meshpack(&[&["check"], &check[..]].concat()).await?;
    ensure!(output.success, "check: {}", output.text());

    // 2 and 3: everything at once.
    let apply = command(&page, "kubectl apply -k ")?;
    let folder = copied(apply.first().context("no folder")?);
    let pinned = std::fs::read_to_string(format!("{folder}/kustomization.yaml"))?;
    ensure!(!pinned.contains(&"0".repeat(64)), "not pinned:\n{pinned}");
    mesh.apply_folder(&folder).await?;

    // 4: see it; the proxies of this mesh were started with these tags.
    let tags = command(&page, "meshpack tags ")?;
    let output = meshpack(&[&["tags"], &tags[..]].concat()).await?;
    for tag in ["split", "arm", "reason"] {
        let line = format!("- {tag}");
        ensure!(output.stdout.contains(&line), "tags: {}", output.text());
    }
    let labels = [("split", "payments"), ("arm", "v2")];
    let name = "meshpack_canary_requests_total";
    let pod = mesh.pod("cart")?;
    let caller = mesh.caller("cart", "payments.shop")?;
    let before = pod.metric_now(name, &labels).await?;
    let first = in_canary(&users(&caller).await?);
    ensure!((1..25).contains(&first.len()), "{} of {USERS}", first.len());
    let expected = before + first.len() as f64;
    pod.metric(name, &labels, |sum| sum == expected).await?;
    ensure!(
        in_canary(&users(&caller).await?) == first,
        "others are in it"
    );
    let forced = caller.send(Request::get("/").header("x-canary", "always"));
    ensure!(forced.await?.upstream() == Some("payments-v2"));

    // 5: raise it; users only join.
    let plugin = cluster
        .kubernetes()
        .get(&["get", "wasmplugin", "canary-split", "-n", "shop", "-ojson"])
        .await?;
    let mut plugin: serde_json::Value = serde_json::from_str(&plugin)?;
    let arms = &mut plugin["spec"]["pluginConfig"]["splits"][0]["arms"];
    arms[0]["weight"] = 70.into();
    arms[1]["weight"] = 30.into();
    if let Some(metadata) = plugin["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    mesh.apply(&plugin.to_string()).await?;
    let more = in_canary(&users(&caller).await?);
    ensure!(more.len() > first.len() && first.iter().all(|user| more.contains(user)));
    mesh.delete_folder(&folder).await
}
