//! Series of metrics that share their labels: bounded, and found without a host
//! call once they are known.
//!
//! Envoy never frees a stat, so the number of series is the memory of the
//! process. A client controls many label values; it must not control that.

use std::collections::HashMap;

use meshpack_sdk::metrics::{Kind, label};

/// Value of every label of the series that takes what is over the cap.
const OTHER: &[u8] = b"other";
/// Value of a label that has none.
pub const UNKNOWN: &[u8] = b"unknown";

/// Where series come into being.
pub trait Stats {
    /// A series that can be recorded.
    type Handle: Copy;

    /// Creates the stat, or finds it.
    fn define(&self, kind: Kind, name: &str) -> Option<Self::Handle>;

    /// Whether the process may have one more series of this family, or has this
    /// one already. At most `cap` are admitted.
    fn admit(&self, family: &str, labels: &str, cap: usize) -> bool;
}

/// The metrics of a family and its label names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyShape {
    /// Name and kind of each metric.
    pub metrics: Vec<(String, Kind)>,
    /// Label names in order.
    pub labels: Vec<String>,
    /// Most series, the series `other` included.
    pub max_series: usize,
    /// Longest label value in bytes.
    pub max_value_length: usize,
}

/// Metrics that share their labels, and their series.
#[derive(Debug)]
pub struct Family<S: Stats> {
    shape: FamilyShape,
    /// From the raw values to the series; bounded, because many raw values may
    /// give the same labels.
    recent: HashMap<Box<[u8]>, usize>,
    /// From the encoded labels to the series.
    known: HashMap<Box<[u8]>, usize>,
    /// Handles, one row per series.
    rows: Vec<Box<[S::Handle]>>,
    other: Option<usize>,
}

impl<S: Stats> Family<S> {
    /// A family; no series exists until one is recorded.
    pub fn new(shape: FamilyShape) -> Self {
        Self {
            shape,
            recent: HashMap::new(),
            known: HashMap::new(),
            rows: Vec::new(),
            other: None,
        }
    }

    /// Names of the metrics.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.shape.metrics.iter().map(|(name, _)| name.as_str())
    }

    /// The series for a raw key: handles of the family's metrics, in order.
    /// `values` gives the label values; it is asked only for a key that was not
    /// seen lately. The flag says that it is the series `other`.
    pub fn series<'v>(
        &mut self,
        stats: &S,
        key: &[u8],
        values: impl FnOnce() -> Vec<std::borrow::Cow<'v, [u8]>>,
    ) -> Option<(&[S::Handle], bool)> {
        let row = match self.recent.get(key) {
            Some(row) => *row,
            None => self.find(stats, key, &values())?,
        };
        let handles = self.rows.get(row)?;
        Some((handles, Some(row) == self.other))
    }

    fn find(
        &mut self,
        stats: &S,
        key: &[u8],
        values: &[std::borrow::Cow<'_, [u8]>],
    ) -> Option<usize> {
        let labels = self.encode(values.iter().map(AsRef::as_ref));
        let row = match self.known.get(labels.as_bytes()) {
            Some(row) => *row,
            None => {
                let family = self.shape.metrics.first().map(|(name, _)| name.as_str())?;
                // One place is kept for the series `other`.
                if !stats.admit(family, &labels, self.shape.max_series - 1) {
                    return self.other(stats);
                }
                let row = self.define(stats, &labels)?;
                self.known
                    .insert(labels.into_bytes().into_boxed_slice(), row);
                row
            }
        };
        if self.recent.len() >= self.shape.max_series.saturating_mul(2) {
            self.recent.clear();
        }
        self.recent.insert(key.into(), row);
        Some(row)
    }

    fn other(&mut self, stats: &S) -> Option<usize> {
        if self.other.is_none() {
            let labels = self.encode(self.shape.labels.iter().map(|_| OTHER));
            self.other = Some(self.define(stats, &labels)?);
        }
        self.other
    }

    fn define(&mut self, stats: &S, labels: &str) -> Option<usize> {
        let handles: Option<Box<[S::Handle]>> = self
            .shape
            .metrics
            .iter()
            .map(|(metric, kind)| stats.define(*kind, &format!("{metric}{labels}")))
            .collect();
        self.rows.push(handles?);
        Some(self.rows.len() - 1)
    }

    fn encode<'a>(&'a self, values: impl Iterator<Item = &'a [u8]>) -> String {
        let labels = self.shape.labels.iter().map(String::as_str).zip(values);
        label::stat_name("", labels, self.shape.max_value_length)
    }
}

