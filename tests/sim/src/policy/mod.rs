//! What decides whether a proxy may retry.

mod envoy;
mod ours;
mod tower;

use std::fmt;

use meshpack_retry_budget::policy::Micros;

use envoy::Envoy;
use ours::Ours;
use tower::Tower;

/// Retries a request may have at most, in every policy.
pub const MAX_RETRIES: u32 = 2;

/// The policies compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Two retries for everybody.
    NoLimit,
    /// Envoy's `retry_budget` circuit breaker with its defaults: 20 % and 3.
    Envoy,
    /// tower's budget as Linkerd uses it, with its defaults: 20 %, 10 s, 10/s.
    Tower,
    /// Ours in mode reserve.
    Reserve(Budget),
    /// Ours in mode settle.
    Settle(Budget),
}

/// A budget of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Retries in percent of requests.
    pub percent: u32,
    /// In seconds.
    pub interval: u64,
    /// `count` and `interval` (in seconds) of the floor.
    pub floor: (u32, u64),
}

impl Budget {
    /// What `budget: {}` gives, the defaults of GEP-3388.
    pub const DEFAULT: Self = Self {
        percent: 20,
        interval: 10,
        floor: (10, 1),
    };

    /// The same with a floor that fits a service of a few requests a second.
    pub const SMALL_FLOOR: Self = Self {
        floor: (1, 10),
        ..Self::DEFAULT
    };
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, seconds) = self.floor;
        write!(
            f,
            "{} %, {} s, floor {count} per {seconds} s",
            self.percent, self.interval
        )
    }
}

impl Kind {
    /// Those of the comparison, in the order of the tables.
    pub const COMPARED: [Self; 6] = [
        Self::NoLimit,
        Self::Envoy,
        Self::Tower,
        Self::Reserve(Budget::DEFAULT),
        Self::Reserve(Budget::SMALL_FLOOR),
        Self::Settle(Budget::SMALL_FLOOR),
    ];

    pub(crate) fn proxy(self) -> Proxy {
        match self {
            Self::NoLimit => Proxy::NoLimit,
            Self::Envoy => Proxy::Envoy(Envoy::default()),
            Self::Tower => Proxy::Tower(Tower::default()),
            Self::Reserve(budget) => Proxy::Ours(Box::new(Ours::new(budget, true))),
            Self::Settle(budget) => Proxy::Ours(Box::new(Ours::new(budget, false))),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLimit => f.write_str("no limit"),
            Self::Envoy => f.write_str("Envoy retry_budget, 20 %, min 3"),
            Self::Tower => f.write_str("tower / Linkerd, 20 %, 10 s, min 10 per 1 s"),
            Self::Reserve(budget) => write!(f, "ours, reserve, {budget}"),
            Self::Settle(budget) => write!(f, "ours, settle, {budget}"),
        }
    }
}

/// The state of one proxy.
#[derive(Debug)]
pub(crate) enum Proxy {
    NoLimit,
    Envoy(Envoy),
    Tower(Tower),
    Ours(Box<Ours>),
}

impl Proxy {
    /// A request arrives. Returns how many retries it may have as far as is
    /// known by then.
    pub(crate) fn arrive(&mut self, now: Micros) -> u32 {
        match self {
            Self::Ours(ours) => ours.arrive(now),
            _ => MAX_RETRIES,
        }
    }

    /// An attempt goes out.
    pub(crate) fn send(&mut self) {
        if let Self::Envoy(envoy) = self {
            envoy.send();
        }
    }

    /// The `number`th attempt, from 0, has its outcome.
    pub(crate) fn outcome(&mut self, number: u32) {
        if let Self::Envoy(envoy) = self {
            envoy.outcome(number > 0);
        }
    }

    /// Whether one more retry may be made now.
    pub(crate) fn may_retry(&mut self, now: Micros) -> bool {
        match self {
            Self::NoLimit | Self::Ours(_) => true,
            Self::Envoy(envoy) => envoy.may_retry(),
            Self::Tower(tower) => tower.withdraw(now),
        }
    }

    /// The request is over after `retries` of `promised` ones.
    pub(crate) fn finish(
        &mut self,
        arrived: Micros,
        now: Micros,
        promised: u32,
        retries: u32,
        success: bool,
    ) {
        match self {
            Self::Tower(tower) if success => tower.deposit(now),
            Self::Ours(ours) => ours.finish(arrived, now, promised, retries),
            _ => {}
        }
    }

    /// A second has passed.
    pub(crate) fn tick(&mut self, now: Micros) {
        if let Self::Ours(ours) = self {
            ours.tick(now);
        }
    }
}
