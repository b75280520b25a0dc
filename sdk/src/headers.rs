//! A header map read once, borrowed, as bytes.

use std::fmt;

/// A header map in the ABI's own layout. Nothing is copied and nothing is
/// decoded until it is looked at; names and values may be any bytes.
///
/// Layout: a `u32` count, a pair of `u32` lengths per header, then each name and
/// value followed by a NUL, all little-endian.
#[derive(Debug, Clone, Default)]
pub struct HeaderMap<'a> {
    lengths: &'a [u8],
    bytes: &'a [u8],
    /// Writes made in this callback, so that later readers see them.
    edits: Vec<Edit<'a>>,
}

#[derive(Debug, Clone, Copy)]
enum Edit<'a> {
    Removed(&'a [u8]),
    Added(&'a [u8], &'a [u8]),
}

/// One header, name and value as the client sent them (names lower-case, as
/// Envoy keeps them).
pub type Header<'a> = (&'a [u8], &'a [u8]);

impl<'a> HeaderMap<'a> {
    /// Reads the host's encoding. `None` when it is not one.
    #[must_use]
    pub fn decode(raw: &'a [u8]) -> Option<Self> {
        if raw.is_empty() {
            return Some(Self::default());
        }
        let (count, rest) = raw.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(*count) as usize;
        let (lengths, bytes) = rest.split_at_checked(count.checked_mul(8)?)?;
        let map = Self {
            lengths,
            bytes,
            edits: Vec::new(),
        };
        // Envoy's own encoding is always consistent; a broken one must not make
        // headers disappear silently. Adding up the lengths is cheaper than a walk.
        let announced = lengths.chunks_exact(8).try_fold(0_usize, |sum, both| {
            let both = u64::from_le_bytes(both.try_into().ok()?);
            let (name, value) = (both as u32 as usize, (both >> 32) as usize);
            sum.checked_add(name)?.checked_add(value)?.checked_add(2)
        });
        (announced == Some(bytes.len())).then_some(map)
    }

    fn host_headers(&self) -> HostHeaders<'a> {
        HostHeaders {
            lengths: self.lengths,
            bytes: self.bytes,
        }
    }

    /// All headers in order, repeated ones each on its own.
    pub fn iter(&self) -> impl Iterator<Item = Header<'a>> + '_ {
        self.host_headers()
            .filter(|(name, _)| !self.is_removed(name))
            .chain(self.edits.iter().filter_map(|edit| match *edit {
                Edit::Added(name, value) => Some((name, value)),
                Edit::Removed(_) => None,
            }))
    }

    /// Looks at lengths first, so that a miss touches no text at all.
    fn host_header(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut start = 0_usize;
        for lengths in self.lengths.chunks_exact(8) {
            let both = u64::from_le_bytes(lengths.try_into().ok()?);
            let (name_length, value_length) = (both as u32 as usize, (both >> 32) as usize);
            let value = start + name_length + 1;
            if name_length == name.len() {
                let found = self.bytes.get(start..start + name_length)?;
                if found.last() == name.last() && found == name {
                    return self.bytes.get(value..value + value_length);
                }
            }
            start = value + value_length + 1;
        }
        None
    }

    fn is_removed(&self, name: &[u8]) -> bool {
        self.edits
            .iter()
            .any(|edit| matches!(edit, Edit::Removed(removed) if *removed == name))
    }

    /// The first value of `name` (lower-case).
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        if self.edits.is_empty() {
            return self.host_header(name);
        }
        self.get_all(name).next()
    }

    /// Every value of `name` (lower-case), in order.
    pub fn get_all<'s>(&'s self, name: &'s [u8]) -> impl Iterator<Item = &'a [u8]> + 's {
        self.iter()
            .filter(move |(header, _)| *header == name)
            .map(|(_, value)| value)
    }

    /// Number of headers, for capacities.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// True when there is no header at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub(crate) fn note_removed(&mut self, name: &'a [u8]) {
        self.edits
            .retain(|edit| !matches!(edit, Edit::Added(added, _) if *added == name));
        self.edits.push(Edit::Removed(name));
    }

    pub(crate) fn note_added(&mut self, name: &'a [u8], value: &'a [u8]) {
        self.edits.push(Edit::Added(name, value));
    }
}

