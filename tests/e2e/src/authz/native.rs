//! AuthorizationPolicy as native RBAC, translated as Istio's control plane
//! does it. Written from Istio's behaviour and on its own: nothing here is
//! shared with the filter.

use meshpack_harness::HttpFilter;
use serde_json::{Map, Value, json};

/// Native RBAC filters that enforce these policies, DENY before ALLOW.
#[must_use]
pub fn enforcing(policies: &[Value]) -> Vec<HttpFilter> {
    each_action(policies, |_, rules| json!({"rules": rules}))
}

/// Native RBAC filters that only note in dynamic metadata what they would have
/// done with a request.
#[must_use]
pub fn shadow(policies: &[Value]) -> Vec<HttpFilter> {
    each_action(policies, |action, rules| {
        json!({
            "shadow_rules": rules,
            "shadow_rules_stat_prefix": format!("{}_", action.to_lowercase()),
        })
    })
}

fn each_action(policies: &[Value], wrap: impl Fn(&str, Value) -> Value) -> Vec<HttpFilter> {
    let kind = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";
    let filter = |action: &str| {
        let rules = rules(policies, action)?;
        let mut config = wrap(action, rules);
        config["@type"] = json!(kind);
        Some(HttpFilter::new("envoy.filters.http.rbac", config))
    };
    ["DENY", "ALLOW"].into_iter().filter_map(filter).collect()
}

