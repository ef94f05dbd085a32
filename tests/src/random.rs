//! Reproducible random numbers.

/// SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Clone, Debug)]
pub struct SeededRng(u64);

impl SeededRng {
    /// A generator with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `end`, which must not be zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    /// A new generator, seeded from this one.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self(self.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        // The published test vector of SplitMix64.
        let mut one = SeededRng::new(1_234_567);
        assert_eq!(
            [one.next_u64(), one.next_u64()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
        let (mut two, mut three) = (SeededRng::new(1), SeededRng::new(2));
        assert_ne!(two.split().next_u64(), three.split().next_u64());
        assert!((0..100).all(|_| two.below(3) < 3));
    }
}
