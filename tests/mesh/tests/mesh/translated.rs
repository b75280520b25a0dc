//! What `translate` makes of policies decides on a mesh as the policies do: Istio's own
//! RBAC, with real certificates and tokens, against the filter in the same proxies.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use meshpack_mesh::{Cluster, Manifest, Mesh, Proxy, meshpack};

use crate::decisions::{Question, ask, ground};
use crate::random::Policies;

/// Policies written by hand, with what `translate` is told about them.
const WRITTEN: [(&str, &[&str]); 6] = [
    ("gateway-deny", &[]),
    ("ip-blocks", &["--gateway", "none"]),
    ("two-allows", &["--gateway", "none"]),
    ("identities", &["--gateway", "none"]),
    ("tokens", &["--gateway", "none"]),
    (
        "whole-mesh",
        &["--gateway", "istio-system/istio=ingressgateway"],
    ),
];

/// What `translate` cannot know from files.
const ABOUT_THIS_MESH: [&str; 6] = [
    "--registry",
    "registry.example.com/meshpack",
    "--trust-domain",
    "cluster.local",
    "--http-port",
    "all",
];

/// How many sets of generated policies are asked about.
const GENERATED: u64 = 12;

/// What came of a set of policies.
enum Outcome {
    /// Carried over, and it decides alike.
    Alike(Vec<(Question, u16)>),
    /// Said not to be carried over, with exit code 1.
    Listed(String),
}

/// Asks with the policies in force, then with their translation instead.
async fn compare(mesh: &Mesh, file: &Path, options: &[&str]) -> Result<Outcome> {
    let path = file.to_string_lossy();
    let policies = std::fs::read_to_string(file)?;
    mesh.apply(&policies).await?;
    let before = ask(mesh).await.context("Istio's own")?;
    mesh.delete(&policies).await?;
    let mut arguments = vec!["translate"];
    arguments.extend(ABOUT_THIS_MESH);
    arguments.extend(options);
    arguments.push(&path);
    let output = meshpack(&arguments).await?;
    if !output.success {
        return Ok(Outcome::Listed(output.stderr));
    }
    mesh.apply(&output.stdout).await?;
    for pod in mesh.proxies() {
        let proxy = Proxy::of(pod).await?;
        ensure!(
            proxy.replaced.is_empty(),
            "{}: {}",
            pod.name(),
            pod.agent_log()
        );
    }
    let after = ask(mesh).await.context("the translation")?;
    mesh.delete(&output.stdout).await?;
    let different: Vec<String> = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before != after)
        .map(|((question, before), (_, after))| format!("{question}: {before}, then {after}"))
        .collect();
    if different.is_empty() {
        return Ok(Outcome::Alike(before));
    }
    bail!(
        "{} of {} are decided differently:\n{}\npolicies:\n{policies}\ntranslation:\n{}",
        different.len(),
        before.len(),
        different.join("\n"),
        output.text()
    )
}

pub(crate) async fn policies_decide_as_before(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    mesh.apply(&ground()).await?;
    for (name, options) in WRITTEN {
        let file = Manifest::root().join(format!("tests/mesh/policies/{name}.yaml"));
        match compare(mesh, &file, options).await.context(name)? {
            Outcome::Alike(answers) => {
                let refused = answers.iter().filter(|(_, status)| *status == 403).count();
                let share = 0 < refused && refused < answers.len();
                ensure!(share, "{name}: {refused} of {} are refused", answers.len());
            }
            Outcome::Listed(why) => bail!("{name} is not carried over:\n{why}"),
        }
    }
    mesh.delete(&ground()).await
}

/// Neighbours nobody listed: what is carried over decides alike, what is not is listed.
pub(crate) async fn generated_policies_decide_as_before(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    mesh.apply(&ground()).await?;
    let mut policies = Policies::seeded()?;
    let mut carried = 0;
    for number in 0..GENERATED {
        let text = policies.next_set();
        let file = Path::new("/run/mesh").join(format!("generated-{number}.yaml"));
        std::fs::write(&file, &text)?;
        let options = ["--gateway", "istio-system/istio=ingressgateway"];
        let outcome = compare(mesh, &file, &options).await;
        let outcome = outcome.with_context(|| format!("{policies}, set {number}"))?;
        if matches!(outcome, Outcome::Alike(_)) {
            carried += 1;
        }
    }
    println!("{carried} of {GENERATED} generated sets are carried over, the others listed");
    ensure!(
        carried * 4 > GENERATED,
        "{carried} of {GENERATED} are carried over"
    );
    mesh.delete(&ground()).await
}
