//! MeshTLSAuthentication and NetworkAuthentication.

use super::super::Resource;
use super::Authentication;
use crate::translate::ledger::Field;
use crate::translate::model::policy::Source;

pub(super) fn read_all(tls: &[&Resource<'_>], networks: &[&Resource<'_>]) -> Vec<Authentication> {
    let of = |kind: &'static str, resource: &Resource<'_>, sources: Vec<Source>| Authentication {
        kind,
        namespace: resource.namespace.clone(),
        name: resource.name.clone(),
        sources,
    };
    let tls = tls
        .iter()
        .map(|resource| of("MeshTLSAuthentication", resource, read_tls(resource)));
    let networks = networks
        .iter()
        .map(|resource| of("NetworkAuthentication", resource, read_networks(resource)));
    tls.chain(networks).collect()
}

fn read_tls(resource: &Resource<'_>) -> Vec<Source> {
    let Some(spec) = resource.field.get("spec") else {
        return Vec::new();
    };
    let mut accounts = Source::default();
    let mut namespaces = Source::default();
    for identity in spec.list("identities") {
        let Some(text) = identity.text() else {
            continue;
        };
        match principal(text) {
            Some(principal) => accounts.principals.push(principal),
            None => identity.lost(format!(
                "{text:?} is not of the form ACCOUNT.NAMESPACE.serviceaccount.identity.linkerd.DOMAIN: these clients will be denied"
            )),
        }
    }
    for reference in spec.list("identityRefs") {
        reference.skip("group");
        let name = reference.text_at("name").unwrap_or_default();
        let namespace = reference
            .text_at("namespace")
            .unwrap_or(&resource.namespace);
        match reference.text_at("kind").unwrap_or_default() {
            "ServiceAccount" => {
                accounts
                    .principals
                    .push(format!("cluster.local/ns/{namespace}/sa/{name}"));
            }
            "Namespace" => namespaces.namespaces.push(name.to_owned()),
            kind => reference.lost(format!(
                "a {kind} is not an identity: its clients will be denied"
            )),
        }
    }
    [accounts, namespaces]
        .into_iter()
        .filter(|source| *source != Source::default())
        .collect()
}

/// A Linkerd identity as Istio writes principals.
fn principal(identity: &str) -> Option<String> {
    if identity == "*" {
        return Some("*".to_owned());
    }
    let (account, rest) = identity.split_once('.')?;
    let (namespace, rest) = rest.split_once('.')?;
    let domain = rest.strip_prefix("serviceaccount.identity.")?;
    let (_, domain) = domain.split_once('.')?;
    Some(format!("{domain}/ns/{namespace}/sa/{account}"))
}

fn read_networks(resource: &Resource<'_>) -> Vec<Source> {
    let spec = resource.field.get("spec");
    let networks = spec.map(|spec| spec.list("networks")).unwrap_or_default();
    networks.iter().filter_map(read_network).collect()
}

fn read_network(field: &Field<'_>) -> Option<Source> {
    Some(Source {
        ip_blocks: vec![field.text_at("cidr")?.to_owned()],
        not_ip_blocks: field
            .get("except")
            .map(|except| except.texts())
            .unwrap_or_default()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        ..Source::default()
    })
}

#[cfg(test)]
mod tests {
    use super::principal;

    #[test]
    fn identities_become_principals() {
        for (identity, expected) in [
            ("*", Some("*")),
            (
                "web.emojivoto.serviceaccount.identity.linkerd.cluster.local",
                Some("cluster.local/ns/emojivoto/sa/web"),
            ),
            (
                "*.emojivoto.serviceaccount.identity.linkerd.cluster.local",
                Some("cluster.local/ns/emojivoto/sa/*"),
            ),
            ("web.example.com", None),
        ] {
            assert_eq!(principal(identity).as_deref(), expected);
        }
    }
}
