//! Retry budgets in a fleet of 1000 proxies, an outage and the recovery from it.
//!
//! One machine cannot run a fleet, so this is a model; what one proxy does is
//! tested in a real Envoy. Its parts:
//! - each proxy gets requests at a steady rate with some jitter and retries a
//!   failure up to twice after a jittered pause, if its [`policy`] allows;
//! - the backend answers after a latency, loses a tenth of the attempts at random
//!   at first, then all of them for 20 seconds;
//! - the backend has little to spare, and an overloaded backend also wastes part
//!   of its work: beyond its capacity C, with A attempts arriving, an attempt
//!   succeeds with probability (C / A)². That is what makes an overload outlive
//!   its cause ("metastable failure", Bronson et al., HotOS 2021).
//!
//! All of it is integer time and a seeded generator, so a run repeats to the bit.

pub mod model;
pub mod policy;
pub mod report;
mod rng;
pub mod svg;

pub use model::{Outcome, Scenario, run};
pub use policy::{Budget, Kind};
pub use report::Report;
