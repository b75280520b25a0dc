//! A bootstrap whose clusters call its own listeners: several hops in one process.
//!
//! Listeners get other ports in a test, so the clusters that call them have to follow.

use std::io;

use meshpack_harness::Port;
use meshpack_harness::config::literal;
use serde_json::{Value, json};

/// Gives every listener that a cluster calls a port of its own, and the cluster that port;
/// all others take a free one when they start. Gives the ports that are held.
///
/// # Errors
/// There is no free port.
pub(super) fn join(bootstrap: &mut Value) -> io::Result<Vec<Port>> {
    let listeners = bootstrap.pointer("/static_resources/listeners");
    let listeners = listeners
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let mut held = Vec::new();
    let mut taken = Vec::new();
    for (index, listener) in listeners.iter().enumerate() {
        let port = listener
            .pointer("/address/socket_address/port_value")
            .and_then(Value::as_u64)
            .filter(|port| *port != 0);
        let Some(port) = port else { continue };
        let own = Port::hold()?;
        let clusters = bootstrap.pointer_mut("/static_resources/clusters");
        let calls = clusters.map_or(0, |clusters| {
            ["127.0.0.1", "localhost", "0.0.0.0", "::1"]
                .iter()
                .map(|host| literal::rewire(clusters, &format!("{host}:{port}"), own.address()))
                .sum()
        });
        if calls > 0 {
            taken.push((index, own.address()));
            held.push(own);
        }
    }
    if held.is_empty() {
        return Ok(held);
    }
    literal::free_ports(bootstrap);
    for (index, address) in taken {
        let socket = format!("/static_resources/listeners/{index}/address/socket_address");
        if let Some(socket) = bootstrap.pointer_mut(&socket) {
            socket["address"] = json!(address.ip().to_string());
            socket["port_value"] = json!(address.port());
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clusters_follow_the_listeners_that_they_call() {
        let listener = |port: u16| json!({"address": {"socket_address": {"address": "0.0.0.0", "port_value": port}}});
        let cluster = |port: u16| json!({"load_assignment": {"endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}]}]}});
        let mut bootstrap = json!({"static_resources": {
            "listeners": [listener(1000), listener(1001)],
            "clusters": [cluster(1001), cluster(1002)],
        }});
        let held = join(&mut bootstrap).unwrap();
        assert_eq!(held.len(), 1);
        let port = json!(held[0].address().port());
        let at = |path: &str| {
            bootstrap
                .pointer(&format!("/static_resources/{path}"))
                .unwrap()
        };
        let endpoint = "load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";
        assert_eq!(at("listeners/0/address/socket_address/port_value"), 0);
        assert_eq!(*at("listeners/1/address/socket_address/port_value"), port);
        assert_eq!(*at(&format!("clusters/0/{endpoint}/port_value")), port);
        assert_eq!(at(&format!("clusters/1/{endpoint}/port_value")), 1002);
    }

    #[tokio::test]
    async fn without_a_chain_nothing_changes() {
        let mut bootstrap =
            json!({"static_resources": {"listeners": [{"address": {"pipe": {"path": "x"}}}]}});
        let before = bootstrap.clone();
        assert!(join(&mut bootstrap).unwrap().is_empty());
        assert_eq!(bootstrap, before);
    }
}
