//! Looking a request up.

use std::net::IpAddr;

use super::keys::{Dimension, block_key};
use super::table::{Form, Hash, Tag};
use super::{KeyIndex, Names, Use};
use crate::policy::cidr::mask;
use crate::policy::host;
use crate::policy::identity::{SPIFFE, account_names, namespaces};
use crate::policy::metadata;
use crate::policy::model::Subject;
use crate::policy::parameters::Parameter;
use crate::policy::readings::Readings;
use crate::policy::regex::Taken;
use crate::policy::request::{Request, any_claim, header_values};
use crate::policy::value::{Tri, Value};

/// Receives candidates; the same one may come more than once.
type Visit<'v> = &'v mut dyn FnMut(u32);

impl KeyIndex {
    /// Visits every item that may match the request.
    pub(crate) fn candidates(&self, request: &Request<'_>, visit: Visit<'_>) {
        for &item in &self.residue {
            visit(item);
        }
        for &number in &self.plain {
            if let Some(in_use) = self.dimensions.get(number as usize) {
                self.plain(number, in_use, request, visit);
            }
        }
        if self.wants.headers {
            for (name, value) in request.headers().iter() {
                self.named(Names::Header, name, |number, in_use| {
                    let split = matches!(in_use.dimension, Dimension::Header { split: true, .. });
                    header_values(value, split, &mut |value| {
                        self.value(number, in_use, &value, visit)
                    });
                });
            }
        }
        if self.wants.queries {
            request.any_query(&mut |found| self.parameter(Names::Query, found, visit));
        }
        if self.wants.cookies {
            request.any_cookie(&mut |found| self.parameter(Names::Cookie, found, visit));
        }
        if self.wants.claims {
            self.claims(request, visit);
        }
    }

    /// Calls `then` for each dimension that wants values of this name.
    fn named(&self, names: Names, name: &[u8], mut then: impl FnMut(u32, &Use)) {
        let tag = names.tag();
        for &number in self.names.get(tag, Hash::of(tag, name), name) {
            if let Some(in_use) = self.dimensions.get(number as usize) {
                then(number, in_use);
            }
        }
    }

    /// Looks a parameter or cookie up; always false, so that a search goes on.
    fn parameter(&self, names: Names, found: &Parameter<'_>, visit: Visit<'_>) -> bool {
        let mut one = |number: u32, in_use: &Use| match found.value {
            Some(value) => self.text(number, in_use, value, visit),
            None => in_use.all(visit),
        };
        match found.name() {
            Some(name) => self.named(names, name, one),
            None => {
                for (number, in_use) in self.dimensions.iter().enumerate() {
                    if matches!(in_use.dimension, Dimension::Query(_) | Dimension::Cookie(_)) {
                        one(number as u32, in_use);
                    }
                }
            }
        }
        false
    }

    fn claims(&self, request: &Request<'_>, visit: Visit<'_>) {
        let read = request.of_payloads(&mut |payload| {
            let mut read = Tri::No;
            for field in metadata::fields(payload) {
                let Ok((name, _)) = field else {
                    read = Tri::Unknown;
                    continue;
                };
                self.named(Names::Claim, name, |number, in_use| {
                    let Dimension::Claim { path, typed } = &in_use.dimension else {
                        return;
                    };
                    let found = any_claim(payload, path, *typed, &mut |value| {
                        self.value(number, in_use, &value, visit)
                    });
                    if found.is_err() {
                        in_use.all(visit);
                    }
                });
            }
            read
        });
        if read == Tri::Unknown {
            for in_use in &self.dimensions {
                if matches!(in_use.dimension, Dimension::Claim { .. }) {
                    in_use.all(visit);
                }
            }
        }
    }

    fn plain(&self, number: u32, in_use: &Use, request: &Request<'_>, visit: Visit<'_>) {
        let subject = match &in_use.dimension {
            Dimension::Path => {
                if let Some(path) = request.path() {
                    self.text(number, in_use, path, visit);
                }
                return;
            }
            Dimension::Segment(place) => {
                if let Some(segment) = request.path().and_then(|path| segment(path, *place)) {
                    self.text(number, in_use, segment, visit);
                }
                return;
            }
            Dimension::ReadPath | Dimension::ReadSegment(_) => {
                for path in request
                    .path_readings()
                    .into_iter()
                    .flat_map(Readings::all_or_any)
                {
                    let text = match in_use.dimension {
                        Dimension::ReadSegment(place) => path.map(|path| segment(path, place)),
                        _ => path.map(Some),
                    };
                    match text {
                        Some(Some(text)) => self.text(number, in_use, text, visit),
                        Some(None) => {}
                        None => in_use.all(visit),
                    }
                }
                return;
            }
            Dimension::Host => {
                if let Some(host) = request.host() {
                    self.text(number, in_use, host, visit);
                }
                return;
            }
            Dimension::ReadHost => {
                if let Some(host) = request.host() {
                    host::any_reading(host, &mut |host| {
                        self.text(number, in_use, host, visit);
                        false
                    });
                }
                return;
            }
            Dimension::Method => Subject::Method,
            Dimension::Port => Subject::Port,
            Dimension::DestinationIp => Subject::DestinationIp,
            Dimension::ServerName => Subject::ServerName,
            Dimension::DirectIp => Subject::DirectIp,
            Dimension::RemoteIp => Subject::RemoteIp,
            Dimension::Principal
            | Dimension::Namespace
            | Dimension::Account
            | Dimension::TrustDomain => Subject::Principal,
            Dimension::Issuer | Dimension::TokenSubject => Subject::RequestPrincipal,
            Dimension::FilterMetadata { filter, key } => Subject::FilterMetadata {
                filter: filter.clone(),
                key: key.clone(),
            },
            Dimension::Expressions { subject, set } => {
                self.expressions(number, in_use, request, (subject, *set), visit);
                return;
            }
            // Found by name.
            Dimension::Header { .. }
            | Dimension::Claim { .. }
            | Dimension::Query(_)
            | Dimension::Cookie(_) => return,
        };
        let answer = request.any(&subject, &mut |value| {
            self.value(number, in_use, &value, visit).into()
        });
        if answer == Tri::Unknown {
            in_use.all(visit);
        }
    }

