//! A question to every policy: who may do what, asked on the mesh.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use meshpack_harness::Request;
use meshpack_mesh::{Caller, Mesh, tokens};
use serde_json::json;

/// A request of somebody, in words.
pub(crate) type Question = String;

/// The services, reached from outside by the name of their site.
const SITES: &str = r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders-site, namespace: shop}
spec:
  hosts: [orders.example.com]
  gateways: [istio-system/ingress]
  http: [{route: [{destination: {host: orders.shop.svc.cluster.local}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: payments-site, namespace: shop}
spec:
  hosts: [payments.example.com]
  gateways: [istio-system/ingress]
  http: [{route: [{destination: {host: payments.shop.svc.cluster.local}}]}]
"#;

const METHODS: [&str; 2] = ["GET", "POST"];
const PATHS: [&str; 5] = [
    "/items/1",
    "/items/1?all=1",
    "/admin",
    "/admin/users",
    "/public",
];

/// Sites and token validation, before policies are asked about.
pub(crate) fn ground() -> String {
    let validation = ["shop", "istio-system"].map(|namespace| {
        let selector = match namespace {
            "shop" => json!({"app": "orders"}),
            _ => json!({"istio": "ingressgateway"}),
        };
        tokens::authentication(namespace, &selector)
    });
    format!("{SITES}\n---\n{}", validation.join("\n---\n"))
}

/// Everybody who asks: inside the mesh, beside it, and through the entrance.
fn callers(mesh: &Mesh) -> Result<Vec<(&'static str, Caller)>> {
    let orders = SocketAddr::from((mesh.pod("orders")?.ip(), 8080));
    Ok(vec![
        ("cart to orders", mesh.caller("cart", "orders.shop")?),
        ("cart to payments", mesh.caller("cart", "payments.shop")?),
        (
            "frontend to orders",
            mesh.caller("frontend", "orders.shop")?,
        ),
        (
            "frontend to payments",
            mesh.caller("frontend", "payments.shop")?,
        ),
        (
            "a stranger to orders",
            mesh.caller_of("otel-collector", orders, "orders.shop")?,
        ),
        ("a visitor to orders", mesh.visitor("orders.example.com")?),
        (
            "a visitor to payments",
            mesh.visitor("payments.example.com")?,
        ),
    ])
}

/// Every question with its answer, as soon as two rounds in a row answer alike: workers
/// take up a listener a moment after the proxy says that it is there.
pub(crate) async fn ask(mesh: &Mesh) -> Result<Vec<(Question, u16)>> {
    let mut answers = round(mesh).await?;
    for _ in 0..5 {
        let again = round(mesh).await?;
        if again == answers {
            return Ok(answers);
        }
        answers = again;
    }
    bail!("no two rounds of questions are answered alike")
}

/// Every question once: a status, from whoever decides.
async fn round(mesh: &Mesh) -> Result<Vec<(Question, u16)>> {
    let users = [
        ("nobody", None),
        (
            "a user",
            Some(tokens::bearer("ann", &json!({"groups": ["users"]}))),
        ),
        (
            "root",
            Some(tokens::bearer(
                "root",
                &json!({"groups": ["users", "admins"]}),
            )),
        ),
    ];
    let mut answers = Vec::new();
    for (from, caller) in callers(mesh)? {
        for (user, token) in &users {
            for method in METHODS {
                for path in PATHS {
                    let mut request = Request::new(method, path);
                    if let Some(token) = token {
                        request = request.header("authorization", token);
                    }
                    let question = format!("{from}: {method} {path} as {user}");
                    let answer = caller.send(request).await?;
                    if ![200, 403].contains(&answer.status) {
                        bail!("{question}: {} {}", answer.status, answer.text());
                    }
                    answers.push((question, answer.status));
                }
            }
        }
    }
    Ok(answers)
}
