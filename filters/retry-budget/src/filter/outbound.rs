//! A budget at work: what a request is promised, and how that is settled.

use meshpack_sdk::attributes::CLUSTER_NAME;
use meshpack_sdk::{HeaderError, HostError, LocalReply, RequestHeaders};

use crate::config::{Budget, Key, Mode, WhenExhausted};
use crate::filter::metrics::Metrics;
use crate::policy::{AccountBook, Ledger, Micros, Place, Store};

/// One entry of `budgets`, running on one worker.
#[derive(Debug)]
pub(crate) struct Outbound {
    key: Key,
    mode: Mode,
    when_exhausted: WhenExhausted,
    max_retries: u32,
    /// `x-envoy-max-retries` for 0 to `max_retries`, so that no request formats
    /// a number.
    max_retries_values: Vec<String>,
    /// Headers that every request gets.
    fixed_headers: Vec<(&'static [u8], String)>,
    book: AccountBook,
    metrics: Metrics,
}

/// What a request was told about its retries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    place: Place,
    allowed: u32,
    reserved: u32,
    /// Fewer than the budget's `maxRetries`.
    cut: bool,
}

impl Promise {
    /// Retries that the router may make.
    pub(crate) fn allowed(&self) -> u32 {
        self.allowed
    }

    /// Retries that were taken from the budget for it.
    pub(crate) fn reserved(&self) -> u32 {
        self.reserved
    }

    /// Whether the budget had less to give than the request could have had.
    pub(crate) fn was_cut(&self) -> bool {
        self.cut
    }
}

impl Outbound {
    pub(crate) fn new(budget: Budget, worker: u64) -> Result<Self, HostError> {
        let metrics = Metrics::define(&budget.name)?;
        // Other intervals are another ledger; another percentage is not, so a
        // new configuration finds what the old one has spent.
        let ledger = format!(
            "budget.{}.{}.{}",
            budget.name,
            budget.terms.interval.as_micros(),
            budget.terms.floor.interval.as_micros()
        );
        let fixed_headers = router_headers(&budget);
        metrics.show_balance(Ledger::new(&budget.terms).room().retries);
        Ok(Self {
            key: budget.key,
            mode: budget.mode,
            when_exhausted: budget.when_exhausted,
            max_retries: budget.max_retries,
            max_retries_values: (0..=budget.max_retries).map(|n| n.to_string()).collect(),
            fixed_headers,
            book: AccountBook::new(ledger, &budget.terms, worker),
            metrics,
        })
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Counts the request, takes what it may need, and tells the router.
    pub(crate) fn promise(
        &mut self,
        cx: &mut RequestHeaders<'_>,
        host: Option<&[u8]>,
        now: Micros,
        store: &dyn Store,
    ) -> Promise {
        self.metrics.requests.add(1);
        let key = match self.key {
            Key::Name => None,
            Key::Host => host,
            Key::Cluster => cx.text(&CLUSTER_NAME).ok().flatten(),
        };
        let place = self.book.enter(key, now, store);
        let account = self.book.account(place);
        let (reserved, allowed) = match self.mode {
            Mode::Reserve => {
                let reserved = account.arrive(now, self.max_retries, store);
                (reserved, reserved)
            }
            Mode::Settle if account.arrive_unreserved(now, store) => (0, self.max_retries),
            Mode::Settle => (0, 0),
        };
        if let Err(error) = self.tell_router(cx, allowed) {
            // The route's own retry policy is in force then; what it uses is
            // charged at the end all the same.
            log::warn!("retry_budget: the router could not be told: {error}");
        }
        Promise {
            place,
            allowed,
            reserved,
            cut: allowed < self.max_retries,
        }
    }

    fn tell_router(&self, cx: &mut RequestHeaders<'_>, allowed: u32) -> Result<(), HeaderError> {
        let max_retries = self.max_retries_values.get(allowed as usize);
        let max_retries = max_retries.map_or("0", String::as_str);
        cx.set_header(b"x-envoy-max-retries", max_retries.as_bytes())?;
        for (name, value) in &self.fixed_headers {
            cx.set_header(name, value.as_bytes())?;
        }
        Ok(())
    }

    /// The request that arrived at `arrived` can not be retried any more, after
    /// `spent` retries.
    pub(crate) fn settle(
        &mut self,
        promise: Promise,
        arrived: Micros,
        spent: u32,
        now: impl FnOnce() -> Micros,
        store: &dyn Store,
    ) {
        if spent > 0 {
            self.metrics.retries.add(u64::from(spent));
        }
        let account = self.book.account(promise.place);
        account.finish(arrived, promise.reserved, spent, now, store);
        self.book.leave(promise.place);
    }

    /// A retry was wanted and refused: counts it, and gives the answer that the
    /// client sees instead of the upstream's.
    pub(crate) fn deny(&self) -> Option<LocalReply> {
        self.metrics.denied.add(1);
        match self.when_exhausted {
            WhenExhausted::Upstream => None,
            WhenExhausted::Unavailable => {
                Some(LocalReply::new(503, "retry_budget_exhausted").body("retry budget exhausted"))
            }
        }
    }

    pub(crate) fn tick(&mut self, now: Micros, store: &dyn Store) {
        if let Some(balance) = self.book.tick(now, store) {
            self.metrics.show_balance(balance);
        }
    }

    pub(crate) fn close(&mut self, now: Micros, store: &dyn Store) {
        self.book.close(now, store);
    }
}

/// What every request of a budget tells Envoy's router, beside how often it may
/// retry (`x-envoy-max-retries`).
#[must_use]
pub fn router_headers(budget: &Budget) -> Vec<(&'static [u8], String)> {
    let mut headers: Vec<(&'static [u8], String)> = Vec::new();
    if let Some(retry_on) = &budget.retry_on {
        headers.push((b"x-envoy-retry-on", retry_on.http.clone()));
        headers.push((b"x-envoy-retry-grpc-on", retry_on.grpc.clone()));
        let codes = retry_on.status_codes.clone();
        headers.push((b"x-envoy-retriable-status-codes", codes));
    }
    let timeouts: [(&'static [u8], Option<u64>); 2] = [
        (
            b"x-envoy-upstream-rq-per-try-timeout-ms",
            budget.per_try_timeout,
        ),
        (b"x-envoy-upstream-rq-timeout-ms", budget.timeout),
    ];
    headers.extend(
        timeouts
            .into_iter()
            .filter_map(|(name, millis)| Some((name, millis?.to_string()))),
    );
    headers.retain(|(_, value)| !value.is_empty());
    headers
}