/// Walks the encoding; ends early if it is inconsistent.
#[derive(Debug, Clone)]
struct HostHeaders<'a> {
    lengths: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Iterator for HostHeaders<'a> {
    type Item = Header<'a>;

    #[inline]
    fn next(&mut self) -> Option<Header<'a>> {
        let (lengths, rest) = self.lengths.split_first_chunk::<8>()?;
        let both = u64::from_le_bytes(*lengths);
        let (name_length, value_length) = (both as u32 as usize, (both >> 32) as usize);
        let (name, bytes) = self.bytes.split_at_checked(name_length)?;
        let (_, bytes) = bytes.split_first()?;
        let (value, bytes) = bytes.split_at_checked(value_length)?;
        let (_, bytes) = bytes.split_first()?;
        self.lengths = rest;
        self.bytes = bytes;
        Some((name, value))
    }
}

/// Why a header write was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// The name is empty or has a byte that no header name may have.
    Name,
    /// The value has CR, LF or NUL, which would split the message.
    Value,
    /// The host refused.
    Host(crate::HostError),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("not a header name: use letters, digits and !#$%&'*+-.^_`|~"),
            Self::Value => f.write_str("a header value can not hold CR, LF or NUL"),
            Self::Host(error) => write!(f, "the host refused the header: {error}"),
        }
    }
}

impl std::error::Error for HeaderError {}

impl From<crate::HostError> for HeaderError {
    fn from(error: crate::HostError) -> Self {
        Self::Host(error)
    }
}

/// Bytes that may stand in a header name, as a table because every write looks.
static TOKEN: [bool; 128] = {
    let mut table = [false; 128];
    let mut byte = 0;
    while byte < 128 {
        let punctuation = matches!(
            byte as u8,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        #[allow(clippy::indexing_slicing)] // the compiler checks constants
        {
            table[byte] = (byte as u8).is_ascii_alphanumeric() || punctuation;
        }
        byte += 1;
    }
    table
};

/// Checks a header name (RFC 9110 token; a leading `:` for pseudo headers).
///
/// # Errors
/// [`HeaderError::Name`]
pub fn check_name(name: &[u8]) -> Result<(), HeaderError> {
    let token = name.strip_prefix(b":").unwrap_or(name);
    let is_token = |&b: &u8| TOKEN.get(usize::from(b)) == Some(&true);
    if !token.is_empty() && token.iter().all(is_token) {
        Ok(())
    } else {
        Err(HeaderError::Name)
    }
}

/// Checks a header value: anything without CR, LF and NUL.
///
/// # Errors
/// [`HeaderError::Value`]
pub fn check_value(value: &[u8]) -> Result<(), HeaderError> {
    if value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        Err(HeaderError::Value)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::encode_pairs;

    #[test]
    fn any_bytes_survive_and_repeated_headers_stay_apart() {
        let pairs: [Header<'_>; 4] = [
            (b":path", b"/\xff\x00"),
            (b"a", b"1"),
            (b"\xfe", b""),
            (b"a", b"2"),
        ];
        let raw = encode_pairs(&pairs);
        let map = HeaderMap::decode(&raw).unwrap();
        assert_eq!(map.iter().collect::<Vec<_>>(), pairs);
        assert_eq!(map.get(b"a"), Some(&b"1"[..]));
        assert_eq!(map.get_all(b"a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(map.get(b"b"), None);
    }

    #[test]
    fn writes_are_seen_by_later_readers() {
        let raw = encode_pairs(&[(b"a", b"1"), (b"b", b"2")]);
        let mut map = HeaderMap::decode(&raw).unwrap();
        map.note_removed(b"a");
        map.note_added(b"a", b"3");
        assert_eq!(map.get_all(b"a").collect::<Vec<_>>(), [b"3"]);
        map.note_removed(b"a");
        assert_eq!(map.get(b"a"), None);
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn a_broken_encoding_is_refused() {
        let mut raw = encode_pairs(&[(b"a", b"1"), (b"b", b"2")]);
        raw.truncate(raw.len() - 1);
        assert!(HeaderMap::decode(&raw).is_none());
        assert!(HeaderMap::decode(&[255, 255, 255, 255]).is_none());
        assert!(HeaderMap::decode(&[]).unwrap().is_empty());
    }

    #[test]
    fn names_and_values_that_would_split_a_message_are_refused() {
        assert_eq!(check_value(b"a\r\nb: c"), Err(HeaderError::Value));
        assert_eq!(check_value(b"caf\xc3\xa9"), Ok(()));
        for bad in [&b""[..], b"a b", b"a:b", b":", b"a\n"] {
            assert_eq!(check_name(bad), Err(HeaderError::Name));
        }
        assert_eq!(check_name(b":path"), Ok(()));
        assert_eq!(check_name(b"x-a"), Ok(()));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(raw: Vec<u8>) {
            if let Some(map) = HeaderMap::decode(&raw) {
                let _ = map.iter().count();
            }
        }
    }
}
