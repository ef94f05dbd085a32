//! Counts latencies in buckets whose width is 1/32 of their value, in 16 KiB for any number of
//! requests.

const SUB_BITS: u32 = 5;
const SUBS: usize = 1 << SUB_BITS;

/// Counts of latencies in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; (64 - SUB_BITS as usize + 1) * SUBS], total: 0 }
    }
}

impl Histogram {
    pub(super) fn add(&mut self, microseconds: u64) {
        self.counts[bucket(microseconds)] += 1;
        self.total += 1;
    }

    /// The latency that this percentage of all requests does not exceed, rounded up to the end of
    /// its bucket; 0 without requests.
    pub(super) fn percentile(&self, percent: u64) -> u64 {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper(at);
            }
        }
        0
    }
}

fn bucket(value: u64) -> usize {
    let octave = (64 - value.leading_zeros()).saturating_sub(SUB_BITS + 1);
    octave as usize * SUBS + usize::try_from(value >> octave).unwrap_or(0)
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let octave = (bucket / SUBS).saturating_sub(1);
    let start = (bucket - octave * SUBS) as u64;
    ((start + 1) << octave).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_are_bucket_ends() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(99), 0);
        for value in 1..=30 {
            histogram.add(value);
        }
        assert_eq!(histogram.percentile(50), 15);
        assert_eq!(histogram.percentile(100), 30);
        histogram.add(1_000_000);
        assert!((1_000_000..1_032_000).contains(&histogram.percentile(100)));
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_values_and_is_narrow(value: u64) {
            let at = bucket(value);
            prop_assert!(at < Histogram::default().counts.len());
            prop_assert!(upper(at) >= value);
            prop_assert!(upper(at) - value <= value / SUBS as u64);
            prop_assert!(at == 0 || upper(at - 1) < value);
        }
    }
}
