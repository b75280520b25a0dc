//! What identifies a client.

use meshpack_sdk::HeaderMap;

use super::{MintedCookie, Outside, cookie_value};

/// Where the id of a client comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A request header (lower-case name), its first value.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A claim of the token that jwt_authn has verified: the attribute path of
    /// the claim in the filter's metadata, NUL-joined.
    Claim(Vec<u8>),
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

impl KeySource {
    /// The attribute path under which jwt_authn leaves a claim, with the
    /// metadata key that Istio gives it.
    #[must_use]
    pub fn claim(name: &str) -> Self {
        Self::Claim(meshpack_sdk::attributes::path([
            "metadata",
            "filter_metadata",
            "envoy.filters.http.jwt_authn",
            "payload",
            name,
        ]))
    }

    /// Hands the id to `look`; `None` when this source has none. An empty id
    /// counts as none.
    pub fn with_id<'r, T>(
        &self,
        headers: &HeaderMap<'r>,
        outside: &mut impl Outside<'r>,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        let id = match self {
            Self::Header(name) => headers.get(name.as_bytes())?,
            Self::Cookie(name) => return Self::with_cookie(headers, name, look),
            Self::SourceIp => without_port(outside.source_address()?),
            Self::Claim(path) => {
                let bytes = outside.attribute(path)?;
                if let Some(number) = number_claim(bytes) {
                    return Some(look(number.to_string().as_bytes()));
                }
                bytes
            }
        };
        (!id.is_empty()).then(|| look(id))
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

/// A whole number that Envoy has encoded as a little-endian double, as it does
/// with numeric claims. Text of the same length is not taken for one: the double
/// of a whole number below 2^53 holds a control byte or is not UTF-8, unless the
/// number is so large that no id looks like it.
fn number_claim(bytes: &[u8]) -> Option<i64> {
    let encoded: [u8; 8] = bytes.try_into().ok()?;
    let text = std::str::from_utf8(bytes);
    if text.is_ok_and(|text| !text.contains(char::is_control)) {
        return None;
    }
    let number = f64::from_le_bytes(encoded);
    let whole = number as i64;
    (whole as f64 == number && whole.unsigned_abs() <= 1 << 53).then_some(whole)
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

    #[test]
    fn numeric_claims_read_as_their_decimal_text() {
        for number in [0_i64, 1, -7, 12345, 4_294_967_296, (1 << 53) - 1] {
            let encoded = (number as f64).to_le_bytes();
            assert_eq!(number_claim(&encoded), Some(number));
        }
        assert_eq!(number_claim(b"12345678"), None);
        assert_eq!(number_claim(b"user"), None);
        assert_eq!(number_claim(&0.5_f64.to_le_bytes()), None);
        assert_eq!(number_claim(&f64::NAN.to_le_bytes()), None);
    }
}
