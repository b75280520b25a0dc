//! The configuration, read once into what the request path uses.

mod abort;
mod arms;
mod identity;
mod keys;
mod label;
mod secret;

use std::rc::Rc;

use meshpack_sdk::config::Value;
use meshpack_sdk::matching::{MatchIndex, RequestMatch};
use meshpack_sdk::metadata::read_payload_keys;
use meshpack_sdk::metrics::label::push_value;
use meshpack_sdk::texts::Texts;

pub use label::{LONGEST, label, tagged};
pub use secret::DEFAULT_SECRET;

use crate::policy::Split;
use crate::policy::assign::{Hash, Salt, Schedule};

/// Name of the steering header unless the configuration gives another.
pub const DEFAULT_HEADER: &str = "x-meshpack-subset";

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Steering header, lower-case.
    pub header: String,
    /// The splits, in order.
    pub splits: Vec<Split>,
    /// Finds the split of a request: the first whose `match` takes it.
    pub index: MatchIndex,
}

impl Config {
    /// Reads a configuration; every problem is noted on the value.
    #[must_use]
    #[cold]
    pub fn read(value: &Value<'_>) -> Option<Self> {
        let mut fields = value.object()?;
        let header = match fields.get("header") {
            Some(header) => keys::read_header(&header, DEFAULT_HEADER),
            None => Some(DEFAULT_HEADER.to_owned()),
        };
        let payload_keys = read_payload_keys(&mut fields);
        let keys: Rc<[String]> = payload_keys.clone().unwrap_or_default().into();
        let splits = fields.get("splits").map(|splits| {
            let read = splits.list_of(|split| read_split(split, header.as_deref(), &keys));
            check_unique_names(&splits);
            read
        });
        drop(fields);
        payload_keys?;
        let (matches, splits) = splits
            .unwrap_or_else(|| Some(Vec::new()))?
            .into_iter()
            .unzip();
        Some(Self {
            header: header?,
            splits,
            index: MatchIndex::new(matches),
        })
    }
}

/// Reads a split; `steering` is the name of the steering header, if that is right,
/// `payload_keys` are those of `jwtPayloadKeys`.
#[cold]
fn read_split(
    value: &Value<'_>,
    steering: Option<&str>,
    payload_keys: &Rc<[String]>,
) -> Option<(RequestMatch, Split)> {
    let mut fields = value.object()?;
    let name = fields
        .required("name")
        .and_then(|name| name.non_empty_string());
    let matcher = fields.get("match");
    let traffic = identity::digest(matcher.as_ref().map(Value::node));
    let matcher = match matcher {
        Some(matcher) => read_match(&matcher, steering),
        None => Some(RequestMatch::any()),
    };
    let salt = fields.get("salt").map(|salt| salt.string());
    let secret = secret::read(fields.get("secretSalt"));
    let hash = match fields.get("hash") {
        Some(hash) => hash.one_of(&[("flagd", Hash::Flagd), ("unleash", Hash::Unleash)]),
        None => Some(Hash::Flagd),
    };
    let arms = fields
        .required("arms")
        .and_then(|arms| arms::read(&arms, hash));
    let values: &[String] = arms.as_ref().map_or(&[], |arms| &arms.values);
    let sticky_by = match fields.get("stickyBy") {
        Some(sources) => keys::read_sources(&sources, steering, payload_keys),
        None => Some(Vec::new()),
    };
    let on_missing_key = keys::read_missing(fields.get("onMissingKey"), fields.get("cookie"));
    let taken = keys::Taken {
        steering,
        sticky: sticky_by.as_deref().unwrap_or_default(),
        minted: on_missing_key.as_ref(),
    };
    let force = fields
        .get("force")
        .map(|force| keys::read_force(&force, &taken));
    let rules = fields
        .get("rules")
        .map(|rules| rules.list_of(|rule| read_rule(rule, values, steering)));
    let ramp = fields
        .get("ramp")
        .map(|ramp| arms::read_ramp(&ramp, arms.as_ref()));
    let abort = fields.get("abort").map(|abort| abort::read(&abort, values));
    drop(fields);

    let name = name?.to_owned();
    let hash = hash?;
    let arms = arms?;
    let ramp = ramp.map_or(Some(None), |ramp| ramp.map(Some))?;
    let (rules, rule_arms) = rules
        .unwrap_or_else(|| Some(Vec::new()))?
        .into_iter()
        .unzip();
    let split = Split {
        salt: Salt::open(salt.map_or(Some(name.as_str()), |salt| salt)?),
        secret: secret?,
        traffic,
        name,
        hash,
        schedule: Schedule::new(hash, arms.shares, ramp),
        arms: arms.values,
        sticky_by: sticky_by?,
        on_missing_key: on_missing_key?,
        force: force.map_or(Some(None), |force| force.map(Some))?,
        rules: MatchIndex::new(rules),
        rule_arms,
        abort: abort.map_or(Some(None), |abort| abort.map(Some))?,
    };
    Some((matcher?, split))
}

#[cold]
fn read_rule(
    value: &Value<'_>,
    arms: &[String],
    steering: Option<&str>,
) -> Option<(RequestMatch, usize)> {
    let mut fields = value.object()?;
    let matcher = fields
        .required("match")
        .and_then(|matcher| read_match(&matcher, steering));
    let arm = fields
        .required("value")
        .and_then(|arm| read_arm(&arm, arms));
    Some((matcher?, arm?))
}

/// The position of an arm named by its value. Without arms (they are broken
/// themselves) there is nothing to compare with, so nothing to report.
#[cold]
fn read_arm(value: &Value<'_>, arms: &[String]) -> Option<usize> {
    let name = value.string()?;
    if arms.is_empty() {
        return None;
    }
    arms.iter().position(|arm| arm == name).or_else(|| {
        let known = arms.join(", ");
        value.problem(format!(
            "{name:?} is not the value of an arm; the arms are {known}"
        ))
    })
}

/// A `match` that does not look at the steering header: what it carries before
/// it is overwritten comes from the client.
#[cold]
fn read_match(value: &Value<'_>, steering: Option<&str>) -> Option<RequestMatch> {
    let matcher = RequestMatch::read(value)?;
    match steering {
        Some(steering) if matcher.names_header(steering) => value.problem(format!(
            "looks at {steering}, the steering header, which carries what the client wrote \
             until it is overwritten: match another header, or use force"
        )),
        _ => Some(matcher),
    }
}

/// Two splits of one name would share their metrics, their abort and, without a
/// salt, their users.
#[cold]
fn check_unique_names(splits: &Value<'_>) {
    let mut seen = Texts::default();
    for split in splits.list().unwrap_or_default() {
        if !matches!(split.node(), meshpack_sdk::config::Node::Object(_)) {
            continue;
        }
        let name = split
            .entries()
            .unwrap_or_default()
            .into_iter()
            .find(|(key, _)| *key == "name");
        if let Some((_, name)) = name
            && let meshpack_sdk::config::Node::String(text) = name.node()
            && !seen.insert(series(text).as_bytes()).is_new
        {
            name.problem::<()>(format!(
                "{text:?} is the name of two splits: give each its own"
            ));
        }
    }
}

/// What of a name is left in a stat's name.
#[cold]
fn series(name: &str) -> String {
    let mut out = String::new();
    push_value(&mut out, label(name).as_bytes(), LONGEST);
    out
}

#[cfg(test)]
mod tests;
