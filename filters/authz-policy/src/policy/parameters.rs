//! Query parameters and cookies: as their standards say, and as servers read
//! them.
//!
//! Names may repeat, and servers take the first, the last or all of them. So a
//! refusal looks at each, and a permission needs each to be allowed.

use std::borrow::Cow;

use super::bytes::trim;
use super::path;
use super::readings::{Readings, hex, unwrapped};

/// One value under a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter<'a> {
    /// None when it could be any.
    name: Option<&'a [u8]>,
    /// None when it could be any.
    pub(crate) value: Option<&'a [u8]>,
    /// Where the standard sees a parameter, with its name and value.
    pub(crate) sent: bool,
    /// The value is read as the standard says, be it where some server only
    /// sees a parameter.
    pub(crate) standard: bool,
}

impl Parameter<'_> {
    /// Whether it has, or may have, this name.
    pub(crate) fn is(&self, name: &[u8]) -> bool {
        self.name.is_none_or(|own| own == name)
    }

    /// Its name; none when it could be any.
    pub(crate) fn name(&self) -> Option<&[u8]> {
        self.name
    }
}

/// Receives parameters, until it says true.
pub(crate) type Test<'t> = &'t mut dyn FnMut(&Parameter<'_>) -> bool;

/// Visits the query's parameters; `every` reading of them, or those that the
/// standard sees.
pub(crate) fn any_in_query(target: &[u8], every: bool, test: Test<'_>) -> bool {
    let query = Syntax::Query { every };
    query.any(path::query(target), test)
        // A server that decodes before it cuts.
        || every && {
            let path = unwrapped(path::without_query(target)).0;
            query.any_unseen(path::query(&path), test)
        }
}

/// Visits the cookies of one header.
pub(crate) fn any_in_cookie(header: &[u8], every: bool, test: Test<'_>) -> bool {
    Syntax::Cookie { every }.any(header, test)
}

#[derive(Clone, Copy)]
enum Syntax {
    Query { every: bool },
    Cookie { every: bool },
}

impl Syntax {
    fn any(self, text: &[u8], test: Test<'_>) -> bool {
        let (separator, every) = match self {
            Self::Query { every } => (b'&', every),
            Self::Cookie { every } => (b';', every),
        };
        text.split(|&byte| byte == separator)
            .any(|part| self.one(part, true, every, test) || every && self.any_unseen(part, test))
    }

    /// What other separators part: a semicolon in a query, a comma or a blank
    /// between cookies.
    fn any_unseen(self, text: &[u8], test: Test<'_>) -> bool {
        let separates = |byte: &u8| match self {
            Self::Query { .. } => matches!(byte, b';' | b'&'),
            Self::Cookie { .. } => matches!(byte, b',' | b' ' | b'\t'),
        };
        text.split(separates)
            .any(|part| self.one(part, false, true, test))
    }

    fn one(self, part: &[u8], sent: bool, every: bool, test: Test<'_>) -> bool {
        let (name, value) = split_at_byte(part, b'=');
        let query = matches!(self, Self::Query { .. });
        if query && part.is_empty() {
            return false;
        }
        let (name, value) = if query {
            (name, value)
        } else {
            (trim(name), trim(value))
        };
        let (plain_name, plain_value) = if query {
            (decoded(name), decoded(value))
        } else {
            (Cow::Borrowed(name), Cow::Borrowed(unquoted(value)))
        };
        let found = test(&Parameter {
            name: Some(&plain_name),
            value: Some(&plain_value),
            sent,
            standard: true,
        });
        if found || !every {
            return found;
        }
        let names = Readings::of_name(name);
        let values = if query {
            Readings::of_query(value)
        } else {
            Readings::of_cookie(value)
        };
        names.all_or_any().any(|name| {
            values.all_or_any().any(|value| {
                test(&Parameter {
                    name,
                    value,
                    sent: false,
                    standard: value == Some(&*plain_value),
                })
            })
        })
    }
}

fn split_at_byte(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|&b| b == separator) {
        Some(at) => (
            text.get(..at).unwrap_or(&[]),
            text.get(at + 1..).unwrap_or(&[]),
        ),
        None => (text, &[]),
    }
}

fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inner @ .., b'"'] => inner,
        _ => text,
    }
}

/// A query parameter's name or value: `+` is a space, `%41` is `A`; what is no
/// valid encoding stays as it is.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|&b| b == b'%' || b == b'+') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        out.push(match (first, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => first,
            },
            _ => first,
        });
    }
    Cow::Owned(out)
}
