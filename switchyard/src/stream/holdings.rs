//! What a pod holds and what it refuses, as far as switchyard knows. Pure.
//!
//! An agent refuses a snapshot as a whole, and says which generations were in it. Of these only the
//! ones that the pod did not hold before are refused: the others work, as they do in the files now.
//! A refused generation is not sent to the pod again. It holds up no other bundle: the pod gets
//! those beside the generation of this bundle that it holds. Of two that failed together nobody
//! knows which one it was, so both wait for a newer one of their own.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use contract::BundleRef;
use contract::stream::BundleGeneration;

/// How many refused generations of one bundle are remembered: only the newest is ever about to be
/// sent, and some more in case that a rollout moves between a few.
const MAX_REFUSED_PER_BUNDLE: usize = 4;

/// What one pod holds and refuses. Generations are compared with their tags: a number alone may be
/// that of another generation, from before a restore or of another project.
#[derive(Debug, Default)]
pub(super) struct PodHoldings {
    /// What the pod was last told to hold, or said in its hello that it holds.
    told: Vec<BundleGeneration>,
    /// What it last said that its files hold.
    confirmed: Vec<BundleGeneration>,
    /// What it said before that.
    before: Vec<BundleGeneration>,
    refused: Vec<BundleGeneration>,
}

impl PodHoldings {
    /// From the hello of a pod that follows these bundles.
    pub(super) fn from_hello(
        bundles: &[&BundleRef],
        holds: Vec<BundleGeneration>,
        refused: Vec<BundleGeneration>,
    ) -> Self {
        let told = tagged(holds);
        let confirmed = told.clone();
        let mut holdings = Self { told, confirmed, ..Self::default() };
        holdings.refuse(bundles, refused);
        holdings.refused.retain(|it| !holdings.told.contains(it));
        holdings
    }

    /// What the pod was last told to hold, or said in its hello that it holds.
    pub(super) fn told(&self) -> &[BundleGeneration] {
        &self.told
    }

    /// The generations that the pod refuses.
    pub(super) fn refused(&self) -> &[BundleGeneration] {
        &self.refused
    }

    /// The generation that the pod keeps instead of `wanted`, if it refuses that. A pod that holds
    /// nothing of the bundle keeps nothing: it is sent the generation, as its files do not come
    /// from anywhere else.
    pub(super) fn kept_instead(&self, wanted: &BundleGeneration) -> Option<&BundleGeneration> {
        if !self.refused.contains(wanted) {
            return None;
        }
        of_bundle(&self.told, &wanted.bundle).filter(|held| *held != wanted)
    }

    /// The pod was told to hold this.
    pub(super) fn tell(&mut self, holds: Vec<BundleGeneration>) {
        self.told = holds;
    }

    /// The pod says that its files hold this.
    pub(super) fn applied(&mut self, holds: Vec<BundleGeneration>) {
        let holds = tagged(holds);
        self.refused.retain(|it| !holds.contains(it));
        if holds != self.confirmed {
            self.before = std::mem::replace(&mut self.confirmed, holds);
        }
    }

    /// The pod says that a snapshot with these generations failed a check. An agent may have said
    /// before that its files hold them, or not. If one of them is refused already, that is why, and
    /// the others can be sent again. Returns those that the pod does not hold.
    pub(super) fn failed_check(
        &mut self,
        bundles: &[&BundleRef],
        wanted: Vec<BundleGeneration>,
    ) -> Vec<BundleGeneration> {
        let wanted = tagged(wanted);
        if !wanted.is_empty() && wanted.iter().all(|it| self.confirmed.contains(it)) {
            self.confirmed = std::mem::take(&mut self.before);
        }
        let failed: Vec<_> = wanted.into_iter().filter(|it| !self.confirmed.contains(it)).collect();
        for told in self.told.iter_mut().filter(|it| failed.contains(it)) {
            if let Some(held) = of_bundle(&self.confirmed, &told.bundle) {
                told.clone_from(held);
            }
        }
        if !failed.iter().any(|it| self.refused.contains(it)) {
            self.refuse(bundles, failed.clone());
        }
        failed
    }

