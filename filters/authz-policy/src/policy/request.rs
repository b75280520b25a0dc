//! A request as policies see it: headers at hand, everything else read when a
//! policy first asks and then kept.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

use meshpack_sdk::HeaderMap;
use meshpack_sdk::config::decimal;
use meshpack_sdk::protobuf::Malformed;

use super::bytes::trim;
use super::cidr::parse_socket_address;
use super::metadata::{self, MetaValue};
use super::model::Subject;
use super::parameters::{self, Test};
use super::path;
use super::readings::Readings;
use super::regex::{Automaton, Steps, Taken};
use super::value::{Reading, Tri, Value};

/// What a proxy knows beyond the headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// First URI SAN of the peer certificate.
    UriSan,
    /// First DNS SAN of the peer certificate.
    DnsSan,
    /// Subject of the peer certificate.
    CertificateSubject,
    /// Identity that an outer (HBONE) connection has left for this one.
    TunnelledPrincipal,
    /// Address of the TCP peer, where the configuration says it is published.
    DirectRemoteAddress,
    /// Address of the client, `ip:port`.
    SourceAddress,
    /// Local address, `ip:port`.
    DestinationAddress,
    /// Server name of the TLS hello.
    ServerName,
    /// All dynamic metadata, a serialized `envoy.config.core.v3.Metadata`.
    Metadata,
}

/// Reads attributes; each costs the proxy a copy, so they are asked for once.
pub trait Attributes {
    /// The attribute's bytes.
    fn read(&self, attribute: Attribute) -> Reading<Vec<u8>>;
}

/// A request.
pub struct Request<'a> {
    headers: &'a HeaderMap<'a>,
    attributes: &'a dyn Attributes,
    hardened: bool,
    payload_keys: &'a [String],
    several_payloads: Cell<bool>,
    automaton: Option<&'a Automaton>,
    steps: Steps,
    /// By set and by the value's place among its subject's.
    taken: RefCell<Vec<Vec<Rc<Taken>>>>,
    full_path: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    method: Option<&'a [u8]>,
    path_readings: OnceCell<Readings>,
    lower_host: OnceCell<Cow<'a, [u8]>>,
    identities: OnceCell<Reading<Vec<Vec<u8>>>>,
    direct_ip: OnceCell<Reading<IpAddr>>,
    remote_ip: OnceCell<Reading<IpAddr>>,
    destination: OnceCell<Reading<(IpAddr, Option<u16>)>>,
    server_name: OnceCell<Reading<Vec<u8>>>,
    metadata: OnceCell<Reading<Vec<u8>>>,
}

impl<'a> Request<'a> {
    /// A request with these headers. `hardened` says that policies ask for
    /// every reading of a path, a parameter or a cookie.
    #[must_use]
    pub fn new(headers: &'a HeaderMap<'a>, attributes: &'a dyn Attributes, hardened: bool) -> Self {
        let mut request = Self {
            headers,
            attributes,
            hardened,
            payload_keys: &[],
            several_payloads: Cell::new(false),
            automaton: None,
            steps: Steps::default(),
            taken: RefCell::default(),
            full_path: None,
            path: None,
            host: None,
            method: None,
            path_readings: OnceCell::new(),
            lower_host: OnceCell::new(),
            identities: OnceCell::new(),
            direct_ip: OnceCell::new(),
            remote_ip: OnceCell::new(),
            destination: OnceCell::new(),
            server_name: OnceCell::new(),
            metadata: OnceCell::new(),
        };
        for (name, value) in headers.iter() {
            match name {
                b":path" => request.full_path = Some(value),
                b":authority" => request.host = Some(value),
                b":method" => request.method = Some(value),
                _ => continue,
            }
            // Envoy puts them first; most requests have all three.
            if request.full_path.is_some() && request.host.is_some() && request.method.is_some() {
                break;
            }
        }
        request.path = request.full_path.map(path::without_query);
        request
    }

    /// With the keys under which jwt_authn leaves the payloads that count; all
    /// that it leaves when none is named.
    #[must_use]
    pub fn payload_keys(mut self, keys: &'a [String]) -> Self {
        self.payload_keys = keys;
        self
    }

    /// With the regular expressions that values are held against.
    #[must_use]
    pub fn automaton(mut self, automaton: &'a Automaton) -> Self {
        self.automaton = Some(automaton);
        self
    }

