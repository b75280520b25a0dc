//! Cookies: finding one, and minting one that carries an id.

use std::fmt;
use std::time::Duration;

use meshpack_sdk::HeaderMap;

/// The value of the first cookie of that name, without surrounding quotes, as
/// Envoy reads cookies. Empty values are returned as such.
#[must_use]
pub fn cookie_value<'h>(headers: &HeaderMap<'h>, name: &[u8]) -> Option<&'h [u8]> {
    let mut values = headers
        .iter()
        .filter(|(header, _)| *header == b"cookie")
        .map(|(_, value)| value);
    values.find_map(|value| {
        value.split(|&b| b == b';').find_map(|pair| {
            let value = pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"=")?;
            let unquoted = value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""));
            Some(unquoted.unwrap_or(value))
        })
    })
}

/// How an id cookie is minted for clients without a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MintedCookie {
    /// Name of the cookie.
    pub name: String,
    /// Lifetime; without one it ends with the browser's session.
    pub ttl: Option<Duration>,
    /// Path attribute.
    pub path: String,
}

/// A fresh identifier: 128 random bits, written as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieId(pub [u64; 2]);

impl fmt::Display for CookieId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [high, low] = self.0;
        write!(f, "{high:016x}{low:016x}")
    }
}

impl MintedCookie {
    /// The `set-cookie` value. Scripts do not need the id (`HttpOnly`), and it is
    /// sent on top-level navigation from other sites (`SameSite=Lax`), so that a
    /// visitor who follows a link stays in the arm.
    #[must_use]
    pub fn set_cookie(&self, id: CookieId, secure: bool) -> String {
        let mut out = format!("{}={id}", self.name);
        if let Some(ttl) = self.ttl {
            out.push_str("; Max-Age=");
            out.push_str(&ttl.as_secs().to_string());
        }
        out.push_str("; Path=");
        out.push_str(&self.path);
        out.push_str("; HttpOnly; SameSite=Lax");
        if secure {
            out.push_str("; Secure");
        }
        out
    }
}
