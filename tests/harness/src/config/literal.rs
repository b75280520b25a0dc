//! Working on a literal bootstrap: reading it, freeing its ports, pointing its
//! clusters at test upstreams.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// Reads a bootstrap from YAML or JSON text.
pub fn parse(text: &str) -> Result<Value, LiteralError> {
    let value: Value = serde_yaml_ng::from_str(text).map_err(LiteralError::Syntax)?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(LiteralError::NotAnObject)
    }
}

/// Lets every static listener take a free port, and names those without a name
/// `listener_<index>`.
pub fn free_ports(bootstrap: &mut Value) {
    for (index, listener) in listeners(bootstrap).enumerate() {
        if listener.get("name").is_none() {
            listener["name"] = json!(format!("listener_{index}"));
        }
        if let Some(port) = listener.pointer_mut("/address/socket_address/port_value") {
            *port = json!(0);
        }
    }
}

/// Lets no other process share the ports of the static listeners, as two Envoys of
/// one user otherwise do.
pub fn own_ports(bootstrap: &mut Value) {
    for listener in listeners(bootstrap) {
        if listener.pointer("/address/socket_address").is_some() {
            listener["enable_reuse_port"] = json!(false);
        }
    }
}

fn listeners(bootstrap: &mut Value) -> impl Iterator<Item = &mut Value> {
    let listeners = bootstrap.pointer_mut("/static_resources/listeners");
    listeners
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

/// Replaces every socket address `address:port` with `to`; returns how many there were.
pub fn rewire(config: &mut Value, from: &str, to: SocketAddr) -> usize {
    let mut count = 0;
    let children: Vec<&mut Value> = match config {
        Value::Object(fields) => {
            if let Some(socket) = fields.get_mut("socket_address")
                && written(socket).as_deref() == Some(from)
            {
                socket["address"] = json!(to.ip().to_string());
                socket["port_value"] = json!(to.port());
                count += 1;
            }
            fields.values_mut().collect()
        }
        Value::Array(items) => items.iter_mut().collect(),
        _ => Vec::new(),
    };
    count
        + children
            .into_iter()
            .map(|child| rewire(child, from, to))
            .sum::<usize>()
}

/// Sets the endpoints of the static cluster `name`, keeping the rest of it as
/// written; a cluster found by DNS becomes a static one. False if it is not there.
pub fn set_endpoints(bootstrap: &mut Value, name: &str, endpoints: &[SocketAddr]) -> bool {
    let clusters = bootstrap.pointer_mut("/static_resources/clusters");
    let clusters = clusters.and_then(Value::as_array_mut).into_iter().flatten();
    let Some(cluster) = clusters.into_iter().find(|cluster| cluster["name"] == name) else {
        return false;
    };
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|address| json!({"endpoint": {"address": super::socket_address(*address)}}))
        .collect();
    cluster["type"] = json!("STATIC");
    cluster["load_assignment"] =
        json!({"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]});
    true
}

fn written(socket: &Value) -> Option<String> {
    Some(format!(
        "{}:{}",
        socket["address"].as_str()?,
        socket["port_value"].as_u64()?
    ))
}

/// A literal bootstrap that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LiteralError {
    /// Neither YAML nor JSON.
    #[error("the bootstrap is neither YAML nor JSON: {0}")]
    Syntax(#[source] serde_yaml_ng::Error),
    /// A list or a scalar.
    #[error("the bootstrap is not an object with fields such as static_resources")]
    NotAnObject,
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTSTRAP: &str = "
static_resources:
  listeners:
  - address: {socket_address: {address: 0.0.0.0, port_value: 10000}}
  clusters:
  - name: v1
    type: STRICT_DNS
    load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: v1.test, port_value: 80}}}}]}]}
";

    #[test]
    fn listeners_get_free_ports_and_names() {
        let mut bootstrap = parse(BOOTSTRAP).unwrap();
        free_ports(&mut bootstrap);
        let listener = &bootstrap["static_resources"]["listeners"][0];
        assert_eq!(listener["name"], "listener_0");
        assert_eq!(listener["address"]["socket_address"]["port_value"], 0);
    }

    #[test]
    fn addresses_and_clusters_point_where_a_test_says() {
        let here = SocketAddr::from(([127, 0, 0, 1], 81));
        let mut bootstrap = parse(BOOTSTRAP).unwrap();
        assert_eq!(rewire(&mut bootstrap, "v1.test:80", here), 1);
        assert_eq!(rewire(&mut bootstrap, "127.0.0.1:81", here), 1);
        assert!(set_endpoints(&mut bootstrap, "v1", &[]));
        assert!(!set_endpoints(&mut bootstrap, "v2", &[]));
        assert_eq!(rewire(&mut bootstrap, "127.0.0.1:81", here), 0);
    }

    #[test]
    fn text_that_is_no_bootstrap_is_refused() {
        assert!(matches!(parse("- a"), Err(LiteralError::NotAnObject)));
        assert!(matches!(parse("a: ["), Err(LiteralError::Syntax(_))));
    }
}
