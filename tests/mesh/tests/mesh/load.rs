//! Traffic that goes on while something is changed.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use meshpack_harness::Request;
use meshpack_mesh::Caller;

/// How many answers there were of each status; 0 stands for no answer.
pub(crate) type Statuses = BTreeMap<u16, usize>;

/// Sends requests without a pause while `change` happens, and a batch after it.
///
/// Each on a connection of its own: when a listener is replaced Istio ends the connections
/// to the former one after its drain time, whoever's change it was.
pub(crate) async fn during<T>(
    caller: &Caller,
    path: &'static str,
    change: impl Future<Output = Result<T>>,
) -> Result<(Statuses, T)> {
    let done = Arc::new(AtomicBool::new(false));
    let traffic = async {
        let mut statuses = Statuses::new();
        loop {
            let last = done.load(Ordering::SeqCst);
            let request =
                move |index| Request::get(path).header("x-user-id", format!("user-{index}"));
            for outcome in caller.load(200, 4, request).await? {
                *statuses.entry(outcome.status().unwrap_or(0)).or_default() += 1;
            }
            if last {
                return Ok(statuses);
            }
        }
    };
    let change = async {
        let changed = change.await;
        done.store(true, Ordering::SeqCst);
        changed
    };
    let (statuses, changed): (Result<Statuses>, Result<T>) = tokio::join!(traffic, change);
    Ok((statuses?, changed?))
}
