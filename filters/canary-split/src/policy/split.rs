//! A split: whom it takes, its arms, and what makes it the experiment that it is.

use meshpack_sdk::matching::MatchIndex;

use super::abort::AbortConfig;
use super::assign::{Hash, Salt, Schedule, siphash};
use super::request::{KeySource, MissingKey};

/// One split.
#[derive(Debug, Clone)]
pub struct Split {
    /// Metric label.
    pub name: String,
    /// What the client's id is hashed with.
    pub salt: Salt,
    /// Where the salt's secret part comes from.
    pub secret: Secret,
    /// Digest of `match` as written.
    pub traffic: u64,
    /// Whose bucketing.
    pub hash: Hash,
    /// Values of the steering header; the first is the default arm.
    pub arms: Vec<String>,
    /// Weights over time.
    pub schedule: Schedule,
    /// Where the client's id comes from, first present wins.
    pub sticky_by: Vec<KeySource>,
    /// What happens without one.
    pub on_missing_key: MissingKey,
    /// Header and cookie that name an arm.
    pub force: Option<Force>,
    /// Conditions of the rules.
    pub rules: MatchIndex,
    /// Arms of the rules, by position.
    pub rule_arms: Vec<usize>,
    /// When the canary is taken out.
    pub abort: Option<AbortConfig>,
}

/// Where a request may name its arm. The header goes before the cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Force {
    /// Header name, lower-case.
    pub header: Option<String>,
    /// Cookie name.
    pub cookie: Option<String>,
}

/// Whether the salt of a split has a secret part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// No: others shall compute the arms, too.
    Never,
    /// If the VM has the variable that is looked for by default.
    IfThere,
    /// Yes, the value of this variable of the VM.
    Variable(String),
}

impl Split {
    /// Tells experiments apart: those of one identity share their abort, in all
    /// workers, listeners and configurations of a proxy, and others touch nothing
    /// of it. It covers who is asked (`match`), who goes where (salt, secret,
    /// hash, the names of the arms that abort compares) and by which header.
    ///
    /// Weights, keys and limits may change without giving a bad canary a new
    /// chance.
    #[must_use]
    pub fn identity(&self, steering: &str, abort: &AbortConfig) -> u64 {
        let arm = |at: usize| self.arms.get(at).map_or("", String::as_str);
        let mut bytes = self.traffic.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.salt.fingerprint().to_le_bytes());
        bytes.push(self.hash as u8);
        for text in [
            &self.name,
            self.salt.text(),
            arm(abort.arm),
            arm(abort.baseline),
            steering,
        ] {
            push_text(&mut bytes, text);
        }
        siphash([0, 0], &bytes)
    }
}

/// A text and its length, so that two never read as one.
pub(crate) fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}