    /// Which expressions of a set take the value that is at `place` among those of
    /// the set's subject; found once.
    pub fn expressions(&self, set: usize, place: Option<usize>, value: &Value<'_>) -> Rc<Taken> {
        let (Some(automaton), Some(text)) = (self.automaton, value.text()) else {
            return Rc::new(Taken::Undecided);
        };
        let Some(place) = place else {
            return Rc::new(automaton.run(set, &text, &self.steps));
        };
        let mut taken = self.taken.borrow_mut();
        if taken.is_empty() {
            taken.resize_with(automaton.sets(), Vec::new);
        }
        let Some(of_set) = taken.get_mut(set) else {
            return Rc::new(Taken::Undecided);
        };
        if let Some(known) = of_set.get(place) {
            return Rc::clone(known);
        }
        let found = Rc::new(automaton.run(set, &text, &self.steps));
        // Values are looked at in their order, so this one is the next.
        of_set.push(Rc::clone(&found));
        found
    }

    /// The steps that expressions have taken on this request.
    #[must_use]
    pub fn steps(&self) -> &Steps {
        &self.steps
    }

    /// Whether a condition has met several payloads where the configuration
    /// names none.
    #[must_use]
    pub fn met_several_payloads(&self) -> bool {
        self.several_payloads.get() && self.payload_keys.is_empty()
    }

