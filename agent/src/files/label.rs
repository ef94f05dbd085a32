//! The name of a generation's directory: `..12`, or `..12-3` where a pod has two bundles. Pure.
//!
//! It says what the files hold, so that a restarted agent knows it too.

use std::fmt;

use contract::Generation;

/// What starts the name of everything in the volume that is the agent's own.
pub(super) const OWN: &str = "..";

// A directory's name has 255 bytes at most, and the suffix wants some. A pod with that many bundles
// gets a name that says less.
const LONGEST: usize = 200;

/// The name of a generation's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// The generation of each bundle, in the pod's order.
    pub(super) generations: Vec<Generation>,
    /// 1, or more where directories of that name were there already: a generation that comes back
    /// while its files of last time are still kept.
    pub(super) edition: u32,
}

impl Label {
    /// The generations a directory's name stands for; `None` where it is no such name.
    #[must_use]
    pub(super) fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix(OWN)?;
        let (numbers, edition) = match rest.split_once('_') {
            Some((numbers, edition)) => {
                (numbers, number(edition).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 1)?)
            }
            None => (rest, 1),
        };
        let generations =
            numbers.split('-').map(|part| number(part).map(Generation)).collect::<Option<_>>()?;
        Some(Self { generations, edition })
    }

    /// The same generations, once more.
    #[must_use]
    pub(super) fn next(self) -> Self {
        Self { edition: self.edition.saturating_add(1), ..self }
    }
}

/// A number as `Display` writes it: no sign, no leading zero.
fn number(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers =
            self.generations.iter().map(ToString::to_string).collect::<Vec<_>>().join("-");
        if numbers.is_empty() || numbers.len() > LONGEST {
            write!(f, "{OWN}of-{}-bundles", self.generations.len())?;
        } else {
            write!(f, "{OWN}{numbers}")?;
        }
        if self.edition > 1 { write!(f, "_{}", self.edition) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names() {
        for (generations, edition, name) in
            [(&[12][..], 1, "..12"), (&[12, 3], 1, "..12-3"), (&[12], 2, "..12_2")]
        {
            let label = Label {
                generations: generations.iter().copied().map(Generation).collect(),
                edition,
            };
            assert_eq!(label.to_string(), name);
            assert_eq!(Label::parse(name), Some(label));
        }
    }

    #[test]
    fn what_is_no_label() {
        for name in [
            "",
            "..",
            "..data",
            "..data_tmp",
            "12",
            "..12-",
            "..-1",
            "..+1",
            "..01",
            "..1_1",
            "..1_",
            "..1_x",
            "..2026_11_23",
            "..1/2",
        ] {
            assert_eq!(Label::parse(name), None, "{name}");
        }
    }

    #[test]
    fn many_bundles_still_fit_a_directory_name() {
        let label = Label { generations: vec![Generation(u64::MAX); 100], edition: u32::MAX };
        assert!(label.to_string().len() <= 255);
        assert_eq!(Label::parse(&label.to_string()), None);
    }

    proptest! {
        #[test]
        fn labels_round_trip(generations in prop::collection::vec(any::<u64>(), 1..9), edition in 1u32..) {
            let label = Label { generations: generations.into_iter().map(Generation).collect(), edition };
            prop_assert_eq!(Label::parse(&label.to_string()), Some(label));
        }
    }
}
