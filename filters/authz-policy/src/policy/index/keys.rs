//! Which keys must be in a request for a pattern to match.

use std::net::IpAddr;

use meshpack_sdk::matching::TextMatch;

use super::table::{Form, Hash, Tag};
use crate::policy::cidr::Cidr;
use crate::policy::identity::SPIFFE;
use crate::policy::model::{Pattern, Subject, TokenText};
use crate::policy::path::ReadForm;

/// What a key is a value of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dimension {
    Path,
    ReadPath,
    /// One segment of the path, counted from zero.
    Segment(usize),
    /// One segment of a reading of the path.
    ReadSegment(usize),
    Host,
    ReadHost,
    Method,
    Port,
    DestinationIp,
    ServerName,
    Principal,
    Namespace,
    /// Namespace and account name, joined by a NUL.
    Account,
    TrustDomain,
    Issuer,
    TokenSubject,
    DirectIp,
    RemoteIp,
    Header {
        name: String,
        split: bool,
    },
    Claim {
        path: Vec<String>,
        typed: bool,
    },
    FilterMetadata {
        filter: String,
        key: String,
    },
    Query(String),
    Cookie(String),
    /// Numbers of the regular expressions on a subject that take a value.
    Expressions {
        subject: Subject,
        set: usize,
    },
}

impl Dimension {
    /// Extra cost of looking here: attributes cost a host call, methods and
    /// ports hardly tell requests apart. In units of one candidate's check.
    fn penalty(&self) -> u64 {
        match self {
            Self::Path | Self::ReadPath => 0,
            Self::Segment(_) | Self::ReadSegment(_) | Self::Host | Self::ReadHost => 4,
            Self::Header { .. } | Self::Query(_) | Self::Cookie(_) => 2,
            Self::Method => 16,
            Self::Port | Self::Expressions { .. } => 64,
            _ => 32,
        }
    }
}

/// A key, and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) dimension: Dimension,
    pub(super) form: Form,
    pub(super) bytes: Vec<u8>,
}

impl Key {
    fn exact(dimension: Dimension, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            dimension,
            form: Form::Exact,
            bytes: bytes.into(),
        }
    }

    /// The key of a text match; none for a bare `*`.
    fn text(dimension: Dimension, pattern: &TextMatch) -> Option<Self> {
        let (form, text) = match pattern {
            TextMatch::Exact(text) => (Form::Exact, text),
            TextMatch::Prefix(text) => (Form::Prefix, text),
            TextMatch::Suffix(text) => (Form::Suffix, text),
            TextMatch::Present => return None,
        };
        Some(Self {
            dimension,
            form,
            bytes: text.as_bytes().to_vec(),
        })
    }

    /// A number that stands for the key when keys are counted; a collision only
    /// makes the count a little wrong.
    pub(super) fn fingerprint(&self, dimension: u32) -> u64 {
        let form = self.form;
        Hash::of(Tag { dimension, form }, &self.bytes)
            .byte(form as u8)
            .value()
    }

    pub(super) fn penalty(&self) -> u64 {
        let vague = self.form != Form::Exact && self.bytes.len() < 2;
        self.dimension.penalty() + if vague { 16 } else { 0 }
    }
}

/// The bytes that stand for a block of addresses: its width in bits, its
/// length, its network.
pub(super) fn block_key(network: IpAddr, length: u8) -> ([u8; 18], usize) {
    let mut bytes = [0; 18];
    let (width, octets): (u8, &[u8]) = match &network {
        IpAddr::V4(v4) => (32, &v4.octets()),
        IpAddr::V6(v6) => (128, &v6.octets()),
    };
    for (to, from) in bytes.iter_mut().zip([width, length].iter().chain(octets)) {
        *to = *from;
    }
    (bytes, octets.len() + 2)
}

/// Ways to find a pattern. Any one way is enough, and a request that matches
/// the pattern has at least one of that way's keys. No way at all when the
/// pattern says nothing that a table can hold.
pub(super) fn ways(subject: &Subject, pattern: &Pattern) -> Vec<Vec<Key>> {
    let one = |key: Option<Key>| key.map(|key| vec![key]).into_iter().collect();
    match pattern {
        Pattern::Path(path) => path_ways(path),
        Pattern::Host(host) => {
            let raw = Key::text(Dimension::Host, &host.raw);
            let wide = host
                .widened_by()
                .map(|wide| Key::text(Dimension::ReadHost, wide));
            one_with(raw, wide)
        }
        Pattern::Text(text) => one(text_dimension(subject).and_then(|d| Key::text(d, text))),
        Pattern::Element(inner) => ways(subject, inner),
        Pattern::Port(port) => one(Some(Key::exact(Dimension::Port, port.to_le_bytes()))),
        Pattern::Cidr(block) => one(address_dimension(subject).map(|d| block_of(d, *block))),
        Pattern::Principal(text) => one(principal_key(text)),
        Pattern::Namespace(namespace) => one(namespace
            .literal()
            .map(|literal| Key::exact(Dimension::Namespace, literal))),
        Pattern::ServiceAccount(account) => one(Some(Key::exact(
            Dimension::Account,
            format!("{}\0{}", account.namespace, account.name),
        ))),
        Pattern::TrustDomain(TextMatch::Exact(domain)) => {
            one(Some(Key::exact(Dimension::TrustDomain, domain.as_str())))
        }
        Pattern::RequestPrincipal(principal) => {
            let way = |dimension, text: &TokenText| match text {
                TokenText::Text(text) => Key::text(dimension, text).map(|key| vec![key]),
                TokenText::Any => None,
            };
            way(Dimension::TokenSubject, &principal.subject)
                .into_iter()
                .chain(way(Dimension::Issuer, &principal.issuer))
                .collect()
        }
        Pattern::Regex(regex) => {
            let (set, number) = regex.place();
            let subject = subject.clone();
            let dimension = Dimension::Expressions { subject, set };
            one(Some(Key::exact(dimension, number.to_le_bytes())))
        }
        Pattern::Dots | Pattern::TrustDomain(_) => Vec::new(),
    }
}

