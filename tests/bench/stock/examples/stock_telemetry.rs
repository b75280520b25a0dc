//! Golden metrics with labels, on the stock SDK: one attribute read per label,
//! series ids cached by their name.
#![allow(missing_docs)] // the entry point is the macro's

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, MetricType};

type Series = Rc<RefCell<HashMap<String, [u32; 4]>>>;

struct Root {
    series: Series,
}
struct Stream {
    series: Series,
}

fn text(path: Vec<&str>) -> String {
    let bytes = hostcalls::get_property(path).ok().flatten();
    bytes.map_or_else(
        || "unknown".to_owned(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

fn number(path: Vec<&str>) -> i64 {
    let bytes = hostcalls::get_property(path).ok().flatten();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, i64::from_le_bytes)
}

impl Context for Root {}
impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream {
            series: self.series.clone(),
        }))
    }
}
impl Context for Stream {}
impl HttpContext for Stream {
    fn on_log(&mut self) {
        let labels = [
            (
                "response_code",
                number(vec!["response", "code"]).to_string(),
            ),
            (
                "response_flags",
                number(vec!["response", "flags"]).to_string(),
            ),
            ("request_protocol", text(vec!["request", "protocol"])),
            ("reporter", number(vec!["listener_direction"]).to_string()),
            ("destination_service", text(vec!["request", "host"])),
            (
                "connection_security_policy",
                text(vec!["connection", "mtls"]),
            ),
            (
                "source_principal",
                text(vec!["connection", "uri_san_peer_certificate"]),
            ),
            (
                "destination_principal",
                text(vec!["connection", "uri_san_local_certificate"]),
            ),
            ("destination_cluster", text(vec!["xds", "cluster_name"])),
        ];
        let mut name = String::new();
        for (label, value) in &labels {
            name += &format!("{label}=.={value};.;");
        }
        let mut series = self.series.borrow_mut();
        let ids = *series.entry(name.clone()).or_insert_with(|| {
            let define = |kind, metric: &str| {
                hostcalls::define_metric(kind, &format!("{metric}{name}")).unwrap_or_default()
            };
            [
                define(MetricType::Counter, "stock_requests_total"),
                define(MetricType::Histogram, "stock_request_duration_milliseconds"),
                define(MetricType::Histogram, "stock_request_bytes"),
                define(MetricType::Histogram, "stock_response_bytes"),
            ]
        });
        let millis = number(vec!["request", "duration"]) / 1_000_000;
        let request = number(vec!["request", "total_size"]);
        let response = number(vec!["response", "total_size"]);
        let _ = hostcalls::increment_metric(ids[0], 1);
        let _ = hostcalls::record_metric(ids[1], millis.unsigned_abs());
        let _ = hostcalls::record_metric(ids[2], request.unsigned_abs());
        let _ = hostcalls::record_metric(ids[3], response.unsigned_abs());
    }
}

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| {
        Box::new(Root { series: Series::default() })
    });
}}
