//! The order of things: force, abort latch, rules, sticky, random.

use meshpack_sdk::HeaderMap;
use meshpack_sdk::matching::RequestHead;

use super::{CookieId, Id, KeySource, MissingKey, Outside, cookie_value};
use crate::policy::Split;

/// Why a request is in its arm; the `reason` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A force header or cookie named the arm.
    Force,
    /// It would be in the aborted arm and goes to the baseline instead.
    Abort,
    /// A rule matched.
    Rule,
    /// Hash of the client's key.
    Sticky,
    /// No key; chosen at random, by weight.
    Random,
    /// No key; the first arm.
    Default,
}

impl Reason {
    /// All reasons, in the order of [`Reason::position`].
    pub const ALL: [Self; 6] = [
        Self::Force,
        Self::Abort,
        Self::Rule,
        Self::Sticky,
        Self::Random,
        Self::Default,
    ];

    /// The label's value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Force => "force",
            Self::Abort => "abort",
            Self::Rule => "rule",
            Self::Sticky => "sticky",
            Self::Random => "random",
            Self::Default => "default",
        }
    }

    /// Position in [`Reason::ALL`].
    #[must_use]
    pub const fn position(self) -> usize {
        self as usize
    }
}

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Position of the arm.
    pub arm: usize,
    /// Why.
    pub reason: Reason,
    /// Hash of the client's key, when it has one.
    pub client: Option<u32>,
    /// An id that the client is to be given as a cookie.
    pub minted: Option<CookieId>,
    /// Whether a claim was passed over because several tokens differ in it.
    pub tokens_differ: bool,
}

impl Decision {
    fn new(arm: usize, reason: Reason) -> Self {
        Self {
            arm,
            reason,
            client: None,
            minted: None,
            tokens_differ: false,
        }
    }
}

impl Split {
    /// Decides one request. `number` is the split's position, for the latch.
    pub fn decide<'r>(
        &mut self,
        number: usize,
        request: &RequestHead<'r>,
        outside: &mut impl Outside<'r>,
    ) -> Decision {
        let headers = request.headers();
        if let Some(arm) = self.forced(headers) {
            return Decision::new(arm, Reason::Force);
        }
        let mut decision = match self.ruled(request) {
            Some(arm) => Decision::new(arm, Reason::Rule),
            None => self.assigned(headers, outside),
        };
        if let Some(abort) = &self.abort
            && decision.arm == abort.arm
            && outside.is_aborted(number)
        {
            decision.arm = abort.baseline;
            decision.reason = Reason::Abort;
        }
        decision
    }

    fn forced(&self, headers: &HeaderMap<'_>) -> Option<usize> {
        let force = self.force.as_ref()?;
        let header = force.header.as_ref().and_then(|name| {
            let value = headers.get(name.as_bytes())?;
            self.arm_named(value)
        });
        header.or_else(|| {
            let name = force.cookie.as_ref()?;
            self.arm_named(cookie_value(headers, name.as_bytes())?)
        })
    }

    /// An arm by its value; `never` is the first and `always` the second arm
    /// unless an arm is called so.
    fn arm_named(&self, name: &[u8]) -> Option<usize> {
        let named = self.arms.iter().position(|arm| arm.as_bytes() == name);
        named.or(match name {
            b"never" => Some(0),
            b"always" if self.arms.len() > 1 => Some(1),
            _ => None,
        })
    }

    fn ruled(&self, request: &RequestHead<'_>) -> Option<usize> {
        if self.rules.is_empty() {
            return None;
        }
        self.rule_arms.get(self.rules.first(request)?).copied()
    }

    fn assigned<'r>(
        &mut self,
        headers: &HeaderMap<'r>,
        outside: &mut impl Outside<'r>,
    ) -> Decision {
        let mut tokens_differ = false;
        let client = self.client(headers, outside, &mut tokens_differ);
        let (client, minted) = match (client, &self.on_missing_key) {
            (Some(client), _) => (Some(client), None),
            (None, MissingKey::Default) => {
                return Decision {
                    tokens_differ,
                    ..Decision::new(0, Reason::Default)
                };
            }
            (None, MissingKey::Random) => (None, None),
            (None, MissingKey::Cookie(_)) => {
                let id = CookieId([outside.secure_random(), outside.secure_random()]);
                let client = self.salt.hash(self.hash, id.to_string().as_bytes());
                (Some(client), Some(id))
            }
        };
        let position = client.unwrap_or_else(|| outside.random());
        let allocation = self.schedule.allocation(|| outside.now());
        Decision {
            arm: allocation.arm(position),
            reason: if client.is_some() {
                Reason::Sticky
            } else {
                Reason::Random
            },
            client,
            minted,
            tokens_differ,
        }
    }

    /// The hash of the first key present; notes whether a claim was passed over.
    fn client<'r>(
        &self,
        headers: &HeaderMap<'r>,
        outside: &mut impl Outside<'r>,
        tokens_differ: &mut bool,
    ) -> Option<u32> {
        let digest = |id: &[u8]| self.salt.hash(self.hash, id);
        let stated = self.sticky_by.iter().find_map(|source| {
            match source.with_id(headers, outside, digest) {
                Id::Is(client) => Some(client),
                Id::Absent => None,
                Id::Differs => {
                    *tokens_differ = true;
                    None
                }
            }
        });
        stated.or_else(|| match &self.on_missing_key {
            MissingKey::Cookie(cookie) => KeySource::with_cookie(headers, &cookie.name, digest),
            _ => None,
        })
    }
}
