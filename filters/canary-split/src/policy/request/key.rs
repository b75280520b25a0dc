//! What identifies a client.

use std::rc::Rc;

use meshpack_sdk::HeaderMap;
use meshpack_sdk::config::decimal;
use meshpack_sdk::metadata::{MetaValue, field, payloads};

use super::{MintedCookie, Outside, cookie_value};

/// Where the id of a client comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A request header (lower-case name), its first value.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A claim of the tokens that jwt_authn has verified.
    Claim(Claim),
    /// The downstream remote address without its port.
    SourceIp,
}

/// What happens to a client that no source identifies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// Each request goes to an arm at random, by weight.
    #[default]
    Random,
    /// It goes to the first arm.
    Default,
    /// It gets an id in a cookie and is assigned by that.
    Cookie(MintedCookie),
}

/// A claim of a verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// Keys of the payloads that count, as [`payloads`] takes them.
    pub keys: Rc<[String]>,
}

/// What a source says of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id<T> {
    /// Nothing.
    Absent,
    /// Several tokens say different things, and nothing tells which of them counts.
    Differs,
    /// Its id, or what was made of it.
    Is(T),
}

impl<T> From<Option<T>> for Id<T> {
    fn from(id: Option<T>) -> Self {
        id.map_or(Self::Absent, Self::Is)
    }
}

impl KeySource {
    /// Hands the id to `look`. An empty id counts as none.
    pub fn with_id<'r, T>(
        &self,
        headers: &HeaderMap<'r>,
        outside: &mut impl Outside<'r>,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Id<T> {
        let id = match self {
            Self::Header(name) => headers.get(name.as_bytes()),
            Self::Cookie(name) => return Self::with_cookie(headers, name, look).into(),
            Self::SourceIp => outside.source_address().map(without_port),
            Self::Claim(claim) => {
                return match claim.id(outside) {
                    Id::Absent => Id::Absent,
                    Id::Differs => Id::Differs,
                    Id::Is(MetaValue::Number(number)) => Id::Is(look(decimal(number).as_bytes())),
                    Id::Is(MetaValue::Text(text)) => Id::Is(look(text)),
                    Id::Is(MetaValue::Bool(true)) => Id::Is(look(b"true")),
                    Id::Is(_) => Id::Is(look(b"false")),
                };
            }
        };
        id.filter(|id| !id.is_empty()).map(look).into()
    }

    /// Hands the id in a cookie to `look`; `None` when it is absent or empty.
    pub fn with_cookie<T>(
        headers: &HeaderMap<'_>,
        name: &str,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        let id = cookie_value(headers, name.as_bytes())?;
        (!id.is_empty()).then(|| look(id))
    }
}

/// `1.2.3.4:80` is `1.2.3.4`, `[::1]:80` is `::1`; what is no `ip:port` stays.
pub(crate) fn without_port(address: &[u8]) -> &[u8] {
    let colon = address.iter().rposition(|&b| b == b':');
    let Some((host, _)) = colon.and_then(|at| address.split_at_checked(at)) else {
        return address;
    };
    let unbracketed = host
        .strip_prefix(b"[")
        .and_then(|host| host.strip_suffix(b"]"));
    unbracketed.unwrap_or(host)
}

impl Claim {
    /// What the payloads agree on of those that have the claim. Which of two tokens
    /// comes first is chance, so where they differ the claim is no id.
    fn id<'r>(&self, outside: &mut impl Outside<'r>) -> Id<MetaValue<'r>> {
        let mut id = Id::Absent;
        let name = self.name.as_bytes();
        // What is left of a message that is broken is no token.
        let _ = payloads(
            outside.metadata().unwrap_or_default(),
            &self.keys,
            &mut |_, payload| {
                let value = field(payload, name).ok().flatten();
                let Some(value) = value.filter(is_id) else {
                    return;
                };
                id = match id {
                    Id::Absent => Id::Is(value),
                    Id::Is(before) if before == value => id,
                    _ => Id::Differs,
                };
            },
        );
        id
    }
}

fn is_id(value: &MetaValue<'_>) -> bool {
    match value {
        MetaValue::Text(text) => !text.is_empty(),
        MetaValue::Number(_) | MetaValue::Bool(_) => true,
        MetaValue::Null | MetaValue::Struct(_) | MetaValue::List(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_port_only() {
        for (address, ip) in [
            ("1.2.3.4:80", "1.2.3.4"),
            ("[::1]:80", "::1"),
            ("[fe80::1%eth0]:80", "fe80::1%eth0"),
            ("/tmp/socket", "/tmp/socket"),
            ("", ""),
        ] {
            assert_eq!(without_port(address.as_bytes()), ip.as_bytes());
        }
    }
}
