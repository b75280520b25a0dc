//! What a constraint is held against: values of a request, and answers that
//! know when they do not know.

use std::borrow::Cow;
use std::net::IpAddr;

use super::identity::SPIFFE;
use super::readings::Readings;

/// One value of a subject in a request.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// A text: a header's value, a claim, a cookie.
    Text(&'a [u8]),
    /// Text of a list's element, where the policy tells lists from texts.
    Element(&'a [u8]),
    /// The path without query.
    Path {
        /// As sent.
        raw: &'a [u8],
        /// What servers make of it, when policies ask for that.
        readings: Option<&'a Readings>,
    },
    /// The host, in lower case.
    Host(&'a [u8]),
    /// An address.
    Ip(IpAddr),
    /// A port.
    Port(u16),
    /// A peer identity, `spiffe://` included.
    Identity(&'a [u8]),
    /// A token's issuer and subject.
    Token {
        /// `iss`
        issuer: &'a [u8],
        /// `sub`
        subject: &'a [u8],
    },
}

impl<'a> Value<'a> {
    /// The text that regular expressions read; identities without `spiffe://`, as
    /// policies write them.
    pub(crate) fn text(&self) -> Option<Cow<'a, [u8]>> {
        match *self {
            Self::Text(text) | Self::Element(text) => Some(Cow::Borrowed(text)),
            Self::Identity(id) => Some(Cow::Borrowed(id.strip_prefix(SPIFFE).unwrap_or(id))),
            Self::Token { issuer, subject } => {
                Some(Cow::Owned([issuer, b"/".as_slice(), subject].concat()))
            }
            _ => None,
        }
    }
}

/// Yes, no, or unknown because something could not be read.
///
/// Kleene's logic, so that "unknown" stays only where the unread part decides:
/// what denies then takes unknown for yes, what allows takes it for no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tri {
    /// Does not match.
    No,
    /// Could not be told.
    Unknown,
    /// Matches.
    Yes,
}

impl Tri {
    /// Both.
    #[must_use]
    pub fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No => Self::No,
            _ => self.min(other()),
        }
    }

    /// Either.
    #[must_use]
    pub fn or(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Yes => Self::Yes,
            _ => self.max(other()),
        }
    }
}

impl std::ops::Not for Tri {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
            Self::Yes => Self::No,
        }
    }
}

impl From<bool> for Tri {
    fn from(answer: bool) -> Self {
        if answer { Self::Yes } else { Self::No }
    }
}

/// Something that a request has, has not, or that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<T> {
    /// It is there.
    Present(T),
    /// The request has none.
    Absent,
    /// It could not be read or made no sense.
    Unreadable,
}

impl<T> Reading<T> {
    /// The value by reference.
    pub fn as_ref(&self) -> Reading<&T> {
        match self {
            Self::Present(value) => Reading::Present(value),
            Self::Absent => Reading::Absent,
            Self::Unreadable => Reading::Unreadable,
        }
    }

    /// Turns a present value into another reading.
    pub fn and_then<U>(self, read: impl FnOnce(T) -> Reading<U>) -> Reading<U> {
        match self {
            Self::Present(value) => read(value),
            Self::Absent => Reading::Absent,
            Self::Unreadable => Reading::Unreadable,
        }
    }

    /// Asks a question of the value; what is absent answers no.
    pub fn ask(self, question: impl FnOnce(T) -> Tri) -> Tri {
        match self {
            Self::Present(value) => question(value),
            Self::Absent => Tri::No,
            Self::Unreadable => Tri::Unknown,
        }
    }
}

impl<T> From<Option<T>> for Reading<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Present)
    }
}
