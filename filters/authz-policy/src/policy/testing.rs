//! Encoders that only tests need.

use std::cell::Cell;
use std::collections::HashMap;

use meshpack_sdk::config::Node;
use serde_json::Value;

use super::described::Described;
use super::request::{Attribute, Attributes};
use super::value::Reading;

/// A serialized `envoy.config.core.v3.Metadata` with these filters' structs.
pub(crate) fn metadata_of(filters: &Value) -> Vec<u8> {
    let filters: Node = serde_json::from_value(filters.clone()).unwrap();
    match Described::default()
        .metadata(&filters)
        .read(Attribute::Metadata)
    {
        Reading::Present(message) => message,
        other => panic!("no metadata but {other:?}"),
    }
}

/// Attributes from a table.
#[derive(Default)]
pub(crate) struct Fixture {
    known: HashMap<Attribute, Reading<Vec<u8>>>,
    reads: Cell<usize>,
}

impl Fixture {
    pub(crate) fn with(mut self, attribute: Attribute, value: impl AsRef<[u8]>) -> Self {
        let value = Reading::Present(value.as_ref().to_vec());
        self.known.insert(attribute, value);
        self
    }

    pub(crate) fn failing(mut self, attribute: Attribute) -> Self {
        self.known.insert(attribute, Reading::Unreadable);
        self
    }

    pub(crate) fn reads(&self) -> usize {
        self.reads.get()
    }
}

impl Attributes for Fixture {
    fn read(&self, attribute: Attribute) -> Reading<Vec<u8>> {
        self.reads.set(self.reads.get() + 1);
        self.known
            .get(&attribute)
            .cloned()
            .unwrap_or(Reading::Absent)
    }
}

/// A header map in the host's encoding, which a [`HeaderMap`] is read from.
pub(crate) fn encoded<N: AsRef<[u8]>, V: AsRef<[u8]>>(headers: &[(N, V)]) -> Vec<u8> {
    let pairs: Vec<(&[u8], &[u8])> = headers
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_ref()))
        .collect();
    meshpack_sdk::encode_pairs(&pairs)
}
