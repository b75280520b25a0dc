//! Dynamic metadata as Envoy hands it over: a serialized
//! `envoy.config.core.v3.Metadata`, read where it lies.
//!
//! The whole message is one host call and keeps the types that the property
//! path `metadata.filter_metadata.…` loses. Nothing is decoded ahead: a lookup
//! walks the bytes of the levels it needs, so depth is bounded by the path
//! that a policy names and not by what the message holds.
//!
//! Its functions are called cold, which keeps them small in every filter that has
//! them; the host call before them costs far more.

mod encode;

pub use encode::encode;

use crate::config::Fields;
use crate::protobuf::{Content, Malformed, Reader};

/// The filter that leaves the payloads of tokens which it has verified.
const JWT_AUTHN: &[u8] = b"envoy.filters.http.jwt_authn";

/// A `google.protobuf.Value`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetaValue<'a> {
    /// `null`, or a value without a kind.
    Null,
    /// A number.
    Number(f64),
    /// A string, as bytes.
    Text(&'a [u8]),
    /// A boolean.
    Bool(bool),
    /// A serialized `Struct`.
    Struct(&'a [u8]),
    /// A serialized `ListValue`.
    List(&'a [u8]),
}

/// The `Struct` of one filter, e.g. `envoy.filters.http.jwt_authn`.
///
/// # Errors
/// When the message is broken.
#[cold]
pub fn filter<'a>(metadata: &'a [u8], name: &[u8]) -> Result<Option<&'a [u8]>, Malformed> {
    let mut found = None;
    for entry in Messages::new(metadata, 1) {
        let (key, value) = map_entry(entry?)?;
        if key == name {
            found = Some(value);
        }
    }
    Ok(found)
}

/// The field `key` of a `Struct`.
///
/// # Errors
/// When the message is broken.
#[cold]
pub fn field<'a>(fields: &'a [u8], key: &[u8]) -> Result<Option<MetaValue<'a>>, Malformed> {
    let mut found = None;
    for entry in Messages::new(fields, 1) {
        let (name, value) = map_entry(entry?)?;
        if name == key {
            found = Some(value_of(value)?);
        }
    }
    Ok(found)
}

/// The fields of a `Struct`, by name, in wire order.
pub fn fields(fields: &[u8]) -> impl Iterator<Item = Result<(&[u8], MetaValue<'_>), Malformed>> {
    Messages::new(fields, 1).map(|entry| {
        let (name, value) = map_entry(entry?)?;
        Ok((name, value_of(value)?))
    })
}

/// The value under a path of keys; `None` when any of them is absent or the
/// path leads through something that is not a `Struct`.
///
/// # Errors
/// When the message is broken.
pub fn lookup<'a, K: AsRef<[u8]>>(
    fields: &'a [u8],
    path: impl IntoIterator<Item = K>,
) -> Result<Option<MetaValue<'a>>, Malformed> {
    let mut value = MetaValue::Struct(fields);
    for key in path {
        let MetaValue::Struct(inner) = value else {
            return Ok(None);
        };
        match field(inner, key.as_ref())? {
            Some(next) => value = next,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// The items of a `ListValue`.
pub fn items(list: &[u8]) -> impl Iterator<Item = Result<MetaValue<'_>, Malformed>> {
    Messages::new(list, 1).map(|item| value_of(item?))
}

/// The payloads of a request's tokens, as jwt_authn has left them in `metadata`,
/// each with the key it stands under. `keys` names those that count, in any
/// order; when it names none every payload counts: whoever configures jwt_authn
/// chooses the key (Istio writes `payload`, Envoy Gateway the provider's name),
/// and one that is overlooked would be a token that nobody has seen.
///
/// # Errors
/// When the message is broken.
pub fn payloads<'a>(
    metadata: &'a [u8],
    keys: &[String],
    visit: &mut dyn FnMut(&'a [u8], &'a [u8]),
) -> Result<(), Malformed> {
    let Some(left) = filter(metadata, JWT_AUTHN)? else {
        return Ok(());
    };
    for entry in fields(left) {
        let (key, value) = entry?;
        let counts = keys.is_empty() || keys.iter().any(|name| name.as_bytes() == key);
        if let (true, MetaValue::Struct(payload)) = (counts, value) {
            visit(key, payload);
        }
    }
    Ok(())
}

/// Reads `jwtPayloadKeys`, the keys for [`payloads`]: none when it is not there.
#[must_use]
#[cold]
pub fn read_payload_keys(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    fields.get("jwtPayloadKeys").map_or(Some(Vec::new()), |v| {
        v.non_empty_list_of(|key| key.non_empty_string().map(str::to_owned))
    })
}

#[cold]
fn value_of(bytes: &[u8]) -> Result<MetaValue<'_>, Malformed> {
    let mut value = MetaValue::Null;
    let mut reader = Reader::new(bytes);
    while let Some((field, content)) = reader.next_field()? {
        value = match (field, content) {
            (1, Content::Varint(_)) => MetaValue::Null,
            (2, Content::Fixed64(bits)) => MetaValue::Number(f64::from_bits(bits)),
            (3, Content::Bytes(text)) => MetaValue::Text(text),
            (4, Content::Varint(bit)) => MetaValue::Bool(bit != 0),
            (5, Content::Bytes(inner)) => MetaValue::Struct(inner),
            (6, Content::Bytes(inner)) => MetaValue::List(inner),
            (1..=6, _) => return Err(Malformed),
            _ => value,
        };
    }
    Ok(value)
}

#[cold]
fn map_entry(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    let mut reader = Reader::new(bytes);
    while let Some((field, content)) = reader.next_field()? {
        match (field, content) {
            (1, Content::Bytes(bytes)) => key = bytes,
            (2, Content::Bytes(bytes)) => value = bytes,
            (1 | 2, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok((key, value))
}

/// The sub-messages of one field; the other fields are skipped.
struct Messages<'a> {
    reader: Reader<'a>,
    field: u64,
}

impl<'a> Messages<'a> {
    fn new(bytes: &'a [u8], field: u64) -> Self {
        Self {
            reader: Reader::new(bytes),
            field,
        }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<&'a [u8], Malformed>;

    #[cold]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.reader.next_field() {
                Ok(None) => return None,
                Ok(Some((field, content))) if field == self.field => {
                    return Some(match content {
                        Content::Bytes(bytes) => Ok(bytes),
                        _ => self.fail(),
                    });
                }
                Ok(Some(_)) => {}
                Err(Malformed) => return Some(self.fail()),
            }
        }
    }
}

impl<'a> Messages<'a> {
    /// Ends the iteration: nothing after a broken field can be trusted.
    fn fail(&mut self) -> Result<&'a [u8], Malformed> {
        self.reader = Reader::new(&[]);
        Err(Malformed)
    }
}
