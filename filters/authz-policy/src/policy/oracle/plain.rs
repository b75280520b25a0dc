//! A plain evaluator: Istio's generated matchers written out on the policy's
//! JSON, one rule after the other, with the very regular expressions that Istio
//! generates. Slow, and right to look at.

use std::net::IpAddr;

use regex_lite::{Regex, escape};
use serde_json::Value as Json;

/// A request in plain words.
#[derive(Debug, Clone, Default)]
pub(super) struct Plain {
    pub(super) path: Option<String>,
    pub(super) host: Option<String>,
    pub(super) method: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) principal: Option<String>,
    pub(super) direct_ip: Option<IpAddr>,
    pub(super) remote_ip: Option<IpAddr>,
    pub(super) destination: Option<(IpAddr, u16)>,
    pub(super) sni: String,
    /// Dynamic metadata by filter.
    pub(super) metadata: Json,
}

/// Whether the request passes, and the id of the rule that decided.
pub(super) fn decide(policies: &[Json], request: &Plain) -> (bool, String) {
    if let Some(id) = first_match(policies, "DENY", request) {
        return (false, id);
    }
    let allows = policies.iter().any(|p| action(p) == "ALLOW" && !dry_run(p));
    match first_match(policies, "ALLOW", request) {
        Some(id) => (true, id),
        None => (!allows, "none".to_owned()),
    }
}

fn first_match(policies: &[Json], wanted: &str, request: &Plain) -> Option<String> {
    let mut ids = Vec::new();
    for policy in policies
        .iter()
        .filter(|p| action(p) == wanted && !dry_run(p))
    {
        let namespace = policy["metadata"]["namespace"]
            .as_str()
            .unwrap_or("default");
        let name = policy["metadata"]["name"].as_str().unwrap();
        for (number, rule) in list(&policy["spec"]["rules"]).iter().enumerate() {
            if rule_matches(rule, namespace, request) {
                ids.push(format!("ns[{namespace}]-policy[{name}]-rule[{number}]"));
            }
        }
    }
    ids.into_iter().min()
}

fn action(policy: &Json) -> &str {
    policy["spec"]["action"].as_str().unwrap_or("ALLOW")
}

