//! A rule: sources, operations and conditions.

use meshpack_sdk::config::{Fields, Value};

use super::Scope;
use super::condition::read_condition;
use super::fields::{self, ReadValue, read_list};
use super::possible::excludes_itself;
use crate::policy::model::{Compare, Field, Rule, Subject};

pub(super) fn read_rules(value: &Value<'_>, scope: &Scope<'_>) -> Option<Vec<Rule>> {
    value.list_of(|rule| read_rule(rule, scope))
}

fn read_rule(value: &Value<'_>, scope: &Scope<'_>) -> Option<Rule> {
    let mut fields = value.object()?;
    let from = fields.get("from").map_or(Some(Vec::new()), |v| {
        v.non_empty_list_of(|item| {
            let mut item = item.object()?;
            read_source(&item.required("source")?, scope)
        })
    });
    let to = fields.get("to").map_or(Some(Vec::new()), |v| {
        v.non_empty_list_of(|item| {
            let mut item = item.object()?;
            read_operation(&item.required("operation")?, scope)
        })
    });
    let when = fields.get("when").map_or(Some(Vec::new()), |v| {
        v.list_of(|item| read_condition(item, scope))
    });
    Some(Rule {
        from: from?,
        to: to?,
        when: when?,
    })
}

fn read_source(value: &Value<'_>, scope: &Scope<'_>) -> Option<Vec<Field>> {
    let mut reader = FieldReader {
        fields: value.object()?,
        scope,
        found: Vec::new(),
        complete: true,
    };
    reader.pair(
        ["principals", "notPrincipals"],
        Subject::Principal,
        fields::principal,
    );
    reader.pair(
        ["requestPrincipals", "notRequestPrincipals"],
        Subject::RequestPrincipal,
        fields::request_principal,
    );
    reader.pair(
        ["namespaces", "notNamespaces"],
        Subject::Namespace,
        fields::namespace,
    );
    reader.pair(
        ["serviceAccounts", "notServiceAccounts"],
        Subject::ServiceAccount,
        fields::service_account,
    );
    reader.pair(
        ["trustDomains", "notTrustDomains"],
        Subject::TrustDomain,
        fields::trust_domain,
    );
    reader.pair(
        ["ipBlocks", "notIpBlocks"],
        Subject::DirectIp,
        fields::direct_block,
    );
    reader.pair(
        ["remoteIpBlocks", "notRemoteIpBlocks"],
        Subject::RemoteIp,
        fields::block,
    );
    let found = reader.finish()?;
    let names = |subject: Subject| found.iter().any(|field| field.subject == subject);
    if names(Subject::ServiceAccount) && (names(Subject::Principal) || names(Subject::Namespace)) {
        return value.problem("serviceAccounts do not go with principals or namespaces");
    }
    Some(found)
}

fn read_operation(value: &Value<'_>, scope: &Scope<'_>) -> Option<Vec<Field>> {
    let mut reader = FieldReader {
        fields: value.object()?,
        scope,
        found: Vec::new(),
        complete: true,
    };
    reader.pair(["hosts", "notHosts"], Subject::Host, fields::host);
    reader.pair(["ports", "notPorts"], Subject::Port, fields::port);
    reader.pair(["methods", "notMethods"], Subject::Method, fields::header);
    reader.pair(["paths", "notPaths"], Subject::Path, fields::path);
    reader.finish()
}

struct FieldReader<'a, 's> {
    fields: Fields<'a>,
    scope: &'s Scope<'s>,
    found: Vec<Field>,
    complete: bool,
}

impl FieldReader<'_, '_> {
    /// Reads a list of values and the one of excluded values.
    fn pair(&mut self, keys: [&'static str; 2], subject: Subject, read: ReadValue) {
        let [is, not] = keys;
        let mut list = |key, negated| {
            self.fields.get(key).map_or(Some(Vec::new()), |v| {
                read_list(&v, self.scope, &subject, negated, read)
            })
        };
        match (list(is, false), list(not, true)) {
            (Some(is), Some(not)) if is.is_empty() && not.is_empty() => {}
            (Some(is), Some(not)) => {
                if excludes_itself(&is, &not) {
                    self.scope.settings.doubts.excluded(self.fields.value());
                }
                self.found.push(Field {
                    subject,
                    compare: Compare::AsSent,
                    is,
                    not,
                });
            }
            _ => self.complete = false,
        }
    }

    fn finish(self) -> Option<Vec<Field>> {
        if self.complete && self.found.is_empty() {
            return self
                .fields
                .value()
                .problem("is empty: name at least one field or leave it out");
        }
        self.complete.then_some(self.found)
    }
}
