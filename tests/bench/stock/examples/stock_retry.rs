//! A retry budget that reserves in shared data, on the stock SDK.
#![allow(missing_docs)] // the entry point is the macro's

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

const TOKENS: &str = "stock_retry_tokens";
const COST: u64 = 1000;
const DEPOSIT: u64 = 200;

struct Root;
struct Stream {
    reserved: u64,
}

fn change(by: impl Fn(u64) -> u64) -> u64 {
    loop {
        let (bytes, cas) = hostcalls::get_shared_data(TOKENS).unwrap_or((None, None));
        let old = bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(10_000, u64::from_le_bytes);
        let new = by(old);
        if hostcalls::set_shared_data(TOKENS, Some(&new.to_le_bytes()), cas).is_ok() {
            return old;
        }
    }
}

impl Context for Root {}
impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { reserved: 0 }))
    }
}
impl Context for Stream {}
impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let take = |old: u64| (old + DEPOSIT).min(100_000).saturating_sub(2 * COST);
        let old = change(take);
        self.reserved = ((old + DEPOSIT) / COST).min(2);
        let retries = self.reserved.to_string();
        self.set_http_request_header("x-envoy-max-retries", Some(&retries));
        Action::Continue
    }
    fn on_log(&mut self) {
        let refund = self.reserved * COST;
        change(|old| (old + refund).min(100_000));
    }
}

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}
