//! Policies as they are shipped, with real identities and tokens: at a workload, and with
//! the whole pack at the entrance.

use anyhow::{Result, ensure};
use meshpack_harness::Request;
use meshpack_mesh::{Caller, Cluster, Manifest, tokens};
use serde_json::{Value, json};

const DECISIONS: &str = "meshpack_authz_requests_total";

fn folder(name: &str) -> String {
    let path = Manifest::root().join("istio-manifests").join(name);
    path.to_string_lossy().into_owned()
}

async fn expect(caller: &Caller, what: &str, request: Request, status: u16) -> Result<()> {
    let answer = caller.send(request).await?;
    ensure!(
        answer.status == status,
        "{what}: {} {}",
        answer.status,
        answer.text()
    );
    Ok(())
}

pub(crate) async fn a_workload_knows_its_callers(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    mesh.apply_folder(&folder("authz-policy")).await?;
    let cart = mesh.caller("cart", "orders.shop")?;
    let frontend = mesh.caller("frontend", "orders.shop")?;
    let pod = mesh.pod("orders")?;
    let denied = pod.metric_now(DECISIONS, &[("decision", "deny")]).await?;
    let reached = pod.app().requests();
    expect(&cart, "cart", Request::get("/orders/7"), 200).await?;
    expect(&cart, "a method", Request::post("/orders/7", ""), 403).await?;
    expect(&cart, "a path", Request::get("/orders/7/items"), 403).await?;
    expect(
        &frontend,
        "another identity",
        Request::get("/orders/7"),
        403,
    )
    .await?;
    let address = (pod.ip(), 8080).into();
    let stranger = mesh.caller_of("otel-collector", address, "orders.shop")?;
    expect(&stranger, "no identity", Request::get("/orders/7"), 403).await?;
    ensure!(
        pod.app().requests() == reached + 1,
        "what is refused reaches the app"
    );
    pod.metric(DECISIONS, &[("decision", "deny")], |sum| {
        sum == denied + 4.0
    })
    .await?;
    pod.metric(DECISIONS, &[("authz_policy", "shop/callers")], |sum| {
        sum >= 1.0
    })
    .await?;
    mesh.delete_folder(&folder("authz-policy")).await
}

pub(crate) async fn the_entrance_knows_its_users(cluster: &Cluster) -> Result<()> {
    let mesh = cluster.mesh().await?;
    let issuer = tokens::authentication("istio-system", &json!({"istio": "ingressgateway"}));
    mesh.apply(&issuer).await?;
    mesh.apply_folder(&folder("meshpack")).await?;
    let visitor = mesh.visitor("payments.example.com")?;
    let get = |path: &str, claims: Option<Value>| {
        let request = Request::get(path);
        match claims {
            Some(claims) => request.header("authorization", tokens::bearer("ann", &claims)),
            None => request,
        }
    };
    let user = || Some(json!({"groups": ["users"]}));
    let admin = || Some(json!({"groups": ["admins"]}));
    expect(&visitor, "nobody", get("/users/7", None), 403).await?;
    expect(&visitor, "a user", get("/users/7", user()), 200).await?;
    expect(&visitor, "what is hidden", get("/admin/x", user()), 404).await?;
    let forged = Request::get("/users/7").header("authorization", "Bearer a.b.c");
    expect(&visitor, "a forged token", forged, 401).await?;
    // The service itself hides it from everybody.
    expect(&visitor, "an admin", get("/admin/x", admin()), 404).await?;
    let cart = mesh.caller("cart", "payments.shop")?;
    expect(&cart, "cart", Request::get("/users/7"), 200).await?;
    let frontend = mesh.caller("frontend", "payments.shop")?;
    expect(&frontend, "another identity", Request::get("/users/7"), 403).await?;
    mesh.delete_folder(&folder("meshpack")).await?;
    mesh.delete(&issuer).await
}