/// One way made of a key and, when the pattern is widened, another.
fn one_with(raw: Option<Key>, wide: Option<Option<Key>>) -> Vec<Vec<Key>> {
    match (raw, wide) {
        (Some(raw), None) => vec![vec![raw]],
        (Some(raw), Some(Some(wide))) => vec![vec![raw, wide]],
        _ => Vec::new(),
    }
}

fn text_dimension(subject: &Subject) -> Option<Dimension> {
    Some(match subject {
        Subject::Method => Dimension::Method,
        Subject::ServerName => Dimension::ServerName,
        Subject::Header { name, split } => Dimension::Header {
            name: name.clone(),
            split: *split,
        },
        Subject::Claim { path, typed } => Dimension::Claim {
            path: path.clone(),
            typed: *typed,
        },
        Subject::FilterMetadata { filter, key } => Dimension::FilterMetadata {
            filter: filter.clone(),
            key: key.clone(),
        },
        Subject::Query(name) => Dimension::Query(name.clone()),
        Subject::Cookie(name) => Dimension::Cookie(name.clone()),
        _ => return None,
    })
}

fn address_dimension(subject: &Subject) -> Option<Dimension> {
    Some(match subject {
        Subject::DestinationIp => Dimension::DestinationIp,
        Subject::DirectIp => Dimension::DirectIp,
        Subject::RemoteIp => Dimension::RemoteIp,
        _ => return None,
    })
}

fn block_of(dimension: Dimension, block: Cidr) -> Key {
    let (bytes, length) = block_key(block.network(), block.length());
    Key::exact(dimension, bytes.get(..length).unwrap_or(&[]))
}

fn principal_key(text: &TextMatch) -> Option<Key> {
    let mut key = Key::text(Dimension::Principal, text)?;
    if key.form != Form::Suffix {
        key.bytes = [SPIFFE, &key.bytes].concat();
    }
    Some(key)
}

fn path_ways(path: &crate::policy::path::PathPattern) -> Vec<Vec<Key>> {
    let read = path.widened_by();
    if let Some(text) = path.as_text() {
        let wide = read.map(|form| form.and_then(text_key));
        return one_with(Key::text(Dimension::Path, text), wide);
    }
    let literals = path.text().split('/').skip(1).map_while(|name| match name {
        "{**}" => None,
        "{*}" => Some(None),
        name => Some(Some(name.as_bytes())),
    });
    let raw = template_keys(literals, Dimension::Path, Dimension::Segment);
    match read {
        None => raw.into_iter().map(|key| vec![key]).collect(),
        Some(Some(ReadForm::Segments(template))) => {
            let literals = template.head.iter().map(Option::as_deref);
            let wide = template_keys(literals, Dimension::ReadPath, Dimension::ReadSegment);
            raw.into_iter()
                .zip(wide)
                .map(|(raw, wide)| vec![raw, wide])
                .collect()
        }
        Some(_) => Vec::new(),
    }
}

fn text_key(form: &ReadForm) -> Option<Key> {
    let (form, bytes) = match form {
        ReadForm::Exact(text) => (Form::Exact, text.as_slice()),
        // The path may end where the prefix has its last slash.
        ReadForm::Prefix(text) => (Form::Prefix, text.strip_suffix(b"/").unwrap_or(text)),
        ReadForm::Suffix(text) => (Form::Suffix, text.as_slice()),
        ReadForm::Segments(_) => return None,
    };
    Some(Key {
        dimension: Dimension::ReadPath,
        form,
        bytes: bytes.to_vec(),
    })
}

/// The keys of a template whose segments up to the first `{**}` are these: the
/// text before its first wildcard, and each later literal.
fn template_keys<'a>(
    segments: impl Iterator<Item = Option<&'a [u8]>>,
    whole: Dimension,
    segment: impl Fn(usize) -> Dimension,
) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut prefix = Vec::new();
    let mut at_start = true;
    for (place, literal) in segments.enumerate() {
        match literal {
            Some(name) if at_start => {
                prefix.push(b'/');
                prefix.extend_from_slice(name);
            }
            Some(_) | None => at_start = false,
        }
        if let Some(name) = literal.filter(|name| place > 0 && !name.is_empty()) {
            keys.push(Key::exact(segment(place), name));
        }
    }
    if !prefix.is_empty() {
        let form = Form::Prefix;
        keys.insert(
            0,
            Key {
                dimension: whole,
                form,
                bytes: prefix,
            },
        );
    }
    keys
}
