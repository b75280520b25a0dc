//! The ground that everything else stands on: calls go through both proxies, with mutual
//! TLS and real identities.

use anyhow::{Result, ensure};
use meshpack_harness::Request;
use meshpack_mesh::Cluster;

pub(crate) async fn calls_carry_the_identity_of_the_caller(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    for (pod, identity) in [
        ("cart", "spiffe://cluster.local/ns/shop/sa/cart"),
        ("frontend", "spiffe://cluster.local/ns/web/sa/frontend"),
    ] {
        let caller = mesh.caller(pod, "orders.shop")?;
        let answer = caller.send(Request::get("/orders/1")).await?;
        ensure!(answer.status == 200, "{pod}: {}", answer.text());
        let last = mesh.pod("orders")?.app().last();
        let certificate = last
            .as_ref()
            .and_then(|request| request.header_text("x-forwarded-client-cert"))
            .unwrap_or_default();
        ensure!(
            certificate.contains(&format!("URI={identity}")),
            "{pod}: {certificate}"
        );
    }
    Ok(())
}
