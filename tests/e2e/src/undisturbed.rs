//! Statements about rates and times, on a machine that does other things, too.

use tokio::task::JoinError;

/// A machine that is disturbed all of the time says nothing; until then, patience.
const TRIES: usize = 6;

/// Makes an attempt until one holds, up to six: what a test says of rates and times can
/// be spoilt by other work on the machine, which has the proxy late for a budget's
/// window or a timer. What is wrong is wrong each time. For what only waits for
/// something a generous limit is better, and for what can be counted, counting.
///
/// # Panics
/// As the last attempt, if none held.
pub async fn undisturbed<F>(attempt: fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for n in 1.. {
        match tokio::spawn(attempt()).await.map_err(JoinError::into_panic) {
            Ok(()) => return,
            Err(panic) if n == TRIES => std::panic::resume_unwind(panic),
            Err(_) => eprintln!("attempt {n} of {TRIES} did not hold"),
        }
    }
}
