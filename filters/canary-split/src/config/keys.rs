//! `stickyBy`, `onMissingKey`, `cookie` and `force`.

use std::rc::Rc;
use std::time::Duration;

use meshpack_sdk::check_name;
use meshpack_sdk::config::{Node, Value};

use crate::policy::Force;
use crate::policy::request::{Claim, KeySource, MintedCookie, MissingKey};

/// Names that a split uses already.
pub(super) struct Taken<'a> {
    /// The steering header.
    pub(super) steering: Option<&'a str>,
    /// `stickyBy`.
    pub(super) sticky: &'a [KeySource],
    /// `onMissingKey`.
    pub(super) minted: Option<&'a MissingKey>,
}

#[cold]
pub(super) fn read_sources(
    value: &Value<'_>,
    steering: Option<&str>,
    payload_keys: &Rc<[String]>,
) -> Option<Vec<KeySource>> {
    let mut seen = Vec::new();
    value.non_empty_list_of(|item| {
        let source = read_source(item, steering, payload_keys)?;
        if seen.contains(&source) {
            return item.problem("is never reached, it stands further up already: leave it out");
        }
        seen.push(source.clone());
        Some(source)
    })
}

fn read_source(
    value: &Value<'_>,
    steering: Option<&str>,
    payload_keys: &Rc<[String]>,
) -> Option<KeySource> {
    if let Node::String(word) = value.node() {
        if word == "sourceIp" {
            return Some(KeySource::SourceIp);
        }
        return value.problem(format!(
            "{word:?} is not a source: use sourceIp, {{header: NAME}}, {{cookie: NAME}} or {{claim: NAME}}"
        ));
    }
    let mut fields = value.object()?;
    let header = fields.get("header").map(|name| {
        let header = read_header(&name, "x-user-id")?;
        not_steering(&name, header, steering)
    });
    let cookie = fields.get("cookie").map(|name| read_name(&name));
    let claim = fields.get("claim").map(|name| {
        let text = name.non_empty_string()?;
        if text.contains('\0') {
            return name.problem("has a NUL byte, which no claim has");
        }
        Some(Claim {
            name: text.to_owned(),
            keys: Rc::clone(payload_keys),
        })
    });
    match (header, cookie, claim) {
        (Some(name), None, None) => Some(KeySource::Header(name?)),
        (None, Some(name), None) => Some(KeySource::Cookie(name?.to_owned())),
        (None, None, Some(name)) => Some(KeySource::Claim(name?)),
        _ => value.problem("names not exactly one source: use one of header, cookie and claim"),
    }
}

fn not_steering(value: &Value<'_>, header: String, steering: Option<&str>) -> Option<String> {
    if steering == Some(header.as_str()) {
        return value.problem(format!(
            "{header:?} is the steering header, which is overwritten on every request so that \
             nobody forges it: use a header of its own"
        ));
    }
    Some(header)
}

/// The lower-case name of a header that requests can carry for this filter.
#[cold]
pub(super) fn read_header(value: &Value<'_>, example: &str) -> Option<String> {
    let name = value.non_empty_string()?;
    if name.starts_with(':') || check_name(name.as_bytes()).is_err() {
        return value.problem(format!(
            "{name:?} is not a header name: use letters, digits and -, as in {example:?}"
        ));
    }
    let name = name.to_ascii_lowercase();
    if matches!(
        name.as_str(),
        "host" | "cookie" | "content-length" | "transfer-encoding" | "connection"
    ) {
        return value.problem(format!(
            "{name:?} means something else to every server: use a header of your own, as in {example:?}"
        ));
    }
    Some(name)
}

/// A header or cookie name; both are tokens (RFC 9110, RFC 6265).
fn read_name<'a>(value: &Value<'a>) -> Option<&'a str> {
    let name = value.non_empty_string()?;
    if name.starts_with(':') || check_name(name.as_bytes()).is_err() {
        return value.problem(format!(
            "{name:?} is not a name: use letters, digits and -._"
        ));
    }
    Some(name)
}

#[cold]
pub(super) fn read_missing(
    mode: Option<Value<'_>>,
    cookie: Option<Value<'_>>,
) -> Option<MissingKey> {
    #[derive(Clone, Copy)]
    enum Mode {
        Random,
        Default,
        Cookie,
    }
    let choices = [
        ("random", Mode::Random),
        ("default", Mode::Default),
        ("cookie", Mode::Cookie),
    ];
    let minted = cookie.as_ref().map(read_cookie);
    let chosen = mode
        .as_ref()
        .map_or(Some(Mode::Random), |mode| mode.one_of(&choices))?;
    match (chosen, cookie, minted) {
        (Mode::Cookie, _, Some(minted)) => Some(MissingKey::Cookie(minted?)),
        (Mode::Cookie, _, None) => {
            mode?.problem("needs to know the cookie: add cookie: {name: NAME, ttl: 720h, path: /}")
        }
        (_, Some(cookie), _) => {
            cookie.problem("is minted only with onMissingKey: cookie: set that or leave this out")
        }
        (Mode::Random, None, _) => Some(MissingKey::Random),
        (Mode::Default, None, _) => Some(MissingKey::Default),
    }
}

#[cold]
fn read_cookie(value: &Value<'_>) -> Option<MintedCookie> {
    let mut fields = value.object()?;
    let name = fields.required("name").and_then(|name| read_name(&name));
    let ttl = fields
        .get("ttl")
        .map(|ttl| ttl.duration(Duration::from_secs(1)));
    let path = fields.get("path").map_or(Some("/"), |path| {
        let text = path.string()?;
        let plain = |b: u8| (b' '..=b'~').contains(&b) && b != b';';
        if text.starts_with('/') && text.bytes().all(plain) {
            return Some(text);
        }
        path.problem(format!(
            "{text:?} is not a cookie path: it starts with / and has no ;"
        ))
    });
    Some(MintedCookie {
        name: name?.to_owned(),
        ttl: ttl.map_or(Some(None), |ttl| ttl.map(Some))?,
        path: path?.to_owned(),
    })
}

#[cold]
pub(super) fn read_force(value: &Value<'_>, taken: &Taken<'_>) -> Option<Force> {
    let mut fields = value.object()?;
    let header = fields.get("header").map(|name| {
        let header = not_steering(&name, read_header(&name, "x-canary")?, taken.steering)?;
        if taken
            .sticky
            .iter()
            .any(|source| matches!(source, KeySource::Header(own) if *own == header))
        {
            return name.problem(IS_THE_KEY);
        }
        Some(header)
    });
    let cookie = fields.get("cookie").map(|name| {
        let cookie = read_name(&name)?;
        let sticky = |source: &KeySource| matches!(source, KeySource::Cookie(own) if own == cookie);
        let minted = matches!(taken.minted, Some(MissingKey::Cookie(own)) if own.name == cookie);
        if minted || taken.sticky.iter().any(sticky) {
            return name.problem(IS_THE_KEY);
        }
        Some(cookie)
    });
    if header.is_none() && cookie.is_none() {
        return value.problem("names nothing that could force: give a header or a cookie");
    }
    Some(Force {
        header: header.map_or(Some(None), |name| name.map(Some))?,
        cookie: cookie
            .map_or(Some(None), |name| name.map(Some))?
            .map(str::to_owned),
    })
}

/// One value can not both be a user's id and name an arm.
const IS_THE_KEY: &str = "carries the id that the split is sticky by, so a user called like \
                          an arm would be forced into it: use a name of its own";
