//! The policy itself: what a retry costs, who may have one, and when.
//!
//! It knows no proxy. Time comes in as [`Micros`], state that workers share
//! lives behind a [`Store`], and everything is integer arithmetic, so nothing
//! drifts and a test can replay any interleaving.
//!
//! A budget is read from the inside out:
//! - [`Terms`]: how much is allowed, as written in a configuration;
//! - [`Ledger`]: what all workers of a proxy did in the last interval;
//! - [`Account`]: one worker's part in it, which settles with the ledger now and
//!   then instead of on every request;
//! - [`Sources`]: who used the retries of a limit;
//! - [`FailedHops`]: which requests failed further down the call chain.

mod account;
mod book;
mod failed_hops;
mod hash;
mod ledger;
mod sources;
mod store;
mod terms;
mod time;
mod window;

pub use account::Account;
pub use book::{AccountBook, MAX_KEYS, Place};
pub use failed_hops::{FailedHops, RequestId};
pub use ledger::{LEASE_TIME, Ledger, Room};
pub use sources::{MAX_SOURCES, Sources};
pub use store::{Change, MemoryStore, Store, StoreError};
pub use terms::{Floor, Percent, Share, Terms};
pub use time::Micros;
pub use window::Window;
