//! Which proxies load which manifest: read from the proxies, not from the documentation.
//!
//! The table in `istio-manifests/README.md` is what this test saw; it fails when the two
//! differ, and writes it anew with `MESHPACK_MESH_WRITE=1`. What a slip in a manifest does
//! is shown by making each slip once: the row changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use meshpack_mesh::{Cluster, Manifest, Mesh, Proxy, Side, tokens};
use serde_json::{Value, json};

/// Rewrites the table instead of comparing it.
const WRITE: &str = "MESHPACK_MESH_WRITE";

const PAGE: &str = "istio-manifests/README.md";

/// Token validation and a policy for every proxy, so that each chain has what `phase`
/// names.
fn around() -> String {
    let policy = json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "around", "namespace": "istio-system"},
        "spec": {"action": "ALLOW", "rules": [{}]},
    });
    format!(
        "{}\n---\n{policy}",
        tokens::authentication("istio-system", &Value::Null)
    )
}

/// Where a filter stands among those that Istio places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    BeforeTokens,
    BeforeAuthorization,
    AfterAuthorization,
    /// In a chain without tokens and policies: what a sidecar sends.
    BeforeTheRouter,
}

impl Place {
    fn of(filters: &[String], at: usize) -> Self {
        let position = |name: &str| filters.iter().position(|filter| filter == name);
        match (
            position("envoy.filters.http.jwt_authn"),
            position("envoy.filters.http.rbac"),
        ) {
            (Some(tokens), _) if at < tokens => Self::BeforeTokens,
            (_, Some(policies)) if at < policies => Self::BeforeAuthorization,
            (_, Some(_)) => Self::AfterAuthorization,
            _ => Self::BeforeTheRouter,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::BeforeTokens => "before the tokens are validated",
            Self::BeforeAuthorization => "after tokens, before Istio's policies",
            Self::AfterAuthorization => "after Istio's policies",
            Self::BeforeTheRouter => "before the router",
        }
    }
}

/// What a plugin does on the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    /// The sides on which each pod runs it.
    pods: BTreeMap<String, BTreeSet<Side>>,
    places: BTreeSet<Place>,
}

impl Row {
    async fn of(mesh: &Mesh, plugin: &Manifest) -> Result<Self> {
        let mut row = Self::default();
        for pod in mesh.proxies() {
            let proxy = Proxy::of(pod).await?;
            ensure!(
                proxy.replaced.is_empty(),
                "{}: the agent of {} could not get {:?}:\n{}",
                plugin.file,
                pod.name(),
                proxy.replaced,
                pod.agent_log()
            );
            let sides = proxy.runs(plugin.namespace(), plugin.name());
            if !sides.is_empty() {
                row.pods.insert(pod.name().to_owned(), sides);
            }
            for (chain, at) in proxy.chains_with(plugin.namespace(), plugin.name()) {
                row.places.insert(Place::of(&chain.filters, at));
            }
        }
        Ok(row)
    }

    fn cell(&self, pod: &str) -> &'static str {
        let sides = self.pods.get(pod).map(|sides| {
            let has = |side| sides.contains(&side);
            (has(Side::Inbound), has(Side::Outbound))
        });
        match sides {
            None | Some((false, false)) => "",
            Some((true, false)) => "in",
            Some((false, true)) => "out",
            Some((true, true)) => "in, out",
        }
    }
}

/// Applies a plugin, looks, and takes it away again.
async fn observe(mesh: &Mesh, plugin: &Manifest) -> Result<Row> {
    let text = plugin.text();
    mesh.apply(&text).await.context(plugin.file.clone())?;
    let row = Row::of(mesh, plugin).await;
    mesh.delete(&text).await?;
    row
}

fn plugins() -> Result<Vec<Manifest>> {
    let mut all = Manifest::all()?;
    all.retain(|one| ["WasmPlugin", "TrafficExtension"].contains(&one.kind()));
    Ok(all)
}

