//! What `meshpack translate` writes, in a stock Envoy.

mod app_mesh;
mod attempts;
mod cilium;
mod consul;
mod examples;
mod gateway_api;
mod istio_canary;
mod istio_policies;
mod linkerd;
mod marks;
