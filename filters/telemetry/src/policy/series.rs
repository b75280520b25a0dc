//! Series of metrics that share their labels: bounded, and found without a host
//! call once they are known.
//!
//! Envoy never frees a stat, so the number of series is the memory of the
//! process. A client controls many label values; it must not control that.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use meshpack_sdk::metrics::{Kind, label};
use meshpack_sdk::texts::Texts;

/// Value of a label whose own one has no place.
const OTHER: &[u8] = b"other";
/// Value of a label that has none.
pub const UNKNOWN: &[u8] = b"unknown";

/// Where series come into being.
pub trait Stats {
    /// A series that can be recorded.
    type Handle: Copy;

    /// Creates the stat, or finds it.
    fn define(&self, kind: Kind, name: &str) -> Option<Self::Handle>;

    /// Whether the process may have one more member of this family, or has this
    /// one already. It may as long as there are fewer than `cap`.
    fn admit(&self, family: &str, member: &str, cap: usize) -> bool;
}

/// Texts that a label may have.
pub type ValueList = Rc<Texts>;

/// A label of a family.
#[derive(Debug, Clone)]
pub struct LabelShape {
    /// The name.
    pub name: String,
    /// Most values that it can have, whatever clients send; `None` where a client
    /// or a peer chooses them.
    pub closed: Option<usize>,
    /// What is left of it when there is no place for the closed labels either.
    pub last: LastResort,
    /// The only values that are shown; others are `other`.
    pub listed: Option<ValueList>,
}

/// What is left of a label in the last series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastResort {
    /// `other`
    Other,
    /// The value; at most three.
    Value,
    /// The class of a response code, `5xx`.
    CodeClass,
}

/// A label's value of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelValue<'v> {
    /// The value.
    pub value: Cow<'v, [u8]>,
    /// Whether a client or a peer chose it.
    pub open: bool,
}

/// The metrics of a family and its label names.
#[derive(Debug, Clone)]
pub struct FamilyShape {
    /// Name and kind of each metric.
    pub metrics: Vec<(String, Kind)>,
    /// Labels in order.
    pub labels: Vec<LabelShape>,
    /// Most series, those with a value `other` included.
    pub max_series: usize,
    /// Most values of one open label, `other` included.
    pub max_values: usize,
    /// Longest label value in bytes.
    pub max_value_length: usize,
}

/// How much of the labels a series keeps. One that finds no place is tried again
/// with less of them, so that what a client chose blinds nobody: a 500 stays a 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// All values.
    Full,
    /// Values of open labels are `other`.
    Closed,
    /// Only what [`LastResort`] leaves.
    Last,
}

impl FamilyShape {
    /// How many series there may be before one of a level finds no place; the
    /// levels above keep something back for those below. One is left for the
    /// series whose labels are all `other`.
    fn caps(&self) -> [(Level, usize); 3] {
        let product = |count: fn(&LabelShape) -> usize| {
            let counts = self.labels.iter().map(count);
            counts.fold(1, |product: usize, count| product.saturating_mul(count))
        };
        let last = product(|label| match label.last {
            LastResort::Other => 1,
            LastResort::Value => 3,
            LastResort::CodeClass => 7,
        });
        let closed = product(|label| label.closed.unwrap_or(1));
        let open = self.labels.iter().any(|label| label.closed.is_none());
        // With one combination only it is the one that is kept anyway.
        let wanted = |count: usize| if count > 1 { count } else { 0 };
        let for_last = wanted(last).min(self.max_series / 8);
        let for_closed = if open { wanted(closed) } else { 0 }.min(self.max_series / 4);
        let all = self.max_series.saturating_sub(1);
        [
            (Level::Full, all - for_last - for_closed),
            (Level::Closed, all - for_last),
            (Level::Last, all),
        ]
    }
}

/// Metrics that share their labels, and their series.
#[derive(Debug)]
pub struct Family<S: Stats> {
    shape: FamilyShape,
    caps: [(Level, usize); 3],
    /// From the raw values to the series; bounded, because many raw values may
    /// give the same labels.
    recent: HashMap<Box<[u8]>, usize>,
    /// From the encoded labels to the series.
    known: HashMap<Box<[u8]>, usize>,
    /// Values of open labels that have a place, each behind its label's number.
    values: HashMap<Box<[u8]>, usize>,
    rows: Vec<Row<S::Handle>>,
    other: Option<usize>,
}

#[derive(Debug)]
struct Row<H> {
    handles: Box<[H]>,
    /// Whether it takes what found no place of its own.
    overflow: bool,
}

