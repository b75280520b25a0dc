//! A cluster's API on one machine: kube-apiserver with its etcd, Istio's custom resource
//! definitions, and an OCI registry with the modules in it. Resources go in by kubectl.
//!
//! Everything lives in namespaces of its own (network, mounts, processes): no port, name,
//! file or rule is shared with the machine or another run, and when the first process of
//! the namespaces ends, however it ends, the kernel takes away all of it.
//!
//! - [`enter`] moves a program into such namespaces by running it again there.
//! - [`Cluster`] is what runs in them.
//! - [`run`] runs scenarios on it.

mod agent;
mod cluster;
mod collector;
mod inside;
mod istiod;
mod keep;
mod kube;
mod manifest;
mod mesh;
mod metrics;
mod network;
mod node;
mod pod;
mod process;
mod programs;
mod proxy;
mod registry;
mod runner;
mod settle;
mod shop;
pub mod tokens;

pub use cluster::Cluster;
pub use keep::keep;
pub use kube::Kubernetes;
pub use manifest::Manifest;
pub use mesh::Mesh;
pub use node::{enter, meshpack};
pub use pod::{Caller, Pod};
pub use process::Output;
pub use programs::{Missing, Programs};
pub use proxy::{Chain, Proxy, Side};
pub use registry::Registry;
pub use runner::{Scenario, run};
