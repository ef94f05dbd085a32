//! What an application has counted since it started, and what was added between two looks. Pure.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use contract::requests::MAX_BOUNDS;

use super::exposition::{Sample, samples};
use super::preset::{Counted, PRESETS, Preset};

/// The most series that are kept: sixteen bytes each.
const MAX_SERIES: usize = 16_384;

/// The counters of one look.
#[derive(Debug)]
pub(super) struct Totals {
    /// `None` where nothing counts requests yet.
    pub(super) preset: Option<&'static Preset>,
    /// By the hash of its name and labels.
    series: HashMap<u64, (Counted, f64)>,
}

/// What was added between two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) requests: u64,
    pub(super) errors: u64,
    /// By the bound in microseconds, how many took as long or less, and longer than the bound
    /// before. The last one is `u64::MAX`.
    pub(super) latency: BTreeMap<u64, u64>,
}

impl Totals {
    /// Reads the metrics of an application. `known` is how it counted before; `own_path` is the
    /// path of the metrics.
    pub(super) fn read(text: &str, known: Option<&'static Preset>, own_path: &str) -> Self {
        let preset = known.or_else(|| choose(text, own_path));
        let mut series = HashMap::new();
        let Some(found) = preset else { return Self { preset, series } };
        for sample in samples(text) {
            let Some(counted) = found.counted(&sample, own_path) else { continue };
            if series.len() >= MAX_SERIES {
                break;
            }
            let mut hasher = DefaultHasher::new();
            (sample.name, sample.labels).hash(&mut hasher);
            series.insert(hasher.finish(), (counted, sample.value));
        }
        Self { preset, series }
    }

    /// What was added since an earlier look. A counter that has gone back started again at zero,
    /// and one that is new started there.
    pub(super) fn since(&self, before: &Self) -> Added {
        let (mut requests, mut errors) = (0.0, 0.0);
        let mut cumulative: BTreeMap<u64, f64> = BTreeMap::new();
        for (key, (counted, value)) in &self.series {
            let earlier = before.series.get(key).map_or(0.0, |(_, earlier)| *earlier);
            let added = if *value >= earlier { value - earlier } else { *value };
            match counted {
                Counted::Requests { failed } => {
                    requests += added;
                    errors += if *failed { added } else { 0.0 };
                }
                Counted::Bucket(bound) => *cumulative.entry(*bound).or_default() += added,
            }
        }
        let (requests, errors) = (whole(requests), whole(errors));
        Added { requests, errors: errors.min(requests), latency: apart(&cumulative) }
    }
}

/// The first preset of which a counter is there.
fn choose(text: &str, own_path: &str) -> Option<&'static Preset> {
    let counts = |at: usize, sample: &Sample<'_>| {
        let counted = PRESETS.get(at)?.counted(sample, own_path)?;
        matches!(counted, Counted::Requests { .. }).then_some(at)
    };
    let mut best = PRESETS.len();
    for sample in samples(text) {
        best = (0..best).find_map(|at| counts(at, &sample)).unwrap_or(best);
        if best == 0 {
            break;
        }
    }
    PRESETS.get(best)
}

/// Takes cumulative buckets apart. Where two series have other bounds, the sums may go back; such
/// a bucket is empty.
fn apart(cumulative: &BTreeMap<u64, f64>) -> BTreeMap<u64, u64> {
    let mut bounds: Vec<u64> = cumulative.keys().copied().filter(|it| *it != u64::MAX).collect();
    // Every second one, until they are few enough.
    while bounds.len() > MAX_BOUNDS {
        let mut is_kept = false;
        bounds.retain(|_| {
            is_kept = !is_kept;
            is_kept
        });
    }
    let mut below = 0u64;
    let mut apart = BTreeMap::new();
    for bound in bounds.into_iter().chain((!cumulative.is_empty()).then_some(u64::MAX)) {
        let sum = cumulative.get(&bound).copied().map_or(below, whole).max(below);
        apart.insert(bound, sum - below);
        below = sum;
    }
    apart
}

