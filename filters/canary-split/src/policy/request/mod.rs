//! From a request to an arm.

mod cookie;
mod decide;
mod key;
mod outside;

pub use cookie::{CookieId, MintedCookie, cookie_value};
pub use decide::{Decision, Reason};
pub(crate) use key::without_port;
pub use key::{Claim, Id, KeySource, MissingKey};
pub use outside::Outside;

#[cfg(test)]
mod tests;
