//! Random numbers that are the same everywhere: SplitMix64, and what is drawn with it.

/// A sequence by its seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits (G. Steele, D. Lea, C. Flood: "Fast splittable pseudorandom number
    /// generators", 2014).
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of so many.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.bits() % end as u64).unwrap_or_default()
    }

    /// How many events happen where so many do on average. A large mean is drawn in parts, since
    /// the product underflows.
    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 30.0 {
            return self.poisson(mean / 2.0) + self.poisson(mean / 2.0);
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// How many of so many happen, each with this chance.
    pub(crate) fn binomial(&mut self, of: u64, chance: f64) -> u64 {
        if chance <= 0.0 || chance >= 1.0 {
            return if chance > 0.0 { of } else { 0 };
        }
        // The gaps between two are geometric, so rare ones cost little.
        let (mut at, mut count) = (0.0, 0);
        loop {
            at += ((1.0 - self.unit()).ln() / (1.0 - chance).ln()).floor();
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            if at >= of as f64 {
                return count;
            }
            at += 1.0;
            count += 1;
        }
    }
}

#[test]
fn the_means_are_right() {
    let mut random = Random::new(1);
    let mut mean = |draw: &mut dyn FnMut(&mut Random) -> u64| -> f64 {
        (0..20_000).map(|_| draw(&mut random)).sum::<u64>() as f64 / 20_000.0
    };
    assert!((mean(&mut |it| it.poisson(0.5)) - 0.5).abs() < 0.03);
    assert!((mean(&mut |it| it.poisson(100.0)) - 100.0).abs() < 0.4);
    assert!((mean(&mut |it| it.binomial(100, 0.02)) - 2.0).abs() < 0.05);
    assert!((mean(&mut |it| it.binomial(10, 0.5)) - 5.0).abs() < 0.05);
}