/// A count. Counters are whole numbers, whatever their type.
fn whole(count: f64) -> u64 {
    count.round() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Totals {
        Totals::read(text, None, "/metrics")
    }

    #[test]
    fn what_was_added_between_two_looks() {
        let before = read(
            "http_requests_total{code=\"200\"} 100\nhttp_requests_total{code=\"500\"} 5\n\
             http_request_duration_seconds_bucket{le=\"0.1\"} 90\n\
             http_request_duration_seconds_bucket{le=\"1\"} 104\n\
             http_request_duration_seconds_bucket{le=\"+Inf\"} 105\n",
        );
        let after = read(
            "http_requests_total{code=\"200\"} 110\nhttp_requests_total{code=\"500\"} 6\n\
             http_requests_total{code=\"503\"} 2\n\
             http_request_duration_seconds_bucket{le=\"0.1\"} 97\n\
             http_request_duration_seconds_bucket{le=\"1\"} 115\n\
             http_request_duration_seconds_bucket{le=\"+Inf\"} 118\n",
        );
        let latency = [(100_000, 7), (1_000_000, 4), (u64::MAX, 2)].into();
        assert_eq!(after.since(&before), Added { requests: 13, errors: 3, latency });
        assert_eq!(after.since(&after).requests, 0);
    }

    #[test]
    fn a_counter_that_starts_again_counts_from_zero() {
        let before =
            read("http_requests_total{code=\"200\"} 1000\nhttp_requests_total{code=\"500\"} 7\n");
        let after =
            read("http_requests_total{code=\"200\"} 3\nhttp_requests_total{code=\"500\"} 9\n");
        let added = after.since(&before);
        // One of two processes may restart alone.
        assert_eq!((added.requests, added.errors), (5, 2));
    }

    #[test]
    fn the_preset_is_the_first_of_the_list_whatever_the_order_of_the_text() {
        let text = "http_requests_total{code=\"200\"} 1\n\
                    istio_requests_total{reporter=\"destination\",response_code=\"200\"} 1\n\
                    http_server_requests_seconds_count{status=\"200\"} 1\n";
        assert_eq!(read(text).preset.unwrap().requests, "istio_requests_total");
        // Once known it stays, though the application has restarted and counts nothing yet.
        let known = read(text).preset;
        assert_eq!(Totals::read("", known, "/metrics").preset, known);
        assert_eq!(read("up 1\n").preset, None);
        // A histogram alone does not say what failed.
        assert_eq!(read("http_request_duration_seconds_bucket{le=\"1\"} 1\n").preset, None);
    }

    #[test]
    fn there_are_never_too_many_bounds() {
        let cumulative = (1..=100).map(|bound| (bound, bound as f64)).chain([(u64::MAX, 120.0)]);
        let apart = apart(&cumulative.collect());
        assert!(apart.len() <= MAX_BOUNDS + 1);
        assert_eq!(apart.values().sum::<u64>(), 120);
        assert_eq!(apart.keys().last(), Some(&u64::MAX));
    }

    #[test]
    fn series_are_bounded() {
        let text: String = (0..2 * MAX_SERIES)
            .map(|at| format!("http_requests_total{{code=\"200\",path=\"/{at}\"}} 1\n"))
            .collect();
        assert_eq!(read(&text).series.len(), MAX_SERIES);
    }

    proptest! {
        #[test]
        fn errors_are_never_more_than_requests(
            before in prop::collection::vec(0u32..1000, 4),
            after in prop::collection::vec(0u32..1000, 4),
        ) {
            let text = |counts: &[u32]| -> String {
                let codes = ["200", "404", "500", "503"];
                let line =
                    |(code, count)| format!("http_requests_total{{code=\"{code}\"}} {count}\n");
                codes.iter().zip(counts).map(line).collect()
            };
            let added = read(&text(&after)).since(&read(&text(&before)));
            let added_by_one = |(old, new): (&u32, &u32)| new.checked_sub(*old).unwrap_or(*new);
            let expected: u32 = before.iter().zip(&after).map(added_by_one).sum();
            prop_assert_eq!(added.requests, u64::from(expected));
            prop_assert!(added.errors <= added.requests);
        }
    }
}
