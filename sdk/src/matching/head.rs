//! The parts of a request that a match looks at.

use std::cell::OnceCell;

use crate::HeaderMap;

/// A request as a match sees it: host without port, path without query and
/// fragment, method, headers. Each is looked up when it is first asked for,
/// because most matches look at one of them only.
#[derive(Debug, Clone)]
pub struct RequestHead<'h> {
    headers: &'h HeaderMap<'h>,
    host: OnceCell<&'h [u8]>,
    path: OnceCell<&'h [u8]>,
}

impl<'h> RequestHead<'h> {
    /// Looks at a header map; a pseudo header that is missing counts as empty.
    #[must_use]
    pub const fn new(headers: &'h HeaderMap<'h>) -> Self {
        Self {
            headers,
            host: OnceCell::new(),
            path: OnceCell::new(),
        }
    }

    /// Host without port, as the client wrote it (case kept).
    #[must_use]
    pub fn host(&self) -> &'h [u8] {
        self.host
            .get_or_init(|| without_port(self.headers.get(b":authority").unwrap_or_default()))
    }

    /// Path without query and fragment.
    #[must_use]
    pub fn path(&self) -> &'h [u8] {
        self.path
            .get_or_init(|| without_query(self.headers.get(b":path").unwrap_or_default()))
    }

    /// Method.
    #[must_use]
    pub fn method(&self) -> &'h [u8] {
        self.headers.get(b":method").unwrap_or_default()
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &'h HeaderMap<'h> {
        self.headers
    }

    /// Hands `look` the value of a header (lower-case name) and returns its
    /// answer; `None` when the header is absent. Repeated values count as one,
    /// joined by commas, as Envoy's own header matchers see them.
    pub fn with_header<T>(&self, name: &[u8], look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut values = self.headers.get_all(name);
        let first = values.next()?;
        let Some(second) = values.next() else {
            return Some(look(first));
        };
        let mut joined = first.to_vec();
        for value in std::iter::once(second).chain(values) {
            joined.push(b',');
            joined.extend_from_slice(value);
        }
        Some(look(&joined))
    }
}

/// `payments:8080` is `payments`, `[::1]:80` is `[::1]`; anything after the last
/// colon that is not a number stays.
fn without_port(authority: &[u8]) -> &[u8] {
    let mut rest = authority;
    while let [before @ .., last] = rest {
        match last {
            b'0'..=b'9' => rest = before,
            // A bare IPv6 address (`::1`) has no port.
            b':' if before.ends_with(b"]") || !before.contains(&b':') => return before,
            _ => return authority,
        }
    }
    authority
}

fn without_query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|b| matches!(b, b'?' | b'#'));
    end.and_then(|end| path.get(..end)).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode_pairs;

    #[test]
    fn hosts_lose_their_port_and_paths_their_query() {
        for (authority, host) in [
            ("payments:8080", "payments"),
            ("payments", "payments"),
            ("payments:", "payments"),
            ("payments:http", "payments:http"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("::1", "::1"),
            ("10.0.0.1:1", "10.0.0.1"),
            ("", ""),
            (":80", ""),
        ] {
            assert_eq!(without_port(authority.as_bytes()), host.as_bytes());
        }
        assert_eq!(without_query(b"/a?b#c"), b"/a");
        assert_eq!(without_query(b"/a#b?c"), b"/a");
        assert_eq!(without_query(b"/a"), b"/a");
    }

    #[test]
    fn pseudo_headers_are_found_wherever_they_stand() {
        let raw = encode_pairs(&[
            (b"x-a", b"1"),
            (b":method", b"GET"),
            (b"x-a", b"2"),
            (b":path", b"/p?q"),
            (b":authority", b"h:1"),
        ]);
        let map = HeaderMap::decode(&raw).unwrap();
        let head = RequestHead::new(&map);
        assert_eq!((head.host(), head.path()), (&b"h"[..], &b"/p"[..]));
        assert_eq!(head.method(), b"GET");
        assert_eq!(
            head.with_header(b"x-a", <[u8]>::to_vec),
            Some(b"1,2".to_vec())
        );
        assert_eq!(head.with_header(b"x-b", <[u8]>::to_vec), None);
    }
}