fn table(mesh: &Mesh, rows: &[(Manifest, Row)]) -> String {
    let pods: Vec<&str> = mesh.proxies().map(|pod| pod.name()).collect();
    let mut text = "| manifest |".to_owned();
    for pod in mesh.proxies() {
        let _ = write!(text, " `{}` in `{}` |", pod.name(), pod.namespace());
    }
    text += " place |\n|---|";
    text += &"---|".repeat(pods.len() + 1);
    text.push('\n');
    for (plugin, row) in rows {
        let file = plugin.file.trim_start_matches("istio-manifests/");
        let _ = write!(text, "| `{file}` |");
        for pod in &pods {
            let _ = write!(text, " {} |", row.cell(pod));
        }
        let places: Vec<&str> = row.places.iter().map(|place| place.name()).collect();
        let _ = writeln!(text, " {} |", places.join("; "));
    }
    text
}

pub(crate) async fn the_table_of_who_loads_what_is_true(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    mesh.apply(&around()).await?;
    let mut rows = Vec::new();
    for plugin in plugins()? {
        let row = observe(mesh, &plugin).await?;
        ensure!(!row.pods.is_empty(), "nobody loads {}", plugin.file);
        rows.push((plugin, row));
    }
    mesh.delete(&around()).await?;
    ensure!(rows.len() >= 16, "{} plugins", rows.len());
    compare(&table(mesh, &rows))
}

/// Holds the page's table against what was seen, or writes it.
fn compare(seen: &str) -> Result<()> {
    let path = Manifest::root().join(PAGE);
    let page = std::fs::read_to_string(&path)?;
    let start = page.find("| manifest |").context("no table")?;
    let length = page[start..]
        .find("\n\n")
        .map_or(page.len() - start, |end| end + 1);
    let written = &page[start..start + length];
    if written == seen {
        return Ok(());
    }
    if std::env::var_os(WRITE).is_some() {
        let page = page.replace(written, seen);
        std::fs::write(&path, page)?;
        return Ok(());
    }
    bail!("{PAGE} says\n{written}\nbut the proxies load\n{seen}\n{WRITE}=1 writes it")
}

type Slip = (&'static str, &'static str, fn(&mut Value));

/// Each of these is taken by the API without a word, and changes who runs the filter.
const SLIPS: [Slip; 9] = [
    ("mode", "canary-split/wasmplugin.yaml", |plugin| {
        plugin["spec"]["match"][0]["mode"] = "SERVER".into()
    }),
    ("namespace", "canary-split/wasmplugin.yaml", |plugin| {
        plugin["metadata"]["namespace"] = "web".into()
    }),
    ("selector", "canary-split/trafficextension.yaml", |plugin| {
        plugin["spec"]["selector"] = json!({"matchLabels": {"app": "payments"}})
    }),
    (
        "no match",
        "retry-budget/wasmplugin-outbound.yaml",
        |plugin| {
            plugin["spec"]["match"].take();
        },
    ),
    ("phase", "authz-policy/wasm-plugin.yaml", |plugin| {
        plugin["spec"]["phase"] = "AUTHN".into()
    }),
    ("phase", "telemetry/traffic-extension.yaml", |plugin| {
        plugin["spec"]["phase"] = "AUTHZ".into()
    }),
    (
        "selector",
        "authz-policy/traffic-extension.yaml",
        |plugin| plugin["spec"]["selector"]["matchLabels"]["app"] = "order".into(),
    ),
    ("mode", "meshpack/wasmplugin-gateway.yaml", |plugin| {
        plugin["spec"]["match"][0]["mode"] = "SERVER".into()
    }),
    (
        "namespace",
        "meshpack/trafficextension-gateway.yaml",
        |plugin| plugin["metadata"]["namespace"] = "shop".into(),
    ),
];

pub(crate) async fn a_slip_changes_who_loads_it(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    mesh.apply(&around()).await?;
    for (what, file, slip) in SLIPS {
        let right = Manifest::read(&format!("istio-manifests/{file}"))?.remove(0);
        let wrong = right.changed(slip);
        ensure!(wrong != right, "{file}: {what} is not changed");
        let before = observe(mesh, &right).await?;
        let after = observe(mesh, &wrong).await?;
        ensure!(before != after, "{file} with another {what}: {after:?}");
    }
    mesh.delete(&around()).await
}
