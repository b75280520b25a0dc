//! One filter's configuration: alone, or a part of the pack's.

use meshpack_sdk::config::Node;

use super::super::code::Code;
use super::super::file::{Checked, within};
use super::super::finding::Finding;
use super::tree;
use crate::filters::Filter;

pub(super) struct Part<'c, 'a> {
    pub(super) checked: &'c Checked<'a>,
    /// Never the pack.
    pub(super) filter: Filter,
    /// Its key in the pack's configuration, or empty.
    key: String,
    pub(super) node: &'c Node,
}

impl<'c, 'a> Part<'c, 'a> {
    pub(super) fn all_of(checked: &'c Checked<'a>) -> Vec<Self> {
        let node = &checked.open.node;
        if checked.filter != Filter::Meshpack {
            return vec![Self {
                checked,
                filter: checked.filter,
                key: String::new(),
                node,
            }];
        }
        let parts = tree::entries(node)
            .iter()
            .filter(|(_, node)| tree::is_given(node));
        parts
            .filter_map(|(key, node)| {
                Some(Self {
                    checked,
                    filter: Filter::of_part(key)?,
                    key: key.clone(),
                    node,
                })
            })
            .collect()
    }

    /// A finding about what stands at `path` of this configuration.
    pub(super) fn finding(
        &self,
        code: &'static Code,
        path: &str,
        message: impl Into<String>,
    ) -> Finding {
        let path = within(path, &self.key);
        Finding {
            code,
            file: self.checked.file.to_owned(),
            position: self.checked.open.locate(&path),
            path: within(&path, &self.checked.path),
            message: message.into(),
        }
    }
}
