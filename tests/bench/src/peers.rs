//! What stock Envoy has for the same work: its own filters, and Lua.

use meshpack_harness::{HttpFilter, config};
use serde_json::{Value, json};

/// Envoy's own RBAC filter with one policy that lets the request through.
pub(crate) fn rbac_allowing() -> Value {
    rbac("ALLOW", [("p0".to_owned(), "/api/".to_owned(), "GET")])
}

/// The same with policies that do not match, though their paths begin as the request's.
pub(crate) fn rbac_denying(policies: usize) -> Value {
    let policies = (0..policies).map(|n| (format!("p{n}"), format!("/api/orders/{n}/"), "DELETE"));
    rbac("DENY", policies)
}

/// As Istio translates policies of path and method.
fn rbac(action: &str, policies: impl IntoIterator<Item = (String, String, &'static str)>) -> Value {
    let policies: serde_json::Map<String, Value> = policies
        .into_iter()
        .map(|(name, path, method)| {
            let policy = json!({
                "permissions": [{"and_rules": {"rules": [
                    {"url_path": {"path": {"prefix": path}}},
                    {"header": {"name": ":method", "string_match": {"exact": method}}},
                ]}}],
                "principals": [{"any": true}],
            });
            (format!("ns[default]-policy[{name}]-rule[0]"), policy)
        })
        .collect();
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": action, "policies": policies},
        }
    })
}

/// A line of Envoy's own access log with what the golden metrics record.
pub(crate) fn log_format() -> Value {
    json!({
        "response_code": "%RESPONSE_CODE%",
        "response_flags": "%RESPONSE_FLAGS%",
        "request_protocol": "%PROTOCOL%",
        "request_method": "%REQ(:METHOD)%",
        "destination_service": "%REQ(:AUTHORITY)%",
        "source_principal": "%DOWNSTREAM_PEER_URI_SAN%",
        "destination_principal": "%DOWNSTREAM_LOCAL_URI_SAN%",
        "destination_cluster": "%UPSTREAM_CLUSTER%",
        "duration": "%DURATION%",
        "request_bytes": "%BYTES_RECEIVED%",
        "response_bytes": "%BYTES_SENT%",
    })
}

/// One Lua filter that does what the named filters of the pack do, as far as Lua can:
/// it has no metrics, so its counts stay in a table that nobody reads.
pub(crate) fn lua(parts: &[&str]) -> HttpFilter {
    let body = |of: &str| -> String {
        let chosen = LUA
            .iter()
            .filter(|(name, on, _)| *on == of && parts.contains(name));
        chosen.map(|(_, _, code)| *code).collect()
    };
    config::lua(&format!(
        "{LUA_STATE}function envoy_on_request(handle)\n  local headers = handle:headers()\n{}end\n\
         function envoy_on_response(handle)\n{}end\n",
        body("request"),
        body("response"),
    ))
}

const LUA_STATE: &str = "
local tokens = 10000
local series = {}
";

/// Part, phase, code.
const LUA: [(&str, &str, &str); 6] = [
    (
        "authz",
        "request",
        r#"
  local path = headers:get(":path")
  local method = headers:get(":method")
  if string.sub(path, 1, 5) ~= "/api/" or method ~= "GET" then
    handle:respond({[":status"] = "403"}, "RBAC: access denied")
    return
  end
"#,
    ),
    (
        "canary",
        "request",
        r#"
  local id = headers:get("x-user-id") or ""
  local hash = 5381
  for i = 1, #id do
    hash = (hash * 33 + string.byte(id, i)) % 4294967296
  end
  local arm = "v1"
  if hash % 100 < 5 then
    arm = "v2"
  end
  headers:replace("x-meshpack-subset", arm)
"#,
    ),
    (
        "retry",
        "request",
        r#"
  tokens = math.min(tokens + 200, 100000)
  local reserved = math.min(math.floor(tokens / 1000), 2)
  tokens = tokens - reserved * 1000
  headers:replace("x-envoy-max-retries", tostring(reserved))
  handle:streamInfo():dynamicMetadata():set("bench", "reserved", reserved)
"#,
    ),
    (
        "telemetry",
        "request",
        r#"
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("bench", "method", headers:get(":method"))
  metadata:set("bench", "service", headers:get(":authority"))
"#,
    ),
    (
        "retry",
        "response",
        r#"
  local state = handle:streamInfo():dynamicMetadata():get("bench")
  tokens = math.min(tokens + (state and state["reserved"] or 0) * 1000, 100000)
"#,
    ),
    (
        "telemetry",
        "response",
        r#"
  local info = handle:streamInfo()
  local request = info:dynamicMetadata():get("bench")
  local labels = table.concat({
    handle:headers():get(":status"),
    info:protocol(),
    request and request["method"] or "unknown",
    request and request["service"] or "unknown",
    info:routeName(),
    info:virtualClusterName(),
    info:requestedServerName(),
    info:downstreamRemoteAddress(),
    info:downstreamLocalAddress(),
  }, ";")
  local length = tonumber(handle:headers():get("content-length") or "0")
  local row = series[labels]
  if row == nil then
    row = {0, 0}
    series[labels] = row
  end
  row[1] = row[1] + 1
  row[2] = row[2] + length
"#,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lua_filter_has_only_the_parts_asked_for() {
        let source = |parts: &[&str]| lua(parts).typed_config().to_string();
        let authz = source(&["authz"]);
        assert!(authz.contains("access denied") && !authz.contains("x-meshpack-subset"));
        let both = source(&["canary", "retry"]);
        assert!(both.contains("x-meshpack-subset") && both.contains("x-envoy-max-retries"));
        assert!(!both.contains("table.concat"));
    }
}
