//! The check of every change: did a filter get dearer than the committed figures say?

use crate::results::Cost;
use crate::rows::BASELINE;

/// A row that fails the check, and why.
pub(crate) type Complaint = (String, String);

/// Complains of rows of `now` in which a request costs over `percent` more than
/// `committed` says, or that were never committed. What is compared is what a filter
/// adds to no filter in the same run, so another libc or processor moves both sides;
/// what it is a percentage of is the whole request, whose count repeats to that much
/// beside other work.
pub(crate) fn compare(now: &Cost, committed: &Cost, percent: f64) -> Vec<Complaint> {
    let mut wrong = Vec::new();
    for line in now
        .rows
        .iter()
        .filter(|line| !line.name.starts_with(BASELINE))
    {
        let Some(before) = committed.line(&line.name) else {
            let why = format!(
                "{:?} is not in the committed figures: run 'make bench'",
                line.name
            );
            wrong.push((line.name.clone(), why));
            continue;
        };
        let (now, before) = (
            line.instructions_over_no_filter,
            before.instructions_over_no_filter,
        );
        let change = 100.0 * (now - before) / (committed.instructions_no_filter + before);
        if change > percent {
            let why = format!(
                "{:?} makes a request {change:.1} % dearer than committed ({now:.0} instead of {before:.0} instructions over no filter): make it cheaper, or run 'make bench' and commit why",
                line.name
            );
            wrong.push((line.name.clone(), why));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{cost, line};

    fn check(now: f64, before: f64, bound: Option<f64>) -> Vec<Complaint> {
        let of = |over| cost(vec![line("a", over, bound)]);
        compare(&of(now), &of(before), 3.0)
    }

    #[test]
    fn dearer_beyond_the_share_of_a_request_fails_and_cheaper_does_not() {
        let whole = cost(vec![]).instructions_no_filter + 10_000.0;
        assert_eq!(check(10_000.0 + 0.029 * whole, 10_000.0, None), []);
        assert_eq!(check(5_000.0, 10_000.0, None), []);
        let complaints = check(10_000.0 + 0.04 * whole, 10_000.0, None);
        let [(name, why)] = complaints.as_slice() else {
            panic!("{complaints:?}")
        };
        assert!(name == "a" && why.contains("4.0 % dearer"), "{why}");
    }

    #[test]
    fn an_unknown_row_fails_and_a_missed_bound_is_not_its_business() {
        // `make bench` fails for a bound; this is about what a change does.
        assert_eq!(check(100.0, 100.0, Some(99.0)), []);
        let new = |name| compare(&cost(vec![line(name, 1.0, None)]), &cost(vec![]), 3.0);
        assert_eq!(new("new").len(), 1);
        assert_eq!(new(BASELINE), []);
    }
}
