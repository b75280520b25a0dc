//! A retry budget kept attempt by attempt: an upstream HTTP filter, which Envoy
//! runs once for each attempt. It does not ship; a test measures it beside the
//! modes of `retry_budget`, and the page of that filter says what came of it.
//!
//! A failure for whose retry nothing is left is marked, so that the router does
//! not retry it. What has no answer to mark (a reset), or was outrun by another
//! failure, is caught when the retry starts: it is answered from here.

use std::time::Duration;

use meshpack_retry_budget::policy::{
    Account, Change, Floor, Micros, Percent, Share, Store, StoreError, Terms,
};
use meshpack_sdk::attributes::UPSTREAM_REQUEST_ATTEMPT_COUNT;
use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::shared::SharedData;
use meshpack_sdk::{Filter, Flow, LocalReply, RequestHeaders, ResponseHeaders, clock};

struct Shared(SharedData);

impl Store for Shared {
    fn update(&self, name: &str, change: &mut Change<'_>) -> Result<(), StoreError> {
        let updated = self.0.update(name, change);
        updated.map(|_| ()).map_err(|_| StoreError)
    }
}

/// A budget of 20 % in 10 s without a floor, for all requests of a cluster.
pub struct PerAttempt {
    store: Shared,
    account: Account,
}

impl PerAttempt {
    /// Takes a retry out of the budget, and leaves it there unless `spend`.
    fn has_retry(&mut self, now: Micros, spend: bool) -> bool {
        let taken = self.account.take(now, 1, &self.store);
        let spent = if spend { taken } else { 0 };
        self.account.finish(now, taken, spent, || now, &self.store);
        taken > 0
    }
}

fn now() -> Micros {
    clock::now().into()
}

impl Filter for PerAttempt {
    const NAME: &'static str = "per_attempt";
    /// The budget's name.
    type Config = String;
    type Stream = ();

    fn read(value: Value<'_>) -> Option<String> {
        let name = value.object()?.required("name")?.non_empty_string()?;
        Some(name.to_owned())
    }

    fn start(name: String) -> Result<Self, Vec<Problem>> {
        let percent = Percent::whole(20).ok_or_else(|| vec![Problem::new("", "no percentage")])?;
        let terms = Terms {
            share: Share::of_requests(percent),
            interval: Duration::from_secs(10),
            floor: Floor {
                count: 0,
                interval: Duration::from_secs(1),
            },
        };
        Ok(Self {
            store: Shared(SharedData::new(Self::NAME)),
            account: Account::new(name, &terms, clock::secure_random()),
        })
    }

    fn on_request_headers(&mut self, cx: &mut RequestHeaders<'_>, seen: &mut Option<()>) -> Flow {
        *seen = Some(());
        let now = now();
        let attempt = cx.attribute(&UPSTREAM_REQUEST_ATTEMPT_COUNT);
        if attempt.ok().flatten().unwrap_or(1) <= 1 {
            self.account.arrive(now, 0, &self.store);
        } else if !self.has_retry(now, true) {
            let refused = LocalReply::new(503, "retry_budget_exhausted");
            return Flow::Reply(refused.body("retry budget exhausted"));
        }
        Flow::Continue
    }

    fn on_response_headers(&mut self, cx: &mut ResponseHeaders<'_>, _: &mut Option<()>) -> Flow {
        let status = cx.header(b":status").ok().flatten();
        if status.is_some_and(|status| status.first() == Some(&b'5'))
            && !self.has_retry(now(), false)
            && let Err(error) = cx.set_header(b"x-envoy-ratelimited", b"true")
        {
            log::warn!("the router could not be told: {error}");
        }
        Flow::Continue
    }

    fn tick_period(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    fn on_tick(&mut self) {
        self.account.tick(now(), &self.store);
    }
}

meshpack_sdk::module!(PerAttempt: request_headers, response_headers, done);
