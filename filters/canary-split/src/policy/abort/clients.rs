//! Which clients have failed lately.

/// How many failing clients are remembered.
pub(super) const REMEMBERED: usize = 256;

/// The last failing clients. A client's first two failures count and its further
/// ones do not, while it is remembered: one broken client must not condemn the
/// arm that its hash happens to put it into. Two and not one, because a canary
/// with few users still has to be caught; the evidence is discounted by two for
/// it ([`super::burstiness`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clients {
    /// Hashes whose lowest bit says "has failed twice"; a ring.
    ring: [u32; REMEMBERED],
    /// How many were ever added.
    added: u32,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            ring: [0; REMEMBERED],
            added: 0,
        }
    }
}

impl Clients {
    pub(super) fn from_parts(ring: [u32; REMEMBERED], added: u32) -> Self {
        Self { ring, added }
    }

    pub(super) fn parts(&self) -> (&[u32; REMEMBERED], u32) {
        (&self.ring, self.added)
    }

    /// Notes a failure of a client; whether it counts.
    pub(super) fn admit(&mut self, client: u32) -> bool {
        let known = self.ring.iter_mut().take(self.added as usize);
        for entry in known {
            if *entry >> 1 == client >> 1 {
                let counts = *entry & 1 == 0;
                *entry |= 1;
                return counts;
            }
        }
        if let Some(entry) = self.ring.get_mut(self.added as usize % REMEMBERED) {
            *entry = client & !1;
        }
        self.added = match self.added.checked_add(1) {
            Some(added) => added,
            // Keeps the position in the ring, and "full".
            None => REMEMBERED as u32,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_counts_twice_until_it_is_forgotten() {
        let mut clients = Clients::default();
        assert!(clients.admit(0));
        assert!(clients.admit(0));
        assert!(!clients.admit(0));
        for other in 1..=REMEMBERED as u32 {
            assert!(clients.admit(other << 1));
        }
        assert!(clients.admit(0), "pushed out by later clients");
        assert!(clients.admit(4), "seen once so far");
        assert!(!clients.admit(4));
    }
}