impl<S: Stats> Family<S> {
    /// A family; no series exists until one is recorded.
    pub fn new(shape: FamilyShape) -> Self {
        Self {
            caps: shape.caps(),
            shape,
            recent: HashMap::new(),
            known: HashMap::new(),
            values: HashMap::new(),
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
    /// seen lately. The flag says that values of it found no place.
    pub fn series<'v>(
        &mut self,
        stats: &S,
        key: &[u8],
        values: impl FnOnce() -> Vec<LabelValue<'v>>,
    ) -> Option<(&[S::Handle], bool)> {
        let row = match self.recent.get(key) {
            Some(row) => *row,
            None => self.find(stats, key, values())?,
        };
        let row = self.rows.get(row)?;
        Some((&row.handles, row.overflow))
    }

    fn find(&mut self, stats: &S, key: &[u8], mut values: Vec<LabelValue<'_>>) -> Option<usize> {
        let family = self.shape.metrics.first()?.0.clone();
        let capped = self.bound_values(stats, &family, &mut values);
        for (level, cap) in self.caps {
            let labels = self.encode(&values, level);
            let row = match self.known.get(labels.as_bytes()) {
                Some(row) => *row,
                None if stats.admit(&family, &labels, cap) => {
                    let row = self.define(stats, &labels, capped || level != Level::Full)?;
                    self.known
                        .insert(labels.into_bytes().into_boxed_slice(), row);
                    row
                }
                None => continue,
            };
            // What overflows has keys without end.
            if level == Level::Full {
                if self.recent.len() >= self.shape.max_series.saturating_mul(2) {
                    self.recent.clear();
                }
                self.recent.insert(key.into(), row);
            }
            return Some(row);
        }
        if self.other.is_none() {
            let names = self.shape.labels.iter().map(|label| label.name.as_str());
            let labels = label::stat_name("", names.map(|name| (name, OTHER)), OTHER.len());
            self.other = Some(self.define(stats, &labels, true)?);
        }
        self.other
    }

    /// Makes values `other` that are on no list or have no place; true if one had no
    /// place.
    fn bound_values(&mut self, stats: &S, family: &str, values: &mut [LabelValue<'_>]) -> bool {
        let shape = &self.shape;
        let is_capped = shape.max_values < shape.max_series;
        let mut capped = false;
        for (index, (label, value)) in shape.labels.iter().zip(values).enumerate() {
            if *value.value == *UNKNOWN {
                continue;
            }
            let mut member = String::new();
            label::push_value(&mut member, &value.value, shape.max_value_length);
            if let Some(listed) = &label.listed {
                if listed.number(member.as_bytes()).is_none() {
                    value.value = Cow::Borrowed(OTHER);
                }
            } else if is_capped && value.open {
                let mut key = vec![index as u8];
                key.extend_from_slice(member.as_bytes());
                if self.values.contains_key(key.as_slice()) {
                    continue;
                }
                let of_label = format!("{family}/{}", label.name);
                if stats.admit(&of_label, &member, shape.max_values - 1) {
                    self.values.insert(key.into_boxed_slice(), index);
                } else {
                    value.value = Cow::Borrowed(OTHER);
                    capped = true;
                }
            }
        }
        capped
    }

    fn define(&mut self, stats: &S, labels: &str, overflow: bool) -> Option<usize> {
        let handles: Option<Box<[S::Handle]>> = self
            .shape
            .metrics
            .iter()
            .map(|(metric, kind)| stats.define(*kind, &format!("{metric}{labels}")))
            .collect();
        let handles = handles?;
        self.rows.push(Row { handles, overflow });
        Some(self.rows.len() - 1)
    }

    fn encode(&self, values: &[LabelValue<'_>], level: Level) -> String {
        let labels = self.shape.labels.iter().zip(values).map(|(label, value)| {
            let shown = match (level, label.last) {
                (Level::Full, _) | (Level::Last, LastResort::Value) => &*value.value,
                (Level::Closed, _) if !value.open => &value.value,
                (Level::Last, LastResort::CodeClass) => code_class(&value.value),
                _ => OTHER,
            };
            (label.name.as_str(), shown)
        });
        label::stat_name("", labels, self.shape.max_value_length)
    }
}

/// `5xx` of `503`; a request without an answer keeps its 0.
fn code_class(code: &[u8]) -> &[u8] {
    match code {
        b"0" => code,
        [b'1', _, _] => b"1xx",
        [b'2', _, _] => b"2xx",
        [b'3', _, _] => b"3xx",
        [b'4', _, _] => b"4xx",
        [b'5', _, _] => b"5xx",
        _ => OTHER,
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
    use std::cell::RefCell;
    use std::collections::HashSet;

    /// What one proxy process knows, shared by its workers.
    #[derive(Clone, Default)]
    struct Process {
        defined: Rc<RefCell<Vec<String>>>,
        admitted: Rc<RefCell<HashMap<String, HashSet<String>>>>,
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

        fn admit(&self, family: &str, member: &str, cap: usize) -> bool {
            let mut families = self.admitted.borrow_mut();
            let admitted = families.entry(family.to_owned()).or_default();
            let member = member.to_owned();
            admitted.contains(&member) || (admitted.len() < cap && admitted.insert(member))
        }
    }

    fn shape(name: &str, closed: Option<usize>, last: LastResort) -> LabelShape {
        LabelShape {
            name: name.into(),
            closed,
            last,
            listed: None,
        }
    }

    fn value(text: impl AsRef<[u8]>, open: bool) -> LabelValue<'static> {
        LabelValue {
            value: Cow::Owned(text.as_ref().to_vec()),
            open,
        }
    }

    fn family(max_series: usize) -> Family<Process> {
        Family::new(FamilyShape {
            metrics: vec![
                ("a_total".into(), Kind::Counter),
                ("b".into(), Kind::Histogram),
            ],
            labels: vec![shape("tenant", None, LastResort::Other)],
            max_series,
            max_values: max_series,
            max_value_length: 8,
        })
    }

    fn record(family: &mut Family<Process>, process: &Process, value: &[u8]) -> bool {
        let mut key = Vec::new();
        push_key(&mut key, value, 8);
        let (_, other) = family
            .series(process, &key, || vec![self::value(value, true)])
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

    /// A tenant that clients choose, a code, and who reports.
    fn outcomes(max_series: usize, max_values: usize) -> Family<Process> {
        Family::new(FamilyShape {
            metrics: vec![("a_total".into(), Kind::Counter)],
            labels: vec![
                shape("tenant", None, LastResort::Other),
                shape("code", Some(usize::MAX), LastResort::CodeClass),
                shape("reporter", Some(3), LastResort::Value),
            ],
            max_series,
            max_values,
            max_value_length: 20,
        })
    }

    fn record_outcome(
        family: &mut Family<Process>,
        process: &Process,
        tenant: &str,
        code: &str,
    ) -> (String, bool) {
        let key = format!("{tenant}/{code}");
        let values = || {
            vec![
                value(tenant, true),
                value(code, false),
                value("source", false),
            ]
        };
        let (handles, overflow) = family.series(process, key.as_bytes(), values).unwrap();
        (process.defined.borrow()[handles[0]].clone(), overflow)
    }

    #[test]
    fn a_client_that_fills_the_cap_hides_no_outcome() {
        for max_series in [2, 3, 8, 10, 50, 100, 1000] {
            let process = Process::default();
            let mut family = outcomes(max_series, max_series);
            for n in 0..2000 {
                record_outcome(&mut family, &process, &format!("junk{n}"), "200");
            }
            let (name, overflow) = record_outcome(&mut family, &process, "acme", "500");
            assert!(overflow);
            let expected = match max_series {
                0..4 => "a_totaltenant=.=other;.;code=.=other;.;reporter=.=other;.;",
                4..8 => "a_totaltenant=.=other;.;code=.=500;.;reporter=.=source;.;",
                _ => "a_totaltenant=.=other;.;code=.=500;.;reporter=.=source;.;",
            };
            assert_eq!(name, expected, "{max_series}");
            // An upstream that answers with every code there is.
            for code in 100..600 {
                record_outcome(&mut family, &process, "junk", &code.to_string());
            }
            let (name, _) = record_outcome(&mut family, &process, "acme", "599");
            if max_series >= 50 {
                assert!(
                    name.contains("code=.=599") || name.contains("code=.=5xx"),
                    "{name}"
                );
                assert!(name.contains("reporter=.=source"), "{name}");
            }
            assert!(process.defined.borrow().len() <= max_series, "{max_series}");
        }
    }

    #[test]
    fn a_label_that_is_full_leaves_the_others_as_they_are() {
        let process = Process::default();
        let mut family = outcomes(1000, 5);
        for n in 0..50 {
            let (_, overflow) = record_outcome(&mut family, &process, &format!("t{n}"), "200");
            assert_eq!(overflow, n >= 4, "{n}");
        }
        let (name, _) = record_outcome(&mut family, &process, "late", "503");
        assert_eq!(
            name,
            "a_totaltenant=.=other;.;code=.=503;.;reporter=.=source;.;"
        );
        assert_eq!(process.defined.borrow().len(), 6);
    }

    #[test]
    fn a_listed_label_shows_its_list_and_other() {
        let process = Process::default();
        let mut family = outcomes(1000, 1000);
        let mut list = Texts::default();
        list.insert(b"acme");
        let tenant = &mut family.shape.labels[0];
        (tenant.listed, tenant.closed) = (Some(Rc::new(list)), Some(3));
        for (tenant, expected) in [("acme", "acme"), ("junk", "other"), ("unknown", "unknown")] {
            let (name, overflow) = record_outcome(&mut family, &process, tenant, "200");
            assert!(
                name.starts_with(&format!("a_totaltenant=.={expected};.;")),
                "{name}"
            );
            assert!(!overflow);
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn there_are_never_more_series_than_the_cap(
            max_series in 2_usize..40,
            max_values in 2_usize..40,
            requests in proptest::collection::vec((0_u16..60, 100_u16..600), 1..300),
        ) {
            let process = Process::default();
            let mut workers = [outcomes(max_series, max_values), outcomes(max_series, max_values)];
            for (n, (tenant, code)) in requests.iter().enumerate() {
                let family = &mut workers[n % 2];
                record_outcome(family, &process, &format!("t{tenant}"), &code.to_string());
            }
            proptest::prop_assert!(process.defined.borrow().len() <= max_series);
        }
    }
}