    /// The pod says that its files hold these again.
    pub(super) fn restored(&mut self, holds: Vec<BundleGeneration>) {
        let holds = tagged(holds);
        for told in self.told.iter_mut().filter(|it| self.refused.contains(it)) {
            if let Some(held) = of_bundle(&holds, &told.bundle) {
                told.clone_from(held);
            }
        }
        self.confirmed = holds;
    }

    /// Remembers the newest ones of the bundles that the pod follows.
    fn refuse(&mut self, bundles: &[&BundleRef], refused: Vec<BundleGeneration>) {
        self.refused.extend(tagged(refused).into_iter().filter(|it| bundles.contains(&&it.bundle)));
        self.refused.sort_by_key(|it| (Reverse(it.generation), it.bundle.clone(), it.tag.clone()));
        self.refused.dedup();
        let mut counts: BTreeMap<BundleRef, usize> = BTreeMap::new();
        self.refused.retain(|it| {
            let count = counts.entry(it.bundle.clone()).or_default();
            *count += 1;
            *count <= MAX_REFUSED_PER_BUNDLE
        });
    }
}

fn tagged(generations: Vec<BundleGeneration>) -> Vec<BundleGeneration> {
    generations.into_iter().filter(|it| it.tag.is_some()).collect()
}

fn of_bundle<'a>(
    generations: &'a [BundleGeneration],
    bundle: &BundleRef,
) -> Option<&'a BundleGeneration> {
    generations.iter().find(|it| it.bundle == *bundle)
}

#[cfg(test)]
mod tests {
    use contract::Generation;

    use super::*;

    /// `a3` is generation 3 of bundle `a-prod`, and `a3x` another one with that number.
    fn generations(text: &str) -> Vec<BundleGeneration> {
        let one = |word: &str| {
            let number: String = word[1..].chars().filter(char::is_ascii_digit).collect();
            BundleGeneration {
                bundle: format!("{}-prod", &word[..1]).parse().unwrap(),
                generation: Generation(number.parse().unwrap()),
                tag: (!word.ends_with('-')).then(|| format!("t{}", &word[1..]).parse().unwrap()),
            }
        };
        text.split_whitespace().map(one).collect()
    }

    fn bundles() -> [BundleRef; 2] {
        ["a-prod", "b-prod"].map(|it| it.parse().unwrap())
    }

    fn hello(holds: &str, refused: &str) -> PodHoldings {
        let [a, b] = &bundles();
        PodHoldings::from_hello(&[a, b], generations(holds), generations(refused))
    }

    /// What a pod is sent if these are wanted.
    fn sent(holdings: &PodHoldings, wanted: &str) -> Vec<BundleGeneration> {
        let one = |it| holdings.kept_instead(&it).cloned().unwrap_or(it);
        generations(wanted).into_iter().map(one).collect()
    }

    #[test]
    fn a_refused_generation_is_not_sent_beside_what_is_held() {
        for (holds, refused, wanted, expected) in [
            ("a1", "", "a2", "a2"),
            ("a1", "a2", "a2", "a1"),
            // A newer one, and another one with the number.
            ("a1", "a2", "a3", "a3"),
            ("a1", "a2", "a2x", "a2x"),
            // A number alone names no generation for sure.
            ("a1", "a2-", "a2", "a2"),
            // A pod that holds nothing of the bundle is sent something.
            ("", "a2", "a2", "a2"),
            ("b1", "a2", "a2 b1", "a2 b1"),
            ("a1-", "a2", "a2", "a2"),
            // What is held works.
            ("a2", "a2", "a2", "a2"),
            // A refused generation holds up no other bundle.
            ("a1 b1", "a2", "a2 b2", "a1 b2"),
            ("a1 b1", "a2 b2", "a2 b2", "a1 b1"),
            ("a1 b1", "a2 b2", "a3 b2", "a3 b1"),
            // A bundle that the pod does not follow.
            ("a1", "c2", "c2", "c2"),
        ] {
            let case = format!("{holds}, {refused}: {wanted}");
            assert_eq!(sent(&hello(holds, refused), wanted), generations(expected), "{case}");
        }
    }

