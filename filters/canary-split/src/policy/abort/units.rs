//! What requests have in common, so that failures of one kind can be told from
//! failures of the arm.

use std::hash::Hasher as _;
use std::num::NonZeroU32;

use meshpack_sdk::matching::RequestHead;
use mur3::Hasher32;

/// How many leading path segments are looked at, beside the whole path.
const LEVELS: usize = 3;
/// Address, method, host, path levels, path, path with query.
const UNITS: usize = LEVELS + 5;
/// Longest part of a path or host that is hashed, bytes.
const HASHED: usize = 256;
/// A host is lower-cased on the stack; longer ones are cut.
const HOST: usize = 128;

/// Hash of one thing that requests may have in common: an address, a method, a
/// host, a path, its beginnings. Never zero; its lowest bit is free.
pub(super) type Unit = NonZeroU32;

/// The things that a request may have in common with others.
///
/// The hash is keyed with a number that clients do not know: a path that fails
/// can not be chosen so that it looks like one that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Units([Option<Unit>; UNITS]);

impl Units {
    /// Those that the request's headers show.
    #[must_use]
    pub fn of(seed: u32, request: &RequestHead<'_>) -> Self {
        let mut host = [0; HOST];
        let length = request.host().len().min(HOST);
        for (lower, byte) in host.iter_mut().zip(request.host()) {
            *lower = byte.to_ascii_lowercase();
        }
        let host = host.get(..length).unwrap_or_default();
        let whole = request.headers().get(b":path").unwrap_or_default();
        let path = request.path();
        let mut units = [None; UNITS];
        let [_, method, at_host, paths @ .., at_path, at_query] = &mut units;
        *method = Some(hashed(seed, b'm', request.method()));
        *at_host = Some(hashed(seed, b'h', host));
        let cut = path.get(..path.len().min(HASHED)).unwrap_or_default();
        let mut hasher = Hasher32::with_seed(seed ^ u32::from(b'p'));
        let mut from = 0;
        let slashes = cut.iter().enumerate().skip(1).filter(|(_, b)| **b == b'/');
        for (level, (at, _)) in paths.iter_mut().zip(slashes) {
            hasher.write(cut.get(from..at).unwrap_or_default());
            from = at;
            *level = Some(unit(hasher.finish32() ^ at as u32));
        }
        hasher.write(cut.get(from..).unwrap_or_default());
        *at_path = Some(unit(hasher.finish32() ^ path.len() as u32));
        if whole.len() > path.len() {
            *at_query = Some(hashed(seed, b'q', whole));
        }
        Self(units)
    }

    /// The hash of a cluster's name.
    #[must_use]
    pub fn cluster(seed: u32, name: &[u8]) -> u32 {
        hashed(seed, b'c', name).get()
    }

    /// The same with the client's address.
    #[must_use]
    pub fn with_address(mut self, seed: u32, address: &[u8]) -> Self {
        if let [at, ..] = &mut self.0
            && !address.is_empty()
        {
            *at = Some(hashed(seed, b'a', address));
        }
        self
    }

    /// All of them, in a fixed order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Unit> {
        self.0.iter().flatten().copied()
    }

    /// Host and the first path segment together: where a request goes.
    pub(super) fn head(&self) -> u32 {
        let [_, _, host, first, .., path, _] = self.0;
        let number = |unit: Option<Unit>| unit.map_or(0, Unit::get);
        number(host).rotate_left(7) ^ number(first.or(path))
    }
}

/// The hash of one name; bounded work, longer ones differ by their length.
pub(super) fn hashed(seed: u32, kind: u8, name: &[u8]) -> Unit {
    let mut hasher = Hasher32::with_seed(seed ^ u32::from(kind));
    hasher.write(name.get(..name.len().min(HASHED)).unwrap_or_default());
    unit(hasher.finish32() ^ name.len() as u32)
}

fn unit(hash: u32) -> Unit {
    NonZeroU32::MIN.saturating_add(1) | (hash & !1)
}

#[cfg(test)]
impl Units {
    /// Those of a request to `path` at `host`.
    pub(super) fn for_test(address: &[u8], host: &str, path: &str) -> Self {
        let pairs = [(":authority", host), (":path", path)];
        let mut encoded = (pairs.len() as u32).to_le_bytes().to_vec();
        for (name, value) in pairs {
            encoded.extend_from_slice(&(name.len() as u32).to_le_bytes());
            encoded.extend_from_slice(&(value.len() as u32).to_le_bytes());
        }
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            encoded.extend_from_slice(text.as_bytes());
            encoded.push(0);
        }
        let headers = meshpack_sdk::HeaderMap::decode(&encoded).unwrap_or_default();
        Self::of(7, &RequestHead::new(&headers)).with_address(7, address)
    }
}
