//! Records on their way to the collector: bounded, retried, never blocking.

use std::collections::VecDeque;
use std::time::Duration;

/// Most bytes that wait, whatever the number of records: large records must not
/// be a way around the bound.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// First pause after a failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A batch that could not be delivered for this long is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(300);

/// Why records were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// The queue was full.
    QueueFull,
    /// The collector refused the batch for good.
    Rejected,
    /// The batch could not be delivered in time.
    Expired,
    /// The plugin went away first.
    Shutdown,
}

impl Dropped {
    /// Value of the label `drop_reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What came of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The collector has the batch.
    Accepted,
    /// Trying again may help.
    Failed,
    /// Trying again can not help.
    Rejected,
}

impl Answer {
    /// From the status of the answer, `None` when there was none (OTLP/HTTP,
    /// "Retryable Response Codes").
    #[must_use]
    pub fn from_status(status: Option<u16>) -> Self {
        match status {
            Some(200..=299) => Self::Accepted,
            None | Some(429 | 502 | 503 | 504) => Self::Failed,
            Some(_) => Self::Rejected,
        }
    }
}

#[derive(Debug)]
struct Flight {
    records: usize,
    since: Duration,
    failures: u32,
    /// Between two tries: when the next one is due.
    due: Option<Duration>,
}

/// Encoded records in order. The batch that is under way stays at the head
/// until the collector has it.
#[derive(Debug)]
pub struct Queue {
    records: VecDeque<Vec<u8>>,
    bytes: usize,
    max_records: usize,
    max_queue: usize,
    interval: Duration,
    oldest: Duration,
    flight: Option<Flight>,
}

impl Queue {
    /// An empty queue: batches of at most `max_records`, at the latest
    /// `interval` after their first record, `max_queue` records in all.
    #[must_use]
    pub fn new(max_records: usize, max_queue: usize, interval: Duration) -> Self {
        Self {
            records: VecDeque::new(),
            bytes: 0,
            max_records,
            max_queue,
            interval,
            oldest: Duration::ZERO,
            flight: None,
        }
    }

    /// Adds a record, or says why not.
    ///
    /// # Errors
    /// [`Dropped::QueueFull`]
    pub fn push(&mut self, record: Vec<u8>, now: Duration) -> Result<(), Dropped> {
        if self.records.len() >= self.max_queue || self.bytes + record.len() > MAX_BYTES {
            return Err(Dropped::QueueFull);
        }
        if self.waiting() == 0 {
            self.oldest = now;
        }
        self.bytes += record.len();
        self.records.push_back(record);
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.records.len() - self.flight.as_ref().map_or(0, |flight| flight.records)
    }

    /// Number of records, those under way included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing waits and nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether a batch is complete, so that no tick need be waited for. Never
    /// while one is under way.
    #[must_use]
    pub fn is_ripe(&self) -> bool {
        self.flight.is_none() && self.records.len() >= self.max_records
    }

    /// The batch to send now, if any: a complete one, one whose time has come,
    /// or one to try again. `flush` does not wait for any of that. One batch is
    /// under way at a time; its answer must be told to [`Queue::answered`].
    pub fn next(&mut self, now: Duration, flush: bool) -> Option<Vec<Vec<u8>>> {
        let records = match &mut self.flight {
            Some(flight) => {
                let due = flight.due?;
                if now < due && !flush {
                    return None;
                }
                flight.due = None;
                flight.records
            }
            None => {
                let ripe = self.records.len() >= self.max_records
                    || now.saturating_sub(self.oldest) >= self.interval;
                if self.records.is_empty() || !(ripe || flush) {
                    return None;
                }
                let records = self.records.len().min(self.max_records);
                self.flight = Some(Flight {
                    records,
                    since: now,
                    failures: 0,
                    due: None,
                });
                records
            }
        };
        Some(self.records.iter().take(records).cloned().collect())
    }