    /// Looks up the expressions that take values of the subject, or might.
    fn expressions(
        &self,
        number: u32,
        in_use: &Use,
        request: &Request<'_>,
        (subject, set): (&Subject, usize),
        visit: Visit<'_>,
    ) {
        let mut place = 0;
        let read = request.any(subject, &mut |value| {
            let taken = request.expressions(set, subject.place(place), &value);
            place += 1;
            match &*taken {
                Taken::Known { surely, perhaps } => {
                    for expression in surely.iter().chain(perhaps) {
                        self.text(number, in_use, &expression.to_le_bytes(), visit);
                    }
                }
                Taken::Undecided => in_use.all(visit),
            }
            Tri::No
        });
        if read == Tri::Unknown {
            in_use.all(visit);
        }
    }

    /// Looks one value up; always false, so that a search goes on.
    fn value(&self, number: u32, in_use: &Use, value: &Value<'_>, visit: Visit<'_>) -> bool {
        match (&in_use.dimension, value) {
            (Dimension::Namespace, Value::Identity(id)) => {
                for namespace in namespaces(id) {
                    self.text(number, in_use, namespace, visit);
                }
            }
            (Dimension::Account, Value::Identity(id)) => {
                for namespace in namespaces(id) {
                    for name in account_names(id) {
                        let key = [namespace, b"\0", name].concat();
                        self.text(number, in_use, &key, visit);
                    }
                }
            }
            (Dimension::TrustDomain, Value::Identity(id)) => {
                let rest = id.strip_prefix(SPIFFE).unwrap_or(&[]);
                if let Some(domain) = rest.split(|&b| b == b'/').next() {
                    self.text(number, in_use, domain, visit);
                }
            }
            (Dimension::Issuer, Value::Token { issuer, .. }) => {
                self.text(number, in_use, issuer, visit);
            }
            (Dimension::TokenSubject, Value::Token { subject, .. }) => {
                self.text(number, in_use, subject, visit);
            }
            (_, Value::Text(text) | Value::Element(text) | Value::Identity(text)) => {
                self.text(number, in_use, text, visit);
            }
            (_, Value::Port(port)) => self.text(number, in_use, &port.to_le_bytes(), visit),
            (_, Value::Ip(address)) => self.address(number, in_use, *address, visit),
            _ => {}
        }
        false
    }

    /// Looks a text up: each prefix and suffix of a length that occurs, and the
    /// whole. The hash grows along, so every byte is hashed once each way.
    fn text(&self, dimension: u32, in_use: &Use, text: &[u8], visit: Visit<'_>) {
        let mut hash = Hash::new(dimension);
        let mut done = 0;
        for &length in &in_use.prefixes {
            let Some(prefix) = text.get(..length) else {
                break;
            };
            hash = hash.forward(prefix.get(done..).unwrap_or(&[]));
            done = length;
            self.visit(dimension, Form::Prefix, hash, prefix, visit);
        }
        if in_use.exact {
            hash = hash.forward(text.get(done..).unwrap_or(&[]));
            self.visit(dimension, Form::Exact, hash, text, visit);
        }
        let mut hash = Hash::new(dimension);
        let mut done = text.len();
        for &length in &in_use.suffixes {
            let Some(start) = text.len().checked_sub(length) else {
                break;
            };
            hash = hash.backward(text.get(start..done).unwrap_or(&[]));
            done = start;
            let suffix = text.get(start..).unwrap_or(&[]);
            self.visit(dimension, Form::Suffix, hash, suffix, visit);
        }
    }

    fn address(&self, dimension: u32, in_use: &Use, address: IpAddr, visit: Visit<'_>) {
        let [v4, v6] = &in_use.blocks;
        for &length in if address.is_ipv4() { v4 } else { v6 } {
            let length = length as u8;
            let (bytes, size) = block_key(mask(address, length), length);
            let key = bytes.get(..size).unwrap_or(&[]);
            let hash = Hash::new(dimension).forward(key);
            self.visit(dimension, Form::Exact, hash, key, visit);
        }
    }

    fn visit(&self, dimension: u32, form: Form, hash: Hash, key: &[u8], visit: Visit<'_>) {
        for &item in self.table.get(Tag { dimension, form }, hash, key) {
            visit(item);
        }
    }
}

impl Use {
    fn all(&self, visit: Visit<'_>) {
        for &item in &self.members {
            visit(item);
        }
    }
}

/// A segment of a path, counted from zero.
fn segment(path: &[u8], place: usize) -> Option<&[u8]> {
    path.strip_prefix(b"/")?.split(|&b| b == b'/').nth(place)
}
