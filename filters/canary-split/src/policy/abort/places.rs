//! Where the arms' requests go, for a canary that is gone altogether.

/// While the canary has succeeded this lately, milliseconds, it is not gone.
const FRESH_MILLIS: u64 = 5_000;

/// Clusters that are remembered.
const CLUSTERS: usize = 8;
/// Heads of the baseline's requests that are remembered.
const HEADS: usize = 32;

/// Where a request found no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Hash of the upstream cluster; 0 when it is not known.
    pub(super) cluster: u32,
    /// Hash of host and first path segment.
    pub(super) head: u32,
}

/// What is known of the destinations of both arms. It outlives an abort.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Places {
    /// When the canary succeeded last, milliseconds since the Unix epoch.
    pub(super) succeeded: u64,
    /// Clusters that have served the canary.
    pub(super) served: Vec<u32>,
    /// Clusters that the baseline's requests go to as well: they are not the
    /// canary's, however empty.
    pub(super) shared: Vec<u32>,
    /// What the baseline serves.
    pub(super) heads: Vec<u32>,
}

impl Places {
    pub(super) const MOST: [usize; 3] = [CLUSTERS, CLUSTERS, HEADS];

    pub(super) fn canary_served(&mut self, cluster: u32) {
        remember(&mut self.served, cluster, CLUSTERS);
    }

    pub(super) fn baseline_went_to(&mut self, cluster: u32) {
        remember(&mut self.shared, cluster, CLUSTERS);
    }

    pub(super) fn baseline_served(&mut self, place: Place) {
        remember(&mut self.shared, place.cluster, CLUSTERS);
        remember(&mut self.heads, place.head, HEADS);
    }

    /// Whether an empty place means that the canary is gone: it has not served
    /// lately, the place is its own, and it is where the canary has served before
    /// or, if it never has, where the baseline serves.
    pub(super) fn is_gone(&self, now: u64, place: Place) -> bool {
        if now.saturating_sub(self.succeeded) < FRESH_MILLIS || self.shared.contains(&place.cluster)
        {
            return false;
        }
        if self.served.is_empty() {
            return self.heads.is_empty() || self.heads.contains(&place.head);
        }
        self.served.contains(&place.cluster)
    }
}

/// Keeps the latest `most`, each once.
fn remember(list: &mut Vec<u32>, entry: u32, most: usize) {
    if entry == 0 || list.last() == Some(&entry) {
        return;
    }
    list.retain(|known| *known != entry);
    if list.len() >= most {
        list.remove(0);
    }
    list.push(entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Place = Place {
        cluster: 10,
        head: 1,
    };
    const OTHER: Place = Place {
        cluster: 20,
        head: 2,
    };

    #[test]
    fn a_canary_that_never_served_is_gone_where_the_baseline_serves() {
        let mut places = Places::default();
        assert!(places.is_gone(100_000, OTHER), "nothing is known");
        places.baseline_served(Place {
            cluster: 11,
            head: 1,
        });
        assert!(places.is_gone(100_000, OWN));
        assert!(
            !places.is_gone(100_000, OTHER),
            "the baseline does not serve it"
        );
    }

    #[test]
    fn a_canary_that_served_is_gone_where_it_served() {
        let mut places = Places::default();
        places.canary_served(OWN.cluster);
        places.succeeded = 100_000;
        assert!(!places.is_gone(104_999, OWN), "fresh");
        assert!(places.is_gone(105_000, OWN));
        assert!(!places.is_gone(105_000, OTHER), "another destination");
    }

    #[test]
    fn a_cluster_of_both_arms_is_not_the_canarys() {
        let mut places = Places::default();
        places.baseline_went_to(OTHER.cluster);
        assert!(!places.is_gone(100_000, OTHER));
        for cluster in 30..60 {
            places.baseline_went_to(cluster);
        }
        assert_eq!(places.shared.len(), CLUSTERS);
    }
}
