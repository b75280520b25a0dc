//! The network of the node: a bridge, and a network namespace for each pod.

use std::net::Ipv4Addr;

use anyhow::Result;

use crate::node::{NODE, sh};

const BRIDGE: &str = "pods";

/// Makes the bridge; the node is the pods' gateway.
pub(crate) fn make_bridge() -> Result<()> {
    sh("ip", &["link", "add", BRIDGE, "type", "bridge"])?;
    sh("ip", &["addr", "add", &format!("{NODE}/16"), "dev", BRIDGE])?;
    sh("ip", &["link", "set", BRIDGE, "up"])
}

/// Makes the network of a pod, called `name`, with its only address.
pub(crate) fn make_pod(name: &str, ip: Ipv4Addr) -> Result<()> {
    // At most fifteen letters: the address is one of a kind.
    let [_, _, a, b] = ip.octets();
    let outside = format!("pod{a}-{b}");
    let inside = |arguments: &[&str]| {
        let all: Vec<&str> = ["-n", name].iter().chain(arguments).copied().collect();
        sh("ip", &all)
    };
    sh("ip", &["netns", "add", name])?;
    sh(
        "ip",
        &[
            "link", "add", &outside, "type", "veth", "peer", "name", "eth0", "netns", name,
        ],
    )?;
    sh("ip", &["link", "set", &outside, "master", BRIDGE, "up"])?;
    inside(&["link", "set", "lo", "up"])?;
    inside(&["addr", "add", &format!("{ip}/16"), "dev", "eth0"])?;
    inside(&["link", "set", "eth0", "up"])?;
    inside(&["route", "add", "default", "via", &NODE.to_string()])
}

/// A command inside the network of a pod.
pub(crate) fn command_in(name: &str, program: &std::path::Path) -> std::process::Command {
    let mut command = std::process::Command::new("nsenter");
    command
        .arg(format!("--net=/run/netns/{name}"))
        .arg("--")
        .arg(program);
    command
}