fn dry_run(policy: &Json) -> bool {
    policy["metadata"]["annotations"]["istio.io/dry-run"] == "true"
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn texts(value: &Json) -> Vec<&str> {
    list(value).iter().map(|v| v.as_str().unwrap()).collect()
}

fn rule_matches(rule: &Json, namespace: &str, request: &Plain) -> bool {
    let from = list(&rule["from"]);
    let to = list(&rule["to"]);
    (from.is_empty()
        || from
            .iter()
            .any(|f| source(&f["source"], namespace, request)))
        && (to.is_empty() || to.iter().any(|t| operation(&t["operation"], request)))
        && list(&rule["when"])
            .iter()
            .all(|w| condition(w, namespace, request))
}

/// Values ORed, and none of the excluded ones.
fn both(object: &Json, is: &str, not: &str, matches: impl Fn(&str) -> bool) -> bool {
    let (is, not) = (texts(&object[is]), texts(&object[not]));
    (is.is_empty() || is.iter().any(|v| matches(v))) && !not.iter().any(|v| matches(v))
}

fn source(source: &Json, namespace: &str, r: &Plain) -> bool {
    both(source, "principals", "notPrincipals", |v| principal(v, r))
        && both(source, "requestPrincipals", "notRequestPrincipals", |v| {
            request_principal(v, r)
        })
        && both(source, "namespaces", "notNamespaces", |v| {
            peer_namespace(v, r)
        })
        && both(source, "serviceAccounts", "notServiceAccounts", |v| {
            account(v, namespace, r)
        })
        && both(source, "trustDomains", "notTrustDomains", |v| {
            trust_domain(v, r)
        })
        && both(source, "ipBlocks", "notIpBlocks", |v| {
            in_block(v, r.direct_ip)
        })
        && both(source, "remoteIpBlocks", "notRemoteIpBlocks", |v| {
            in_block(v, r.remote_ip)
        })
}

fn operation(operation: &Json, r: &Plain) -> bool {
    both(operation, "hosts", "notHosts", |v| host(v, r))
        && both(operation, "ports", "notPorts", |v| port(v, r))
        && both(operation, "methods", "notMethods", |v| {
            header_text(v, &r.method)
        })
        && both(operation, "paths", "notPaths", |v| path(v, r))
}

fn condition(when: &Json, namespace: &str, r: &Plain) -> bool {
    let key = when["key"].as_str().unwrap();
    both(when, "values", "notValues", |v| match key {
        "source.ip" => in_block(v, r.direct_ip),
        "remote.ip" => in_block(v, r.remote_ip),
        "destination.ip" => in_block(v, r.destination.map(|(ip, _)| ip)),
        "destination.port" => port(v, r),
        "connection.sni" => generic(v, &r.sni),
        "source.principal" => principal(v, r),
        "source.namespace" => peer_namespace(v, r),
        "source.serviceAccount" => account(v, namespace, r),
        "source.trustDomain" => trust_domain(v, r),
        "request.auth.principal" => request_principal(v, r),
        "request.auth.audiences" => claim(&["aud"], v, r),
        "request.auth.presenter" => claim(&["azp"], v, r),
        _ if key.starts_with("request.auth.claims[") => {
            let names = key.strip_prefix("request.auth.claims[").unwrap();
            let names: Vec<&str> = names.strip_suffix(']').unwrap().split("][").collect();
            claim(&names, v, r)
        }
        _ if key.starts_with("request.headers[") => {
            let name = key.strip_prefix("request.headers[").unwrap();
            let name = name.strip_suffix(']').unwrap().to_lowercase();
            r.headers
                .iter()
                .any(|(n, value)| *n == name && header_text(v, value))
        }
        _ => {
            let (filter, key) = key.strip_suffix(']').unwrap().split_once('[').unwrap();
            let filter = filter.strip_prefix("experimental.").unwrap();
            filter_metadata(&r.metadata[filter][key], v)
        }
    })
}

/// A full match of the regular expression.
fn full(regex: &str, text: &str) -> bool {
    Regex::new(&format!("^(?:{regex})$"))
        .unwrap()
        .is_match(text)
}

/// Prefix, suffix or equality; a leading star wins.
fn starred(pattern: &str, text: &str) -> bool {
    if let Some(suffix) = pattern.strip_prefix('*') {
        text.ends_with(suffix)
    } else if let Some(prefix) = pattern.strip_suffix('*') {
        text.starts_with(prefix)
    } else {
        pattern == text
    }
}

fn generic(pattern: &str, text: &str) -> bool {
    if pattern == "*" {
        full(".+", text)
    } else {
        starred(pattern, text)
    }
}

/// Of a header that is there: a lone star takes any value.
fn header_text(pattern: &str, text: &str) -> bool {
    pattern == "*" || starred(pattern, text)
}

fn host(pattern: &str, r: &Plain) -> bool {
    r.host
        .as_ref()
        .is_some_and(|host| header_text(&pattern.to_lowercase(), &host.to_lowercase()))
}

fn path(pattern: &str, r: &Plain) -> bool {
    let Some(path) = &r.path else {
        return false;
    };
    let path = path.split(['?', '#']).next().unwrap();
    if !pattern.contains("{*}") && !pattern.contains("{**}") {
        return generic(pattern, path);
    }
    let regex: Vec<String> = pattern
        .split('/')
        .map(|segment| match segment {
            "{*}" => r"[a-zA-Z0-9\-._~%!$&'()+,;:@=*]+".to_owned(),
            "{**}" => r"[a-zA-Z0-9\-._~%!$&'()+,;:@=*/]*".to_owned(),
            literal => escape(literal),
        })
        .collect();
    full(&regex.join("/"), path)
}

fn port(value: &str, r: &Plain) -> bool {
    r.destination
        .is_some_and(|(_, port)| value.parse() == Ok(port))
}

fn in_block(block: &str, address: Option<IpAddr>) -> bool {
    let (network, length) = match block.split_once('/') {
        Some((network, length)) => (network.parse().unwrap(), length.parse::<u32>().unwrap()),
        None => {
            let network: IpAddr = block.parse().unwrap();
            (network, if network.is_ipv4() { 32 } else { 128 })
        }
    };
    let bits = |address: IpAddr| -> String {
        match address {
            IpAddr::V4(v4) => format!("4{:032b}", u32::from(v4)),
            IpAddr::V6(v6) => format!("6{:0128b}", u128::from(v6)),
        }
    };
    let kept = length as usize + 1;
    address.is_some_and(|address| bits(address).starts_with(&bits(network)[..kept]))
}

fn principal(value: &str, r: &Plain) -> bool {
    let Some(id) = &r.principal else {
        return false;
    };
    if value == "*" {
        full(".+", id)
    } else if let Some(suffix) = value.strip_prefix('*') {
        full(&format!("spiffe://.*{}", escape(suffix)), id)
    } else {
        starred(&format!("spiffe://{value}"), id)
    }
}

fn peer_namespace(value: &str, r: &Plain) -> bool {
    let quoted: Vec<String> = value.split('*').map(escape).collect();
    let regex = format!(".*/ns/{}/.*", quoted.join(".*"));
    r.principal.as_ref().is_some_and(|id| full(&regex, id))
}

fn account(value: &str, namespace: &str, r: &Plain) -> bool {
    let (namespace, name) = value.split_once('/').unwrap_or((namespace, value));
    let regex = format!(
        "spiffe://.+/ns/{}/(.+/|)sa/{}(/.+)?",
        escape(namespace),
        escape(name)
    );
    r.principal.as_ref().is_some_and(|id| full(&regex, id))
}

fn trust_domain(value: &str, r: &Plain) -> bool {
    let regex = match value.split_once('*') {
        None => format!("spiffe://{}/.*", escape(value)),
        Some(("", "")) => "spiffe://.*".to_owned(),
        Some((before, after)) => format!("spiffe://{}[^/]*{}/.*", escape(before), escape(after)),
    };
    r.principal.as_ref().is_some_and(|id| full(&regex, id))
}

fn payload(r: &Plain) -> &Json {
    &r.metadata["envoy.filters.http.jwt_authn"]["payload"]
}

fn request_principal(value: &str, r: &Plain) -> bool {
    let (iss, sub) = (&payload(r)["iss"], &payload(r)["sub"]);
    let (Some(iss), Some(sub)) = (iss.as_str(), sub.as_str()) else {
        return false;
    };
    let some = |text: &str| full(".+", text);
    match value.rsplit_once('/') {
        _ if value == "*" => some(iss) && some(sub),
        Some((i, s)) if value.starts_with('*') => {
            sub == s
                && if i == "*" {
                    some(iss)
                } else {
                    iss.ends_with(&i[1..])
                }
        }
        Some((i, s)) if value.ends_with('*') => {
            iss == i
                && match s {
                    "*" => some(sub),
                    s => sub.starts_with(&s[..s.len() - 1]),
                }
        }
        Some((i, s)) => iss == i && sub == s,
        None if value.starts_with('*') => some(iss) && sub.ends_with(&value[1..]),
        None if value.ends_with('*') => iss.starts_with(&value[..value.len() - 1]) && some(sub),
        None => iss == value && sub.is_empty(),
    }
}

fn claim(names: &[&str], value: &str, r: &Plain) -> bool {
    let mut found = payload(r);
    for name in names {
        found = if found.is_object() {
            &found[*name]
        } else {
            &Json::Null
        };
    }
    let text = |v: &Json| v.as_str().is_some_and(|text| generic(value, text));
    text(found) || list(found).iter().any(text)
}

fn filter_metadata(found: &Json, value: &str) -> bool {
    if value.starts_with('[') && value.ends_with(']') {
        let inner = value.trim_matches(['[', ']']);
        list(found)
            .iter()
            .any(|v| v.as_str().is_some_and(|text| generic(inner, text)))
    } else {
        found.as_str().is_some_and(|text| generic(value, text))
    }
}
