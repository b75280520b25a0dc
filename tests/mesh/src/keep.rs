//! A mesh for a person: it stays until it is interrupted.

use anyhow::Result;

use crate::cluster::Cluster;
use crate::kube::CONFIG;
use crate::manifest::Manifest;
use crate::node::{HOME, number};

/// Starts the mesh, says how to use it, and stays.
pub async fn keep(cluster: &Cluster) -> Result<std::convert::Infallible> {
    let mesh = cluster.mesh().await?;
    let kubectl = cluster.programs().path("kubectl").display().to_string();
    let root = Manifest::root().canonicalize()?.display().to_string();
    let enter = format!("nsenter -t {} -n -m", number());
    println!("The mesh runs until this ends (Ctrl-C). As root, in another terminal:\n");
    println!("  alias k='{enter} env KUBECONFIG={CONFIG} {kubectl}'");
    println!("  k get pods -A");
    println!("  k apply -k {root}/istio-manifests/canary-split\n");
    println!("A call from a pod, and what its proxy has loaded:\n");
    println!(
        "  {enter} nsenter --net=/run/netns/cart curl -s -H 'host: payments.shop' \
         http://10.96.1.1/"
    );
    println!(
        "  {enter} nsenter --net=/run/netns/cart curl -s \
         'localhost:15000/config_dump?resource=ecds_filters'\n"
    );
    for pod in mesh.proxies() {
        println!("  {:12} {:16} {}", pod.name(), pod.namespace(), pod.ip());
    }
    println!("\nLogs: {enter} ls {HOME}/log");
    Ok(std::future::pending().await)
}
