//! The fleet, the backend, and what happens to them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use meshpack_retry_budget::policy::Micros;

use crate::policy::{Kind, Proxy};
use crate::rng::Rng;

const SECOND: u64 = 1_000_000;
/// The load on the backend is looked at in slices of this length.
const SLICE: u64 = SECOND / 10;
/// Envoy's base pause before the first retry; it doubles, and each pause is
/// uniform between nothing and that.
const PAUSE: u64 = 25_000;

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Proxies, each with a budget of its own.
    pub proxies: u32,
    /// Requests a second that each of them gets.
    pub rate: u64,
    /// Mean latency of the backend in microseconds; each attempt takes half to
    /// one and a half times as long.
    pub latency: u64,
    /// Attempts that fail at random before the outage, in millionths.
    pub transient_failures: u64,
    /// Seconds before the outage.
    pub before: u64,
    /// Seconds in which every attempt fails.
    pub outage: u64,
    /// Seconds after it.
    pub after: u64,
    /// Attempts that the backend can serve, in percent of the requests.
    pub capacity: u64,
    /// Seed of all that is random.
    pub seed: u64,
}

impl Scenario {
    /// 1000 proxies of 10 requests a second each, and 20 seconds of outage.
    #[must_use]
    pub fn fleet(latency: u64) -> Self {
        Self {
            proxies: 1000,
            rate: 10,
            latency,
            transient_failures: 100_000,
            before: 15,
            outage: 20,
            after: 15,
            capacity: 120,
            seed: 1,
        }
    }

    /// A service whose proxies get `rate` requests a second each, 1000 in all,
    /// for long enough to see a minute's interval at work.
    #[must_use]
    pub fn service(rate: u64) -> Self {
        Self {
            proxies: u32::try_from(1000 / rate).unwrap_or(1),
            rate,
            before: 70,
            outage: 60,
            capacity: 150,
            ..Self::fleet(10_000)
        }
    }

    fn seconds(&self) -> usize {
        (self.before + self.outage + self.after) as usize
    }

    fn is_down(&self, now: u64) -> bool {
        (self.before * SECOND..(self.before + self.outage) * SECOND).contains(&now)
    }
}

/// What happened, second by second.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Requests that arrived in each second.
    pub requests: Vec<u64>,
    /// Attempts that reached the backend in each second.
    pub attempts: Vec<u64>,
    /// Requests of each second that succeeded in the end.
    pub successes: Vec<u64>,
    first_down: usize,
    first_up: usize,
}

impl Outcome {
    fn ratio(&self, part: &[u64], seconds: std::ops::Range<usize>) -> f64 {
        let sum = |list: &[u64]| {
            list.get(seconds.clone())
                .map_or(0, |s| s.iter().sum::<u64>())
        };
        sum(part) as f64 / sum(&self.requests).max(1) as f64
    }

    /// Share of requests that succeeded before the outage, its first seconds left
    /// out.
    #[must_use]
    pub fn success_before(&self) -> f64 {
        self.ratio(&self.successes, 2..self.first_down - 2)
    }

    /// Attempts per request during the outage.
    #[must_use]
    pub fn amplification(&self) -> f64 {
        self.ratio(&self.attempts, self.first_down..self.first_up)
    }

    /// The same in its worst second.
    #[must_use]
    pub fn worst_second(&self) -> f64 {
        (self.first_down..self.first_up)
            .map(|second| self.ratio(&self.attempts, second..second + 1))
            .fold(0.0, f64::max)
    }

    /// Seconds from the end of the outage until 99 % of the requests of a second
    /// succeed; `None` if they never do.
    #[must_use]
    pub fn recovery(&self) -> Option<usize> {
        // The last requests of a run have no time to succeed.
        (self.first_up..self.requests.len() - 4)
            .find(|&second| self.ratio(&self.successes, second..second + 1) >= 0.99)
            .map(|second| second - self.first_up)
    }

    /// Attempts per request in each second.
    #[must_use]
    pub fn load(&self) -> Vec<f64> {
        (0..self.requests.len())
            .map(|second| self.ratio(&self.attempts, second..second + 1))
            .collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A request arrives at a proxy.
    Arrive { proxy: u32 },
    /// An attempt goes out.
    Send { request: u32 },
    /// Its outcome is back.
    Outcome { request: u32, success: bool },
    /// A second has passed everywhere.
    Tick,
}

#[derive(Debug, Clone, Copy)]
struct Request {
    proxy: u32,
    arrived: u64,
    promised: u32,
    retries: u32,
}

/// Runs a scenario under a policy.
#[must_use]
pub fn run(scenario: &Scenario, kind: Kind) -> Outcome {
    Fleet::new(scenario, kind).run()
}

struct Fleet<'a> {
    scenario: &'a Scenario,
    rng: Rng,
    proxies: Vec<Proxy>,
    requests: Vec<Request>,
    free: Vec<u32>,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    /// Attempts in the current slice, and success in it, in millionths.
    slice: u64,
    slice_attempts: u64,
    slice_success: u64,
    outcome: Outcome,
}