/// All rules of one action in one map; none when no policy has that action.
fn rules(policies: &[Value], action: &str) -> Option<Value> {
    let mut map = Map::new();
    let mut any = false;
    for policy in policies {
        let of_policy = policy["spec"]["action"].as_str().unwrap_or("ALLOW");
        let dry_run = policy["metadata"]["annotations"]["istio.io/dry-run"] == "true";
        if of_policy != action || dry_run {
            continue;
        }
        any = true;
        let namespace = policy["metadata"]["namespace"]
            .as_str()
            .unwrap_or("default");
        let name = policy["metadata"]["name"].as_str().unwrap_or_default();
        for (number, rule) in list(&policy["spec"]["rules"]).iter().enumerate() {
            let id = format!("ns[{namespace}]-policy[{name}]-rule[{number}]");
            map.insert(id, rbac_policy(rule, namespace));
        }
    }
    any.then(|| json!({"action": action, "policies": map}))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn texts(value: &Value) -> Vec<&str> {
    list(value).iter().filter_map(Value::as_str).collect()
}

/// Conditions on the destination go with the permissions, the others with the
/// principals; each is repeated in every alternative.
fn rbac_policy(rule: &Value, namespace: &str) -> Value {
    let (mut permissions, mut principals) = (Vec::new(), Vec::new());
    for when in list(&rule["when"]) {
        let key = when["key"].as_str().unwrap_or_default();
        let of_destination = key.starts_with("destination.")
            || key == "connection.sni"
            || key.starts_with("experimental.");
        let kind = if of_destination {
            &PERMISSION
        } else {
            &PRINCIPAL
        };
        let all = [
            constraint(kind, when, ["values", "notValues"], |values| {
                condition(key, values, namespace)
            }),
            // Not Istio's: alone in their condition.
            constraint(kind, when, ["valuesRegex", "notValuesRegex"], |values| {
                expressions(key, values)
            }),
        ]
        .concat();
        if of_destination {
            &mut permissions
        } else {
            &mut principals
        }
        .extend(all);
    }
    let alternatives =
        |items: &[Value], base: &[Value], kind: &Kind, own: &dyn Fn(&Value) -> Vec<Value>| {
            let all: Vec<Value> = if items.is_empty() {
                vec![kind.all(base.to_vec())]
            } else {
                items
                    .iter()
                    .map(|item| kind.all([own(item), base.to_vec()].concat()))
                    .collect()
            };
            all
        };
    json!({
        "permissions": alternatives(list(&rule["to"]), &permissions, &PERMISSION, &|to| {
            operation(&to["operation"])
        }),
        "principals": alternatives(list(&rule["from"]), &principals, &PRINCIPAL, &|from| {
            source(&from["source"], namespace)
        }),
    })
}

/// The words of a kind of matcher.
struct Kind {
    and: [&'static str; 2],
    or: [&'static str; 2],
    not: &'static str,
}

const PERMISSION: Kind = Kind {
    and: ["and_rules", "rules"],
    or: ["or_rules", "rules"],
    not: "not_rule",
};
const PRINCIPAL: Kind = Kind {
    and: ["and_ids", "ids"],
    or: ["or_ids", "ids"],
    not: "not_id",
};

impl Kind {
    fn all(&self, matchers: Vec<Value>) -> Value {
        if matchers.is_empty() {
            return json!({"any": true});
        }
        json!({self.and[0]: {self.and[1]: matchers}})
    }

    fn any(&self, matchers: Vec<Value>) -> Value {
        json!({self.or[0]: {self.or[1]: matchers}})
    }
}

/// Values ORed, and not any of the excluded ones.
fn constraint(
    kind: &Kind,
    object: &Value,
    keys: [&str; 2],
    matchers: impl Fn(&[&str]) -> Vec<Value>,
) -> Vec<Value> {
    let mut out = Vec::new();
    let (is, not) = (texts(&object[keys[0]]), texts(&object[keys[1]]));
    if !is.is_empty() {
        out.push(kind.any(matchers(&is)));
    }
    if !not.is_empty() {
        out.push(json!({kind.not: kind.any(matchers(&not))}));
    }
    out
}

fn each(matcher: impl Fn(&str) -> Value) -> impl Fn(&[&str]) -> Vec<Value> {
    move |values| values.iter().map(|value| matcher(value)).collect()
}

fn source(source: &Value, namespace: &str) -> Vec<Value> {
    let field = |is: &str, not: &str, matchers: &dyn Fn(&[&str]) -> Vec<Value>| {
        constraint(&PRINCIPAL, source, [is, not], matchers)
    };
    [
        field("principals", "notPrincipals", &each(principal)),
        field(
            "requestPrincipals",
            "notRequestPrincipals",
            &each(request_principal),
        ),
        field("namespaces", "notNamespaces", &each(peer_namespace)),
        field(
            "serviceAccounts",
            "notServiceAccounts",
            &each(|v| account(v, namespace)),
        ),
        field("trustDomains", "notTrustDomains", &each(trust_domain)),
        field(
            "ipBlocks",
            "notIpBlocks",
            &each(|v| json!({"direct_remote_ip": cidr(v)})),
        ),
        field(
            "remoteIpBlocks",
            "notRemoteIpBlocks",
            &each(|v| json!({"remote_ip": cidr(v)})),
        ),
    ]
    .concat()
}

fn operation(operation: &Value) -> Vec<Value> {
    let field = |is: &str, not: &str, matcher: fn(&str) -> Value| {
        constraint(&PERMISSION, operation, [is, not], each(matcher))
    };
    [
        field("hosts", "notHosts", |v| header(":authority", v, true)),
        field("ports", "notPorts", port),
        field("methods", "notMethods", |v| header(":method", v, false)),
        field("paths", "notPaths", path),
    ]
    .concat()
}

fn condition(key: &str, values: &[&str], namespace: &str) -> Vec<Value> {
    let one = |matcher: &dyn Fn(&str) -> Value| values.iter().map(|v| matcher(v)).collect();
    match key {
        "source.ip" => one(&|v| json!({"direct_remote_ip": cidr(v)})),
        "remote.ip" => one(&|v| json!({"remote_ip": cidr(v)})),
        "source.namespace" => one(&peer_namespace),
        "source.principal" => one(&principal),
        "source.serviceAccount" => one(&|v| account(v, namespace)),
        "source.trustDomain" => one(&trust_domain),
        "request.auth.principal" => one(&request_principal),
        "request.auth.audiences" => vec![claim(&["aud"], values)],
        "request.auth.presenter" => vec![claim(&["azp"], values)],
        "destination.ip" => one(&|v| json!({"destination_ip": cidr(v)})),
        "destination.port" => one(&port),
        "connection.sni" => one(&|v| json!({"requested_server_name": text(v)})),
        _ => match key.split_once('[') {
            Some(("request.headers", name)) => {
                one(&|v| header(name.trim_end_matches(']'), v, false))
            }
            Some(("request.auth.claims", names)) => {
                let names = names.strip_suffix(']').unwrap_or(names);
                vec![claim(&names.split("][").collect::<Vec<_>>(), values)]
            }
            Some((filter, name)) => {
                let filter = filter.trim_start_matches("experimental.");
                one(&|v| filter_metadata(filter, name.trim_end_matches(']'), v))
            }
            None => panic!("unknown key {key}"),
        },
    }
}

/// `valuesRegex` of a header or a claim, as an operator of native RBAC writes it.
fn expressions(key: &str, patterns: &[&str]) -> Vec<Value> {
    let one = |pattern: &&str| {
        let matcher = regex((*pattern).to_owned());
        let (key, name) = key.split_once('[').expect("a key with a name");
        let name = name.trim_end_matches(']');
        match key {
            "request.headers" => json!({"header": {"name": name, "string_match": matcher}}),
            "request.auth.claims" => {
                metadata(JWT, &["payload", name], json!({"string_match": matcher}))
            }
            _ => panic!("no expressions for {key}"),
        }
    };
    patterns.iter().map(one).collect()
}

/// Istio's generic string matcher.
fn text(value: &str) -> Value {
    if value == "*" {
        json!({"safe_regex": {"regex": ".+"}})
    } else if let Some(suffix) = value.strip_prefix('*') {
        json!({"suffix": suffix})
    } else if let Some(prefix) = value.strip_suffix('*') {
        json!({"prefix": prefix})
    } else {
        json!({"exact": value})
    }
}

fn header(name: &str, value: &str, ignore_case: bool) -> Value {
    if value == "*" {
        return json!({"header": {"name": name, "present_match": true}});
    }
    let mut matcher = text(value);
    matcher["ignore_case"] = json!(ignore_case);
    json!({"header": {"name": name, "string_match": matcher}})
}

fn path(value: &str) -> Value {
    if !value.contains("{*}") && !value.contains("{**}") {
        return json!({"url_path": {"path": text(value)}});
    }
    let kind =
        "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";
    let template = value.replace("{*}", "*").replace("{**}", "**");
    json!({"uri_template": {
        "name": "uri-template",
        "typed_config": {"@type": kind, "path_template": template},
    }})
}

fn port(value: &str) -> Value {
    json!({"destination_port": value.parse::<u32>().expect("a port")})
}

fn cidr(value: &str) -> Value {
    let (address, length) = match value.split_once('/') {
        Some((address, length)) => (address, length.parse().expect("a length")),
        None if value.contains(':') => (value, 128),
        None => (value, 32),
    };
    json!({"address_prefix": address, "prefix_len": length})
}

fn authenticated(matcher: Value) -> Value {
    json!({"authenticated": {"principal_name": matcher}})
}

fn regex(text: String) -> Value {
    json!({"safe_regex": {"regex": text}})
}

/// Go's `regexp.QuoteMeta`.
fn quote(text: &str) -> String {
    let special = |c: char| r"\.+*?()|[]{}^$".contains(c);
    text.chars()
        .flat_map(|c| special(c).then_some('\\').into_iter().chain([c]))
        .collect()
}

fn principal(value: &str) -> Value {
    authenticated(if value == "*" {
        regex(".+".to_owned())
    } else if let Some(suffix) = value.strip_prefix('*') {
        regex(format!("spiffe://.*{}", quote(suffix)))
    } else {
        text(&format!("spiffe://{value}"))
    })
}

fn peer_namespace(value: &str) -> Value {
    let quoted: Vec<String> = value.split('*').map(quote).collect();
    authenticated(regex(format!(".*/ns/{}/.*", quoted.join(".*"))))
}

fn account(value: &str, namespace: &str) -> Value {
    let (namespace, name) = value.split_once('/').unwrap_or((namespace, value));
    authenticated(regex(format!(
        "spiffe://.+/ns/{}/(.+/|)sa/{}(/.+)?",
        quote(namespace),
        quote(name)
    )))
}

fn trust_domain(value: &str) -> Value {
    authenticated(match value.split_once('*') {
        None => json!({"prefix": format!("spiffe://{value}/")}),
        Some(("", "")) => json!({"prefix": "spiffe://"}),
        Some((before, after)) => regex(format!(
            "spiffe://{}[^/]*{}/.*",
            quote(before),
            quote(after)
        )),
    })
}

const JWT: &str = "envoy.filters.http.jwt_authn";

fn metadata(filter: &str, path: &[&str], value: Value) -> Value {
    let path: Vec<Value> = path.iter().map(|key| json!({"key": key})).collect();
    json!({"metadata": {"filter": filter, "path": path, "value": value}})
}

fn request_principal(value: &str) -> Value {
    let any = || json!({"safe_regex": {"regex": ".+"}});
    let exact = |text: &str| json!({"exact": text});
    let (iss, sub) = match value.rfind('/').map(|at| (&value[..at], &value[at + 1..])) {
        _ if value == "*" => (any(), any()),
        Some((iss, sub)) if value.starts_with('*') => {
            let iss = if iss == "*" {
                any()
            } else {
                json!({"suffix": &iss[1..]})
            };
            (iss, exact(sub))
        }
        None if value.starts_with('*') => (any(), json!({"suffix": &value[1..]})),
        Some((iss, "*")) => (exact(iss), any()),
        Some((iss, sub)) if value.ends_with('*') => {
            (exact(iss), json!({"prefix": sub.trim_end_matches('*')}))
        }
        None if value.ends_with('*') => (json!({"prefix": value.trim_end_matches('*')}), any()),
        Some((iss, sub)) => (exact(iss), exact(sub)),
        None => (exact(value), exact("")),
    };
    let claim = |name: &str, matcher: Value| {
        metadata(JWT, &["payload", name], json!({"string_match": matcher}))
    };
    json!({"and_ids": {"ids": [claim("iss", iss), claim("sub", sub)]}})
}

/// A text that matches any of the values, or a list with such a text.
fn claim(names: &[&str], values: &[&str]) -> Value {
    let mut matchers: Vec<Value> = values
        .iter()
        .map(|value| json!({"string_match": text(value)}))
        .collect();
    let any = match matchers.len() {
        1 => matchers.remove(0),
        _ => json!({"or_match": {"value_matchers": matchers}}),
    };
    let path: Vec<&str> = ["payload"].iter().chain(names).copied().collect();
    let list = json!({"list_match": {"one_of": any}});
    metadata(
        JWT,
        &path,
        json!({"or_match": {"value_matchers": [any, list]}}),
    )
}

fn filter_metadata(filter: &str, key: &str, value: &str) -> Value {
    let matcher = if value.starts_with('[') && value.ends_with(']') {
        let inner = value.trim_matches(['[', ']']);
        json!({"list_match": {"one_of": {"string_match": text(inner)}}})
    } else {
        json!({"string_match": text(value)})
    };
    metadata(filter, &[key], matcher)
}
