//! What ids are hashed with.

use std::fmt;

use super::siphash::siphash;
use super::{Hash, hash};

/// The salt of a split, and its secret part if it has one.
#[derive(Clone, PartialEq, Eq)]
pub struct Salt {
    text: String,
    key: Option<[u64; 2]>,
}

impl Salt {
    /// A salt without a secret part: everybody can compute the arm of an id, a
    /// feature-flag service among them.
    #[must_use]
    pub fn open(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            key: None,
        }
    }

    /// A salt with a secret part: the arm of an id is known to who knows that.
    #[must_use]
    pub fn with_secret(self, secret: &[u8]) -> Self {
        let part = |number: u8| {
            let length = (secret.len() as u64).to_le_bytes();
            let bytes = [&[number], &length[..], secret, self.text.as_bytes()].concat();
            siphash([0, 0], &bytes)
        };
        let key = Some([part(1), part(2)]);
        Self { key, ..self }
    }

    /// The part that is no secret.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether there is a secret part.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.key.is_some()
    }

    /// The 32-bit hash of a client.
    #[must_use]
    pub fn hash(&self, kind: Hash, id: &[u8]) -> u32 {
        match self.key {
            None => hash(kind, &self.text, id),
            Some(key) => siphash(key, id) as u32,
        }
    }

    /// Tells salts apart without giving anything away.
    #[must_use]
    pub(crate) fn fingerprint(&self) -> u64 {
        self.key.map_or(0, |key| siphash(key, b"fingerprint"))
    }
}

/// Without the secret.
impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = if self.is_secret() { " + secret" } else { "" };
        write!(f, "{:?}{secret}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef";

    #[test]
    fn a_secret_shuffles_and_is_not_shown() {
        let open = Salt::open("payments");
        let secret = open.clone().with_secret(SECRET);
        let other = open.clone().with_secret(b"another secret text");
        let in_canary = |salt: &Salt, id: u32| {
            salt.hash(Hash::Flagd, id.to_string().as_bytes()) < u32::MAX / 100
        };
        let both = |a: &Salt, b: &Salt| {
            let ids = 0..100_000;
            ids.filter(|id| in_canary(a, *id) && in_canary(b, *id))
                .count()
        };
        assert!((800..1200).contains(&both(&secret, &secret)));
        assert!(both(&open, &secret) < 40, "independent");
        assert!(both(&other, &secret) < 40, "independent");
        assert_ne!(other.fingerprint(), secret.fingerprint());
        assert_eq!(format!("{secret:?}"), "\"payments\" + secret");
    }
}