impl<'a> Fleet<'a> {
    fn new(scenario: &'a Scenario, kind: Kind) -> Self {
        let seconds = vec![0; scenario.seconds()];
        Self {
            scenario,
            rng: Rng::new(scenario.seed),
            proxies: (0..scenario.proxies).map(|_| kind.proxy()).collect(),
            requests: Vec::new(),
            free: Vec::new(),
            queue: BinaryHeap::new(),
            scheduled: 0,
            slice: 0,
            slice_attempts: 0,
            slice_success: 1_000_000,
            outcome: Outcome {
                requests: seconds.clone(),
                attempts: seconds.clone(),
                successes: seconds,
                first_down: scenario.before as usize,
                first_up: (scenario.before + scenario.outage) as usize,
            },
        }
    }

    fn schedule(&mut self, at: u64, event: Event) {
        // Equal times go in the order of scheduling.
        self.scheduled += 1;
        self.queue.push(Reverse((at, self.scheduled, event)));
    }

    fn run(mut self) -> Outcome {
        let interval = SECOND / self.scenario.rate;
        for proxy in 0..self.scenario.proxies {
            let first = self.rng.below(interval);
            self.schedule(first, Event::Arrive { proxy });
        }
        self.schedule(SECOND, Event::Tick);
        let end = self.scenario.seconds() as u64 * SECOND;
        while let Some(Reverse((now, _, event))) = self.queue.pop() {
            if now >= end {
                break;
            }
            match event {
                Event::Arrive { proxy } => self.arrive(now, proxy),
                Event::Send { request } => self.send(now, request),
                Event::Outcome { request, success } => self.outcome(now, request, success),
                Event::Tick => {
                    for proxy in &mut self.proxies {
                        proxy.tick(clock(now));
                    }
                    self.schedule(now + SECOND, Event::Tick);
                }
            }
        }
        self.outcome
    }

    fn arrive(&mut self, now: u64, proxy: u32) {
        let next = now + self.rng.around(SECOND / self.scenario.rate);
        self.schedule(next, Event::Arrive { proxy });
        count(&mut self.outcome.requests, now);
        let request = Request {
            proxy,
            arrived: now,
            promised: self.proxies[proxy as usize].arrive(clock(now)),
            retries: 0,
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.requests[index as usize] = request;
                index
            }
            None => {
                self.requests.push(request);
                self.requests.len() as u32 - 1
            }
        };
        self.send(now, index);
    }

    fn send(&mut self, now: u64, index: u32) {
        count(&mut self.outcome.attempts, now);
        let request = self.requests[index as usize];
        self.proxies[request.proxy as usize].send();
        let success = self.serve(now);
        let latency = self.rng.around(self.scenario.latency);
        let event = Event::Outcome {
            request: index,
            success,
        };
        self.schedule(now + latency, event);
    }

    /// Whether the backend serves an attempt that arrives now. How loaded it is
    /// shows in the slice before.
    fn serve(&mut self, now: u64) -> bool {
        if now / SLICE != self.slice {
            let requests = u64::from(self.scenario.proxies) * self.scenario.rate;
            let capacity = requests * self.scenario.capacity * SLICE / SECOND / 100;
            let arrived = self.slice_attempts.max(capacity);
            self.slice_success = 1_000_000 * capacity * capacity / (arrived * arrived);
            self.slice_attempts = 0;
            self.slice = now / SLICE;
        }
        self.slice_attempts += 1;
        let is_lost = now < self.scenario.before * SECOND
            && self.rng.chance(self.scenario.transient_failures);
        let is_served = self.rng.chance(self.slice_success);
        is_served && !is_lost && !self.scenario.is_down(now)
    }

    fn outcome(&mut self, now: u64, index: u32, success: bool) {
        let request = &mut self.requests[index as usize];
        let proxy = &mut self.proxies[request.proxy as usize];
        proxy.outcome(request.retries);
        if !success && request.retries < request.promised && proxy.may_retry(clock(now)) {
            let pause = self.rng.below(PAUSE << request.retries);
            request.retries += 1;
            self.schedule(now + pause, Event::Send { request: index });
            return;
        }
        let request = *request;
        let (arrived, now) = (clock(request.arrived), clock(now));
        proxy.finish(arrived, now, request.promised, request.retries, success);
        if success {
            count(&mut self.outcome.successes, request.arrived);
        }
        self.free.push(index);
    }
}

/// Far from 0, where nothing special is.
fn clock(now: u64) -> Micros {
    Micros(1_000 * SECOND + now)
}

fn count(per_second: &mut [u64], at: u64) {
    if let Some(count) = per_second.get_mut((at / SECOND) as usize) {
        *count += 1;
    }
}
