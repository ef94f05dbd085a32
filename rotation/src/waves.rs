//! Which pods a rollout reaches, and when it goes on: sizes and bake times.
//!
//! A pod's place is a stable hash of its UID. A wave reaches the pods up to a place, so a pod that
//! a wave has reached stays reached, whoever comes and goes.

mod place;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use place::Place;

/// The most waves of a rollout.
pub const MAX_WAVES: usize = 16;

/// The longest bake time of a wave.
pub const MAX_BAKE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many pods a wave reaches, those of the waves before it included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaveSize {
    /// So many.
    Pods(u32),
    /// So many of a hundred, rounded up.
    Percent(u8),
}

/// One wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// The pods that it reaches.
    pub size: WaveSize,
    /// How long its pods are watched at least, once all of them hold the target generation.
    pub bake: Duration,
}

/// The waves of a rollout: at least one, and the last reaches every pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Wave>", into = "Vec<Wave>")]
pub struct Waves(Vec<Wave>);

/// Why waves make no rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WavesError {
    /// None, or more than [`MAX_WAVES`].
    #[error("read waves: must be 1 to {MAX_WAVES}, not {0}")]
    Count(usize),
    /// A wave that reaches nobody, or more than everybody.
    #[error("read wave {0}: must reach at least 1 pod and at most 100 %")]
    Size(usize),
    /// A wave that reaches less than the one before it.
    #[error("read wave {0}: must reach more than the wave before it")]
    Shrinks(usize),
    /// A bake time beyond [`MAX_BAKE`].
    #[error("read wave {0}: must bake for at most {MAX_BAKE:?}")]
    Bake(usize),
    /// Pods that no wave reaches.
    #[error("read waves: the last must reach 100 %")]
    Last,
}

impl WaveSize {
    /// How many of so many pods: at least one, at most all.
    #[must_use]
    pub fn of(self, pods: usize) -> usize {
        let wanted = match self {
            Self::Pods(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Self::Percent(percent) => pods.saturating_mul(usize::from(percent)).div_ceil(100),
        };
        wanted.clamp(1, pods.max(1))
    }

    fn is_possible(self) -> bool {
        match self {
            Self::Pods(count) => count > 0,
            Self::Percent(percent) => (1..=100).contains(&percent),
        }
    }

    /// Whether this reaches more than `other` in a workload that is large enough.
    fn is_above(self, other: Self) -> bool {
        match (self, other) {
            (Self::Pods(one), Self::Pods(two)) => one > two,
            (Self::Percent(one), Self::Percent(two)) => one > two,
            (Self::Percent(_), Self::Pods(_)) => true,
            (Self::Pods(_), Self::Percent(_)) => false,
        }
    }
}

impl Waves {
    /// All pods in one wave.
    #[must_use]
    pub fn all_at_once(bake: Duration) -> Self {
        Self(vec![Wave { size: WaveSize::Percent(100), bake: bake.min(MAX_BAKE) }])
    }

    /// The wave with this number, from 0.
    #[must_use]
    pub fn wave(&self, number: usize) -> Option<Wave> {
        self.0.get(number).copied()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The last place that a wave reaches, of these pods. `None` without pods, or without the wave.
    #[must_use]
    pub fn reach<'u>(
        &self,
        number: usize,
        uids: impl IntoIterator<Item = &'u str>,
    ) -> Option<Place> {
        let mut places: Vec<Place> = uids.into_iter().map(Place::of).collect();
        places.sort_unstable();
        let count = self.wave(number)?.size.of(places.len());
        places.get(count - 1).copied()
    }
}

impl Default for Waves {
    /// 1 pod, 10 %, 50 % and all, a minute each.
    fn default() -> Self {
        let bake = Duration::from_secs(60);
        let sizes = [
            WaveSize::Pods(1),
            WaveSize::Percent(10),
            WaveSize::Percent(50),
            WaveSize::Percent(100),
        ];
        Self(sizes.map(|size| Wave { size, bake }).to_vec())
    }
}

impl TryFrom<Vec<Wave>> for Waves {
    type Error = WavesError;