/// Appends a raw value to a key. Values are cut where labels are, so that what
/// a client appends to a long value does not make a new key.
#[inline]
pub fn push_key(key: &mut Vec<u8>, value: &[u8], max_value_length: usize) {
    let value = value.get(..max_value_length).unwrap_or(value);
    key.extend_from_slice(&(value.len() as u32).to_le_bytes());
    key.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use std::cell::RefCell;
    use std::collections::HashSet;
    use std::rc::Rc;

    /// What one proxy process knows, shared by its workers.
    #[derive(Clone, Default)]
    struct Process {
        defined: Rc<RefCell<Vec<String>>>,
        admitted: Rc<RefCell<HashSet<String>>>,
    }

    impl Stats for Process {
        type Handle = usize;

        fn define(&self, _: Kind, name: &str) -> Option<usize> {
            let mut defined = self.defined.borrow_mut();
            let at = defined.iter().position(|known| known == name);
            Some(at.unwrap_or_else(|| {
                defined.push(name.to_owned());
                defined.len() - 1
            }))
        }

        fn admit(&self, family: &str, labels: &str, cap: usize) -> bool {
            let mut admitted = self.admitted.borrow_mut();
            let name = format!("{family}{labels}");
            admitted.contains(&name) || (admitted.len() < cap && admitted.insert(name))
        }
    }

    fn family(max_series: usize) -> Family<Process> {
        Family::new(FamilyShape {
            metrics: vec![
                ("a_total".into(), Kind::Counter),
                ("b".into(), Kind::Histogram),
            ],
            labels: vec!["tenant".into()],
            max_series,
            max_value_length: 8,
        })
    }

    fn record(family: &mut Family<Process>, process: &Process, value: &[u8]) -> bool {
        let mut key = Vec::new();
        push_key(&mut key, value, 8);
        let (_, other) = family
            .series(process, &key, || vec![Cow::Owned(value.to_vec())])
            .unwrap();
        other
    }

    #[test]
    fn a_million_values_make_exactly_the_capped_number_of_series() {
        let process = Process::default();
        let mut family = family(10);
        let overflowed = (0..1_000_000)
            .filter(|i| record(&mut family, &process, format!("{i}").as_bytes()))
            .count();
        assert_eq!(overflowed, 1_000_000 - 9);
        assert_eq!(process.defined.borrow().len(), 2 * 10);
        assert!(
            process
                .defined
                .borrow()
                .contains(&"a_totaltenant=.=other;.;".to_owned())
        );
        assert!(family.recent.len() <= 20);
    }

    #[test]
    fn a_known_series_is_still_recorded_when_the_cap_is_reached() {
        let process = Process::default();
        let mut family = family(3);
        assert!(!record(&mut family, &process, b"a"));
        assert!(!record(&mut family, &process, b"b"));
        assert!(record(&mut family, &process, b"c"));
        assert!(!record(&mut family, &process, b"a"));
    }

    #[test]
    fn a_series_of_another_worker_counts_once() {
        let process = Process::default();
        let (mut first, mut second) = (family(3), family(3));
        assert!(!record(&mut first, &process, b"a"));
        assert!(!record(&mut second, &process, b"a"));
        assert!(!record(&mut second, &process, b"b"));
        assert!(record(&mut second, &process, b"c"));
        assert!(!record(&mut first, &process, b"b"));
        assert_eq!(process.defined.borrow().len(), 2 * 3);
    }

    #[test]
    fn long_and_hostile_values_share_the_series_of_their_label() {
        let process = Process::default();
        let mut family = family(100);
        for tail in 0..=255_u8 {
            record(&mut family, &process, format!("12345678{tail}").as_bytes());
            record(&mut family, &process, &[b'a', b';', tail % 32]);
        }
        assert_eq!(process.defined.borrow().len(), 4);
        assert!(family.recent.len() <= 200);
    }
}
