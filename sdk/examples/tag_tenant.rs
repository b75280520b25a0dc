//! A whole filter: requests carry their tenant upstream, requests without one
//! are refused, and both are counted. Built and run in a stock Envoy by a test.

use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::metrics::Counter;
use meshpack_sdk::{Filter, Flow, LocalReply, RequestHeaders};

/// Marks requests with their tenant.
pub struct TagTenant {
    header: String,
    seen: Counter,
}

impl Filter for TagTenant {
    const NAME: &'static str = "tag_tenant";
    const GUARDS: bool = true;
    type Config = String;
    type Stream = ();

    fn read(value: Value<'_>) -> Option<String> {
        let mut fields = value.object()?;
        fields
            .required("header")?
            .non_empty_string()
            .map(str::to_lowercase)
    }

    fn start(header: String) -> Result<Self, Vec<Problem>> {
        let refused = |error| vec![Problem::new("", format!("no counter: {error}"))];
        let seen = Counter::define("tag_tenant_requests_total").map_err(refused)?;
        Ok(Self { header, seen })
    }

    fn on_request_headers(&mut self, cx: &mut RequestHeaders<'_>, _: &mut Option<()>) -> Flow {
        self.seen.add(1);
        let tenant = cx
            .headers()
            .ok()
            .and_then(|map| map.get(self.header.as_bytes()));
        match tenant.map(|tenant| cx.set_header(b"x-tenant", tenant)) {
            Some(Ok(())) => Flow::Continue,
            _ => Flow::Reply(LocalReply::new(400, "tenant_missing").body("which tenant?")),
        }
    }
}

meshpack_sdk::module!(TagTenant: request_headers, done);
