//! The world around a request, as the host tells it.

use std::time::Duration;

use meshpack_sdk::{RequestHeaders, attributes, clock};

use super::watch::Watch;
use crate::policy::request::Outside;

/// Answers the core's questions; each answer but the random ones is a host call.
pub(super) struct Proxy<'a, 'cx> {
    cx: &'a RequestHeaders<'cx>,
    watch: Option<&'a Watch>,
}

impl<'a, 'cx> Proxy<'a, 'cx> {
    pub(super) fn new(cx: &'a RequestHeaders<'cx>, watch: Option<&'a Watch>) -> Self {
        Self { cx, watch }
    }
}

impl<'cx> Outside<'cx> for Proxy<'_, 'cx> {
    fn metadata(&mut self) -> Option<&'cx [u8]> {
        self.cx.text(&attributes::METADATA).ok().flatten()
    }

    fn source_address(&mut self) -> Option<&'cx [u8]> {
        self.cx.text(&attributes::SOURCE_ADDRESS).ok().flatten()
    }

    fn now(&mut self) -> Duration {
        clock::now()
    }

    fn random(&mut self) -> u32 {
        (clock::random() >> 32) as u32
    }

    fn secure_random(&mut self) -> u64 {
        clock::secure_random()
    }

    fn is_aborted(&mut self, _split: usize) -> bool {
        self.watch.is_some_and(Watch::is_aborted)
    }
}
