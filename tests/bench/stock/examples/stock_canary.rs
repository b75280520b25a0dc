//! A sticky split by one header, on the stock SDK.
#![allow(missing_docs)] // the entry point is the macro's

use std::hash::{DefaultHasher, Hash, Hasher};

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MetricType};

struct Root {
    arms: [u32; 2],
}
struct Stream {
    arms: [u32; 2],
}

impl Context for Root {}
impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        for (id, name) in self
            .arms
            .iter_mut()
            .zip(["stock_canary_v1", "stock_canary_v2"])
        {
            *id = hostcalls::define_metric(MetricType::Counter, name).unwrap_or_default();
        }
        true
    }
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { arms: self.arms }))
    }
}
impl Context for Stream {}
impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let host = self
            .get_http_request_header(":authority")
            .unwrap_or_default();
        if !host.starts_with("payments") {
            return Action::Continue;
        }
        let user = self
            .get_http_request_header("x-user-id")
            .unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        let canary = hasher.finish() % 100 < 5;
        let arm = if canary { "v2" } else { "v1" };
        self.set_http_request_header("x-meshpack-subset", Some(arm));
        let _ = hostcalls::increment_metric(self.arms[usize::from(canary)], 1);
        Action::Continue
    }
}

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root { arms: [0; 2] }));
}}