    /// All header entries.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap<'a> {
        self.headers
    }

    /// The path without query, if there is one (CONNECT has none).
    #[must_use]
    pub fn path(&self) -> Option<&'a [u8]> {
        self.path
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Option<&'a [u8]> {
        self.method
    }

    /// The host in lower case.
    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        let host = self.host?;
        Some(self.lower_host.get_or_init(|| {
            if host.iter().any(u8::is_ascii_uppercase) {
                Cow::Owned(host.to_ascii_lowercase())
            } else {
                Cow::Borrowed(host)
            }
        }))
    }

    /// What servers make of the path, when policies ask for it.
    pub(crate) fn path_readings(&self) -> Option<&Readings> {
        let path = self.path().filter(|_| self.hardened)?;
        Some(self.path_readings.get_or_init(|| Readings::of_path(path)))
    }

    /// Whether any value of `subject` passes `test`. Of several tokens each must
    /// give the same answer: where they differ it is unknown whose counts.
    pub fn any(&self, subject: &Subject, test: &mut dyn FnMut(Value<'_>) -> Tri) -> Tri {
        match subject {
            Subject::RequestPrincipal => self.of_payloads(&mut |payload| {
                token(payload).ask(|(issuer, subject)| test(Value::Token { issuer, subject }))
            }),
            // Every value, so that each has its place whatever the one before says.
            Subject::Claim { path, typed } => self.of_payloads(&mut |payload| {
                let mut best = Tri::No;
                let read = any_claim(payload, path, *typed, &mut |value| {
                    best = best.max(test(value));
                    false
                });
                best.max(tri(read))
            }),
            _ => best_of(test, |test| self.any_value(subject, test)),
        }
    }

    fn any_value(&self, subject: &Subject, test: &mut dyn FnMut(Value<'_>) -> bool) -> Tri {
        match subject {
            // Read from each token.
            Subject::RequestPrincipal | Subject::Claim { .. } => Tri::Unknown,
            Subject::Path => Reading::from(self.path()).ask(|raw| {
                let readings = self.path_readings();
                test(Value::Path { raw, readings }).into()
            }),
            Subject::Host => Reading::from(self.host()).ask(|host| test(Value::Host(host)).into()),
            Subject::Method => {
                Reading::from(self.method).ask(|method| test(Value::Text(method)).into())
            }
            Subject::Header { name, split } => self.any_header(name, *split, test).into(),
            Subject::Query(name) => self.any_parameter(Self::any_query, name, test),
            Subject::Cookie(name) => self.any_parameter(Self::any_cookie, name, test),
            Subject::Port => self
                .destination()
                .ask(|(_, port)| port.is_some_and(|port| test(Value::Port(port))).into()),
            Subject::DestinationIp => self
                .destination()
                .ask(|(address, _)| test(Value::Ip(address)).into()),
            Subject::DirectIp => self.direct_ip().ask(|ip| test(Value::Ip(ip)).into()),
            Subject::RemoteIp => self.remote_ip().ask(|ip| test(Value::Ip(ip)).into()),
            Subject::ServerName => self
                .server_name()
                .ask(|name| test(Value::Text(name)).into()),
            Subject::Principal
            | Subject::Namespace
            | Subject::ServiceAccount
            | Subject::TrustDomain => self
                .identities()
                .ask(|identities| identities.iter().any(|id| test(Value::Identity(id))).into()),
            Subject::FilterMetadata { filter, key } => self
                .metadata()
                .ask(|metadata| tri(any_metadata(metadata, filter, key, test))),
        }
    }

    fn any_header(&self, name: &str, split: bool, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.headers
            .get_all(name.as_bytes())
            .any(|value| header_values(value, split, test))
    }

    /// Whether `subject`, a query parameter or a cookie, has a value that passes
    /// `test`, and none that does not, wherever some server sees one.
    pub(crate) fn every(&self, subject: &Subject, test: &mut dyn FnMut(Value<'_>) -> bool) -> Tri {
        let (any, name): (AnyParameter<'a>, _) = match subject {
            Subject::Query(name) => (Self::any_query, name),
            Subject::Cookie(name) => (Self::any_cookie, name),
            _ => return self.any(subject, &mut |value| test(value).into()),
        };
        let mut passes = false;
        let fails = any(self, &mut |parameter| {
            let Some(value) = parameter.value.filter(|_| parameter.standard) else {
                return false;
            };
            let passed = parameter.is(name.as_bytes()) && test(Value::Text(value));
            passes |= passed && parameter.sent;
            parameter.is(name.as_bytes()) && !passed
        });
        (passes && !fails).into()
    }

    fn any_parameter(
        &self,
        any: AnyParameter<'a>,
        name: &str,
        test: &mut dyn FnMut(Value<'_>) -> bool,
    ) -> Tri {
        let mut unknown = Tri::No;
        let found = any(self, &mut |parameter| {
            parameter.is(name.as_bytes())
                && match parameter.value {
                    Some(value) => test(Value::Text(value)),
                    None => {
                        unknown = Tri::Unknown;
                        false
                    }
                }
        });
        if found { Tri::Yes } else { unknown }
    }

    /// Visits the query's parameters, until the test says true.
    pub(crate) fn any_query(&self, test: Test<'_>) -> bool {
        let target = self.full_path.unwrap_or(&[]);
        parameters::any_in_query(target, self.hardened, test)
    }

    /// Visits the cookies, until the test says true.
    pub(crate) fn any_cookie(&self, test: Test<'_>) -> bool {
        self.headers
            .get_all(b"cookie")
            .any(|header| parameters::any_in_cookie(header, self.hardened, test))
    }

    /// The identities of the peer, as RBAC's `authenticated` tries them.
    pub(crate) fn identities(&self) -> Reading<&[Vec<u8>]> {
        self.identities
            .get_or_init(|| self.read_identities())
            .as_ref()
            .and_then(|ids| Reading::Present(ids.as_slice()))
    }

    fn read_identities(&self) -> Reading<Vec<Vec<u8>>> {
        for attribute in [Attribute::UriSan, Attribute::TunnelledPrincipal] {
            match self.text(attribute) {
                Reading::Absent => {}
                found => return found.and_then(|id| Reading::Present(vec![id])),
            }
        }
        let mut names = Vec::new();
        for attribute in [Attribute::DnsSan, Attribute::CertificateSubject] {
            match self.text(attribute) {
                Reading::Present(name) => names.push(name),
                Reading::Absent => {}
                Reading::Unreadable => return Reading::Unreadable,
            }
        }
        if names.is_empty() {
            Reading::Absent
        } else {
            Reading::Present(names)
        }
    }

    /// An attribute that is a name: empty counts as absent, and control bytes
    /// (an embedded NUL cuts names short elsewhere) as unreadable.
    fn text(&self, attribute: Attribute) -> Reading<Vec<u8>> {
        self.attributes.read(attribute).and_then(|text| {
            if text.is_empty() {
                Reading::Absent
            } else if text.iter().any(u8::is_ascii_control) {
                Reading::Unreadable
            } else {
                Reading::Present(text)
            }
        })
    }

    /// Address of the TCP peer. Where it is published nothing at all, the
    /// publishing filter is missing: that is unreadable, not absent.
    pub(crate) fn direct_ip(&self) -> Reading<IpAddr> {
        self.direct_ip
            .get_or_init(|| match self.address(Attribute::DirectRemoteAddress) {
                Reading::Present((ip, _)) => Reading::Present(ip),
                _ => Reading::Unreadable,
            })
            .clone()
    }

    /// Address of the client.
    pub(crate) fn remote_ip(&self) -> Reading<IpAddr> {
        self.remote_ip
            .get_or_init(|| {
                self.address(Attribute::SourceAddress)
                    .and_then(|(ip, _)| Reading::Present(ip))
            })
            .clone()
    }

    pub(crate) fn destination(&self) -> Reading<(IpAddr, Option<u16>)> {
        self.destination
            .get_or_init(|| self.address(Attribute::DestinationAddress))
            .clone()
    }

    /// An address; a socket file's or an internal listener's is none, as for
    /// RBAC.
    fn address(&self, attribute: Attribute) -> Reading<(IpAddr, Option<u16>)> {
        self.attributes.read(attribute).and_then(|text| {
            let no_ip =
                matches!(text.first(), None | Some(b'/' | b'@')) || text.starts_with(b"envoy://");
            match parse_socket_address(&text) {
                Some(address) => Reading::Present(address),
                None if no_ip => Reading::Absent,
                None => Reading::Unreadable,
            }
        })
    }

    /// The server name; RBAC reads none as the empty text.
    pub(crate) fn server_name(&self) -> Reading<&[u8]> {
        self.server_name
            .get_or_init(|| match self.attributes.read(Attribute::ServerName) {
                Reading::Absent => Reading::Present(Vec::new()),
                other => other,
            })
            .as_ref()
            .and_then(|name| Reading::Present(name.as_slice()))
    }

    pub(crate) fn metadata(&self) -> Reading<&[u8]> {
        self.metadata
            .get_or_init(|| self.attributes.read(Attribute::Metadata))
            .as_ref()
            .and_then(|bytes| Reading::Present(bytes.as_slice()))
    }

    /// The answer that all payloads of tokens, serialized `Struct`s, agree on; no
    /// when there are none.
    pub(crate) fn of_payloads(&self, ask: &mut dyn FnMut(&[u8]) -> Tri) -> Tri {
        self.metadata().ask(|metadata| {
            let mut agreed: Option<Tri> = None;
            let read = metadata::payloads(metadata, self.payload_keys, &mut |_, payload| {
                let answer = ask(payload);
                if let Some(before) = agreed {
                    self.several_payloads.set(true);
                    agreed = Some(if before == answer {
                        answer
                    } else {
                        Tri::Unknown
                    });
                } else {
                    agreed = Some(answer);
                }
            });
            match read {
                Ok(()) => agreed.unwrap_or(Tri::No),
                Err(Malformed) => Tri::Unknown,
            }
        })
    }
}

/// [`Request::any_query`] or [`Request::any_cookie`].
type AnyParameter<'a> = fn(&Request<'a>, Test<'_>) -> bool;

/// Issuer and subject; a token without both as texts has none.
fn token(payload: &[u8]) -> Reading<(&[u8], &[u8])> {
    let text = |name: &[u8]| metadata::field(payload, name);
    match (text(b"iss"), text(b"sub")) {
        (Ok(Some(MetaValue::Text(issuer))), Ok(Some(MetaValue::Text(subject)))) => {
            Reading::Present((issuer, subject))
        }
        (Err(Malformed), _) | (_, Err(Malformed)) => Reading::Unreadable,
        _ => Reading::Absent,
    }
}

/// The best answer that a value gets, until one passes.
fn best_of(
    test: &mut dyn FnMut(Value<'_>) -> Tri,
    walk: impl FnOnce(&mut dyn FnMut(Value<'_>) -> bool) -> Tri,
) -> Tri {
    let mut best = Tri::No;
    let read = walk(&mut |value| {
        best = best.max(test(value));
        best == Tri::Yes
    });
    best.max(read)
}

fn tri(answer: Result<bool, Malformed>) -> Tri {
    answer.map_or(Tri::Unknown, Tri::from)
}

/// Tests one header entry: as a whole, or the parts of its comma list.
pub(crate) fn header_values(
    value: &[u8],
    split: bool,
    test: &mut dyn FnMut(Value<'_>) -> bool,
) -> bool {
    if split {
        value
            .split(|&b| b == b',')
            .any(|part| test(Value::Text(trim(part))))
    } else {
        test(Value::Text(value))
    }
}

/// Tests a claim: a text, or any text of a list; with `typed` numbers and
/// booleans too, as JSON writes them.
pub(crate) fn any_claim(
    payload: &[u8],
    path: &[String],
    typed: bool,
    test: &mut dyn FnMut(Value<'_>) -> bool,
) -> Result<bool, Malformed> {
    let mut scalar = |value: MetaValue<'_>| match value {
        MetaValue::Text(text) => test(Value::Text(text)),
        MetaValue::Number(number) if typed => test(Value::Text(decimal(number).as_bytes())),
        MetaValue::Bool(bit) if typed => test(Value::Text(if bit { b"true" } else { b"false" })),
        _ => false,
    };
    match metadata::lookup(payload, path)? {
        Some(MetaValue::List(list)) => {
            for item in metadata::items(list) {
                if scalar(item?) {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Some(value) => Ok(scalar(value)),
        None => Ok(false),
    }
}

fn any_metadata(
    metadata: &[u8],
    filter: &str,
    key: &str,
    test: &mut dyn FnMut(Value<'_>) -> bool,
) -> Result<bool, Malformed> {
    let Some(fields) = metadata::filter(metadata, filter.as_bytes())? else {
        return Ok(false);
    };
    match metadata::field(fields, key.as_bytes())? {
        Some(MetaValue::Text(text)) => Ok(test(Value::Text(text))),
        Some(MetaValue::List(list)) => {
            for item in metadata::items(list) {
                if let MetaValue::Text(text) = item?
                    && test(Value::Element(text))
                {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests;