    /// Takes the answer to the batch under way. `jitter` from 0 to 1 spreads the
    /// pauses of many workers. Returns how many records are gone and, if they
    /// were lost, why.
    pub fn answered(
        &mut self,
        answer: Answer,
        now: Duration,
        jitter: f64,
    ) -> (usize, Option<Dropped>) {
        let Some(mut flight) = self.flight.take() else {
            return (0, None);
        };
        let lost = match answer {
            Answer::Accepted => None,
            Answer::Rejected => Some(Dropped::Rejected),
            Answer::Failed if now.saturating_sub(flight.since) >= GIVE_UP_AFTER => {
                Some(Dropped::Expired)
            }
            Answer::Failed => {
                let pause = FIRST_PAUSE * 2_u32.saturating_pow(flight.failures.min(10));
                let pause = pause.min(LONGEST_PAUSE);
                flight.failures += 1;
                flight.due = Some(now + pause.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0));
                self.flight = Some(flight);
                return (0, None);
            }
        };
        let gone = flight.records.min(self.records.len());
        self.bytes -= self
            .records
            .drain(..gone)
            .map(|record| record.len())
            .sum::<usize>();
        self.oldest = now;
        (gone, lost)
    }

    /// Gives everything up; says how many records were lost.
    pub fn abandon(&mut self) -> usize {
        self.flight = None;
        self.bytes = 0;
        std::mem::take(&mut self.records).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn queue() -> Queue {
        Queue::new(3, 5, seconds(1))
    }

    fn push(queue: &mut Queue, n: usize, now: Duration) -> usize {
        (0..n).filter(|_| queue.push(vec![1], now).is_ok()).count()
    }

    #[test]
    fn a_batch_goes_when_it_is_full_or_old() {
        let mut queue = queue();
        push(&mut queue, 2, seconds(10));
        assert_eq!(queue.next(seconds(10), false), None);
        assert!(!queue.is_ripe());
        assert_eq!(queue.next(seconds(11), false).unwrap().len(), 2);
        assert_eq!(
            queue.answered(Answer::Accepted, seconds(11), 0.0),
            (2, None)
        );
        push(&mut queue, 3, seconds(12));
        assert!(queue.is_ripe());
        assert_eq!(queue.next(seconds(12), false).unwrap().len(), 3);
    }

    #[test]
    fn the_queue_is_bounded_and_what_is_over_is_refused() {
        let mut queue = queue();
        assert_eq!(push(&mut queue, 100, seconds(0)), 5);
        assert_eq!(queue.push(vec![1], seconds(0)), Err(Dropped::QueueFull));
        assert!(queue.next(seconds(0), false).is_some());
        // What is under way still takes its place.
        assert_eq!(queue.push(vec![1], seconds(0)), Err(Dropped::QueueFull));
        queue.answered(Answer::Accepted, seconds(0), 0.0);
        assert_eq!(push(&mut queue, 100, seconds(0)), 3);
    }

    #[test]
    fn large_records_are_bounded_by_their_bytes() {
        let mut queue = Queue::new(10, 1_000_000, seconds(1));
        let pushed = (0..100).filter(|_| queue.push(vec![0; 1 << 20], seconds(0)).is_ok());
        assert_eq!(pushed.count(), 16);
    }

    #[test]
    fn one_batch_is_under_way_at_a_time() {
        let mut queue = queue();
        push(&mut queue, 5, seconds(0));
        assert!(queue.next(seconds(0), false).is_some());
        assert_eq!(queue.next(seconds(60), true), None);
    }

    #[test]
    fn a_failed_batch_is_tried_again_after_growing_pauses_and_given_up_in_the_end() {
        let mut queue = queue();
        push(&mut queue, 3, seconds(0));
        let mut now = seconds(0);
        let mut pauses = Vec::new();
        loop {
            assert_eq!(queue.next(now, false).unwrap().len(), 3);
            let (gone, lost) = queue.answered(Answer::Failed, now, 1.0);
            if gone > 0 {
                assert_eq!((gone, lost), (3, Some(Dropped::Expired)));
                break;
            }
            let before = now;
            while queue.flight.as_ref().unwrap().due.unwrap() > now {
                now += Duration::from_millis(500);
            }
            pauses.push((now - before).as_secs());
        }
        assert_eq!(pauses[..7], [1, 2, 4, 8, 16, 30, 30]);
        assert!(now >= GIVE_UP_AFTER);
        assert!(queue.is_empty());
    }

    #[test]
    fn answers_are_judged_as_the_protocol_says() {
        for (status, expected) in [
            (Some(200), Answer::Accepted),
            (Some(429), Answer::Failed),
            (Some(503), Answer::Failed),
            (None, Answer::Failed),
            (Some(400), Answer::Rejected),
            (Some(500), Answer::Rejected),
        ] {
            assert_eq!(Answer::from_status(status), expected, "{status:?}");
        }
    }

    #[test]
    fn a_flush_does_not_wait_and_an_abandoned_queue_is_empty() {
        let mut queue = queue();
        push(&mut queue, 1, seconds(0));
        assert_eq!(queue.next(seconds(0), true).unwrap().len(), 1);
        assert_eq!(
            queue.answered(Answer::Rejected, seconds(0), 0.0),
            (1, Some(Dropped::Rejected))
        );
        push(&mut queue, 2, seconds(0));
        assert_eq!(queue.abandon(), 2);
        assert!(queue.is_empty());
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn every_record_is_delivered_lost_or_waiting(
            steps in proptest::collection::vec((0_u8..5, 0_u64..40), 0..200),
        ) {
            let mut queue = queue();
            let (mut now, mut accepted, mut gone) = (seconds(0), 0, 0);
            for (step, pause) in steps {
                now += seconds(pause);
                match step {
                    0 | 1 => accepted += usize::from(queue.push(vec![0; 10], now).is_ok()),
                    2 => {
                        let _ = queue.next(now, pause % 2 == 0);
                    }
                    3 => gone += queue.answered(Answer::Accepted, now, 0.5).0,
                    _ => gone += queue.answered(Answer::Failed, now, 0.5).0,
                }
                proptest::prop_assert_eq!(queue.len() + gone, accepted);
                proptest::prop_assert_eq!(queue.bytes, queue.len() * 10);
            }
        }
    }
}
