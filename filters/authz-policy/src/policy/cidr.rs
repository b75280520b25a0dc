//! IP addresses and CIDR blocks, read as Go's `net/netip` reads them, because
//! that is what Istio validates and generates with.

use std::fmt;
use std::net::IpAddr;

/// A block of addresses. Host bits are cleared, as Envoy clears them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    network: IpAddr,
    length: u8,
}

impl Cidr {
    /// Reads `10.1.2.3`, `10.0.0.0/8`, `2001:db8::/32`. A bare address is the
    /// block of that one address. Zones (`fe80::1%eth0`) are refused.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            None => (text, None),
            Some((address, length)) => (address, Some(parse_length(length)?)),
        };
        let address: IpAddr = address.parse().ok()?;
        let widest = width(address);
        let length = length.unwrap_or(widest);
        (length <= widest).then(|| Self {
            network: mask(address, length),
            length,
        })
    }

    /// Whether `address` lies in the block. A v4 block never holds a v6
    /// address, v4-mapped ones included.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        width(address) == width(self.network) && mask(address, self.length) == self.network
    }

    /// First address of the block.
    #[must_use]
    pub fn network(self) -> IpAddr {
        self.network
    }

    /// Number of leading bits that count.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == width(self.network) {
            write!(f, "{}", self.network)
        } else {
            write!(f, "{}/{}", self.network, self.length)
        }
    }
}

fn parse_length(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    (plain && !leading_zero)
        .then(|| text.parse().ok())
        .flatten()
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Clears all but the first `length` bits.
pub(crate) fn mask(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let keep = u32::MAX
                .checked_shl(32 - u32::from(length.min(32)))
                .unwrap_or(0);
            IpAddr::V4((u32::from(v4) & keep).into())
        }
        IpAddr::V6(v6) => {
            let keep = u128::MAX
                .checked_shl(128 - u32::from(length.min(128)))
                .unwrap_or(0);
            IpAddr::V6((u128::from(v6) & keep).into())
        }
    }
}

/// Reads an address as Envoy prints one: `10.0.0.1:80`, `[::1]:80`, `10.0.0.1`
/// or `::1`; returns the port when there is one.
#[must_use]
pub fn parse_socket_address(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(address) = parse_address(text) {
        return Some((address, None));
    }
    let (host, port) = text.rsplit_once(':')?;
    let host = host
        .strip_prefix('[')
        .map_or(Some(host), |inner| inner.strip_suffix(']'))?;
    Some((parse_address(host)?, Some(port.parse().ok()?)))
}

/// An address whose zone, if any, does not count: blocks never have one.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.split_once('%').map_or(text, |(bare, _)| bare);
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Cidr, parse_socket_address};

    fn contains(block: &str, address: &str) -> bool {
        Cidr::parse(block)
            .unwrap()
            .contains(address.parse().unwrap())
    }

    #[test]
    fn blocks_hold_their_addresses_and_ignore_host_bits() {
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(contains("10.1.2.3/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("10.1.2.3", "10.1.2.3"));
        assert!(!contains("10.1.2.3", "10.1.2.4"));
        assert!(contains("0.0.0.0/0", "255.255.255.255"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!contains("2001:db8::/32", "2001:db9::1"));
    }

    #[test]
    fn v4_and_v6_never_meet() {
        assert!(!contains("0.0.0.0/0", "::ffff:10.0.0.1"));
        assert!(!contains("::/0", "10.0.0.1"));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            "10.0.0",
            "10.0.0.0/33",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "010.0.0.1",
            "::1/129",
            "fe80::1%eth0",
            " 10.0.0.1",
            "10.0.0.1:80",
        ] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn envoys_ways_to_print_an_address_are_read() {
        let read = |text: &str| {
            parse_socket_address(text.as_bytes()).map(|(ip, port)| (ip.to_string(), port))
        };
        assert_eq!(read("10.0.0.1:80"), Some(("10.0.0.1".into(), Some(80))));
        assert_eq!(read("[::1]:80"), Some(("::1".into(), Some(80))));
        assert_eq!(read("::1"), Some(("::1".into(), None)));
        assert_eq!(read("10.0.0.1"), Some(("10.0.0.1".into(), None)));
        assert_eq!(read("[fe80::1%2]:80"), Some(("fe80::1".into(), Some(80))));
        assert_eq!(read("@/tmp/socket"), None);
        assert_eq!(read("[::1:80"), None);
        assert_eq!(read(""), None);
    }
}