    fn try_from(waves: Vec<Wave>) -> Result<Self, WavesError> {
        let is_count = (1..=MAX_WAVES).contains(&waves.len());
        let last = waves.last().filter(|_| is_count).ok_or(WavesError::Count(waves.len()))?;
        let mut before = None;
        for (at, wave) in waves.iter().enumerate() {
            if !wave.size.is_possible() {
                return Err(WavesError::Size(at));
            }
            if before.is_some_and(|before| !wave.size.is_above(before)) {
                return Err(WavesError::Shrinks(at));
            }
            if wave.bake > MAX_BAKE {
                return Err(WavesError::Bake(at));
            }
            before = Some(wave.size);
        }
        if last.size == WaveSize::Percent(100) { Ok(Self(waves)) } else { Err(WavesError::Last) }
    }
}

impl From<Waves> for Vec<Wave> {
    fn from(waves: Waves) -> Self {
        waves.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wave(size: WaveSize) -> Wave {
        Wave { size, bake: Duration::from_secs(60) }
    }

    #[test]
    fn a_wave_reaches_at_least_one_pod_and_rounds_up() {
        use WaveSize::{Percent, Pods};
        for (size, pods, expected) in [
            (Pods(1), 100, 1),
            (Pods(5), 3, 3),
            (Percent(10), 1, 1),
            (Percent(10), 10, 1),
            (Percent(10), 11, 2),
            (Percent(50), 3, 2),
            (Percent(100), 7, 7),
            (Percent(1), 0, 1),
        ] {
            assert_eq!(size.of(pods), expected, "{size:?} of {pods}");
        }
    }

    #[test]
    fn waves_grow_and_end_with_every_pod() {
        use WaveSize::{Percent, Pods};
        for (sizes, expected) in [
            (vec![], Err(WavesError::Count(0))),
            (vec![Percent(100); 17], Err(WavesError::Count(17))),
            (vec![Pods(0), Percent(100)], Err(WavesError::Size(0))),
            (vec![Percent(101)], Err(WavesError::Size(0))),
            (vec![Percent(0), Percent(100)], Err(WavesError::Size(0))),
            (vec![Percent(50), Percent(50), Percent(100)], Err(WavesError::Shrinks(1))),
            (vec![Percent(50), Pods(99), Percent(100)], Err(WavesError::Shrinks(1))),
            (vec![Pods(2), Pods(1), Percent(100)], Err(WavesError::Shrinks(1))),
            (vec![Pods(1), Percent(99)], Err(WavesError::Last)),
            (vec![Pods(100)], Err(WavesError::Last)),
            (vec![Pods(1), Pods(3), Percent(1), Percent(100)], Ok(())),
            (vec![Percent(100)], Ok(())),
        ] {
            let waves: Vec<_> = sizes.iter().copied().map(wave).collect();
            assert_eq!(Waves::try_from(waves).map(drop), expected, "{sizes:?}");
        }
        let long = Wave { size: Percent(100), bake: MAX_BAKE + Duration::from_secs(1) };
        assert_eq!(Waves::try_from(vec![long]), Err(WavesError::Bake(0)));
        assert_eq!(Waves::try_from(Vec::from(Waves::default())), Ok(Waves::default()));
        assert_eq!(WavesError::Bake(2).to_string(), "read wave 2: must bake for at most 604800s");
    }

    #[test]
    fn no_pods_are_reached_by_nothing() {
        assert_eq!(Waves::default().reach(0, []), None);
        assert_eq!(Waves::default().reach(4, ["a"]), None);
    }

    proptest! {
        #[test]
        fn a_reached_pod_stays_reached_and_the_last_wave_reaches_all(
            uids in prop::collection::hash_set("[a-f0-9]{8}", 1..60),
        ) {
            let waves = Waves::default();
            let mut before = 0;
            for number in 0..waves.count() {
                let last = waves.reach(number, uids.iter().map(String::as_str)).unwrap();
                let reached = uids.iter().filter(|it| Place::of(it) <= last).count();
                prop_assert_eq!(reached, waves.wave(number).unwrap().size.of(uids.len()));
                prop_assert!(reached >= before);
                before = reached;
            }
            prop_assert_eq!(before, uids.len());
        }
    }
}