    enum PodStep {
        Tell(&'static str),
        Applied(&'static str),
        Failed(&'static str),
        Restored(&'static str),
    }

    #[test]
    fn what_failed_a_check_is_refused_on_the_open_stream() {
        use PodStep::{Applied, Failed, Restored, Tell};
        let [a, b] = &bundles();
        for (case, holds, steps, told, refused) in [
            ("before the swap", "a1", vec![Tell("a2"), Failed("a2")], "a1", "a2"),
            (
                "after the swap",
                "a1",
                vec![Tell("a2"), Applied("a2"), Failed("a2"), Restored("a1")],
                "a1",
                "a2",
            ),
            (
                "the restore is said first",
                "a1",
                vec![Tell("a2"), Applied("a2"), Restored("a1"), Failed("a2")],
                "a1",
                "a2",
            ),
            (
                "another bundle was in the snapshot, and did not change",
                "a1 b1",
                vec![Tell("a2 b1"), Applied("a2 b1"), Failed("a2 b1"), Restored("a1 b1")],
                "a1 b1",
                "a2",
            ),
            (
                "a newer one is on its way",
                "a1",
                vec![Tell("a2"), Tell("a3"), Failed("a2")],
                "a3",
                "a2",
            ),
            (
                "the next snapshot was on its way with what failed",
                "a1 b1",
                vec![Tell("a2 b1"), Tell("a2 b2"), Failed("a2 b1"), Failed("a2 b2")],
                "a1 b1",
                "a2",
            ),
            ("nothing was held", "", vec![Tell("a1"), Failed("a1")], "a1", "a1"),
            (
                "it works after all",
                "a1",
                vec![Tell("a2"), Failed("a2"), Tell("a2"), Applied("a2")],
                "a2",
                "",
            ),
        ] {
            let mut holdings = hello(holds, "");
            for step in steps {
                match step {
                    Tell(it) => holdings.tell(generations(it)),
                    Applied(it) => holdings.applied(generations(it)),
                    Failed(it) => drop(holdings.failed_check(&[a, b], generations(it))),
                    Restored(it) => holdings.restored(generations(it)),
                }
            }
            assert_eq!(holdings.told(), generations(told), "{case}");
            let expected = generations(refused);
            assert!(expected.iter().all(|it| holdings.refused().contains(it)), "{case}");
            assert_eq!(holdings.refused().len(), expected.len(), "{case}");
        }
    }

    #[test]
    fn the_newest_refused_generations_of_each_bundle_are_remembered() {
        let many = |bundle: &str| -> String {
            (2..500).map(|number| format!("{bundle}{number} ")).collect()
        };
        let mut holdings = hello("a1 b1", &(many("a") + &many("b") + &many("c")));
        let of = |holdings: &PodHoldings, bundle: &str| -> Vec<u64> {
            let of_bundle = |it: &&BundleGeneration| it.bundle.as_str().starts_with(bundle);
            holdings.refused().iter().filter(of_bundle).map(|it| it.generation.0).collect()
        };
        let newest = [499, 498, 497, 496];
        assert_eq!((of(&holdings, "a"), of(&holdings, "c")), (newest.to_vec(), vec![]));
        let [a, b] = &bundles();
        holdings.failed_check(&[a, b], generations("a500"));
        assert_eq!(of(&holdings, "a"), [500, 499, 498, 497]);
        assert_eq!(of(&holdings, "b"), newest);
    }
}
