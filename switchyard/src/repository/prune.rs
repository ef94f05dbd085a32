//! Which generations of a bundle may go. Pure.

use std::collections::BTreeSet;

use contract::Generation;
use jiff::Timestamp;

use super::LivedTime;

/// A generation that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownGeneration {
    /// Its number.
    pub number: Generation,
    /// When it was made, in lived time.
    pub made: LivedTime,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What of a bundle somebody needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededGenerations {
    /// How many generations there are.
    pub count: u64,
    /// What pods get, and what a rollout goes back to.
    pub stable: Generation,
    /// What a rollout moves to.
    pub target: Option<Generation>,
    /// What pods hold.
    pub held: BTreeSet<Generation>,
}

/// What is kept of each bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrunePolicy {
    /// So many of the newest generations.
    pub newest: u64,
    /// Those that another one followed after this lived time.
    pub before: LivedTime,
    /// Those whose reads may not be counted yet: that another one followed after this time.
    pub counted_until: Timestamp,
}

/// The generations to prune.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prunable {
    /// Their numbers.
    pub generations: Vec<Generation>,
    /// The one that followed the newest of them, and when it was made. Nothing is known any more of
    /// those before it that are not kept.
    pub followed_by: Option<(Generation, Timestamp)>,
}

/// Which of the oldest generations, in order, may go: `limit` at most. The last one of `oldest` is
/// never among them, because nothing says what followed it.
#[must_use]
pub fn prunable(
    oldest: &[KnownGeneration],
    needed: &NeededGenerations,
    policy: PrunePolicy,
    limit: usize,
) -> Prunable {
    let NeededGenerations { count, stable, target, held } = needed;
    let mut found = Prunable::default();
    for (at, pair) in (1_u64..).zip(oldest.windows(2)) {
        let [known, next] = pair else { continue };
        let newer = count.saturating_sub(at);
        let is_kept = newer < policy.newest
            || next.made > policy.before
            || next.created_at >= policy.counted_until
            || known.number >= *stable
            || target.is_some_and(|target| known.number >= target)
            || held.contains(&known.number);
        if is_kept {
            continue;
        }
        if found.generations.len() >= limit {
            break;
        }
        found.generations.push(known.number);
        found.followed_by = Some((next.number, next.created_at));
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn generations(numbers: impl IntoIterator<Item = u64>) -> Vec<KnownGeneration> {
        let at = |number: u64| i64::try_from(number).unwrap() * 10;
        let one = |number| KnownGeneration {
            number: Generation(number),
            made: LivedTime(at(number)),
            created_at: time(at(number)),
        };
        numbers.into_iter().map(one).collect()
    }

    #[test]
    fn what_is_needed_stays() {
        let all = generations(1..=10);
        let (count, stable, target) = (10, Generation(10), None);
        let needed = NeededGenerations { count, stable, target, held: BTreeSet::new() };
        let policy = PrunePolicy { newest: 3, before: LivedTime(1000), counted_until: time(1000) };
        let numbers = |needed: &NeededGenerations, policy, limit| {
            let found = prunable(&all, needed, policy, limit).generations;
            found.into_iter().map(|it| it.0).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&needed, policy, 100), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(numbers(&needed, policy, 2), [1, 2]);
        let held = NeededGenerations {
            held: [Generation(2), Generation(9)].into(),
            target: Some(Generation(6)),
            ..needed
        };
        assert_eq!(numbers(&held, policy, 100), [1, 3, 4, 5]);
        let back = NeededGenerations { stable: Generation(3), ..needed.clone() };
        assert_eq!(numbers(&back, policy, 100), [1, 2]);
        // 4 was followed by 5 at 50.
        assert_eq!(
            numbers(&needed, PrunePolicy { before: LivedTime(50), ..policy }, 9),
            [1, 2, 3, 4]
        );
        assert_eq!(
            numbers(&needed, PrunePolicy { counted_until: time(50), ..policy }, 9),
            [1, 2, 3]
        );
        assert!(numbers(&needed, PrunePolicy { newest: 10, ..policy }, 9).is_empty());
        let found = prunable(&all, &needed, policy, 4);
        assert_eq!(found.followed_by, Some((Generation(5), time(50))));
        assert_eq!(prunable(&all[..1], &needed, policy, 4), Prunable::default());
        assert_eq!(prunable(&[], &needed, policy, 4), Prunable::default());
    }

    proptest! {
        /// However often it is done, with whatever limit and however much of the list is seen.
        #[test]
        fn nothing_is_pruned_that_is_new_active_or_held(
            numbers in prop::collection::btree_set(1_u64..60, 1..40),
            held in prop::collection::btree_set(1_u64..60, 0..6),
            back in 0_usize..5, target in prop::option::of(1_u64..60), newest in 1_u64..12,
            before in 0_i64..700, counted in 0_i64..700, limit in 1_usize..8, seen in 2_usize..20,
        ) {
            let all: Vec<u64> = numbers.into_iter().collect();
            let stable = all[all.len() - 1 - back.min(all.len() - 1)];
            let policy = PrunePolicy {
                newest, before: LivedTime(before), counted_until: time(counted),
            };
            let mut left = all.clone();
            loop {
                let needed = NeededGenerations {
                    count: left.len() as u64,
                    stable: Generation(stable),
                    target: target.map(Generation),
                    held: held.iter().copied().map(Generation).collect(),
                };
                let oldest = generations(left.iter().copied().take(seen));
                let found = prunable(&oldest, &needed, policy, limit);
                prop_assert!(found.generations.len() <= limit);
                if found.generations.is_empty() {
                    break;
                }
                left.retain(|number| !found.generations.contains(&Generation(*number)));
            }
            let gone: Vec<u64> = all.iter().copied().filter(|it| !left.contains(it)).collect();
            let newest = usize::try_from(newest).unwrap();
            for number in gone {
                let next = all.iter().copied().find(|it| *it > number).unwrap();
                let age = i64::try_from(next).unwrap() * 10;
                prop_assert!(age <= before && age < counted, "{} is too new", number);
                prop_assert!(number < stable && target.is_none_or(|it| number < it), "{}", number);
                prop_assert!(!held.contains(&number), "{} is held", number);
                let newer = all.iter().filter(|it| **it > number).count();
                prop_assert!(newer >= newest, "{} is one of the newest", number);
            }
            prop_assert!(left.len() >= newest.min(all.len()));
        }
    }
}
