//! The name of a generation's directory: `..12`, or `..12-3` in a pod with two bundles. Pure.
//!
//! It lists the generations, so that a restarted agent knows them too.

use std::fmt;

use contract::Generation;

/// The prefix of every name in the volume that belongs to the agent.
pub(super) const AGENT_PREFIX: &str = "..";

// A directory's name has at most 255 bytes, and the suffix takes some of them. A pod with too many
// bundles gets a name that does not list its generations.
const MAX_NUMBERS_BYTES: usize = 200;

/// The name of a generation's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GenerationName {
    /// The generation of each bundle, in the pod's order.
    pub(super) generations: Vec<Generation>,
    /// More than 1 if directories of that name exist already: a generation that is published again
    /// while its earlier files are still kept.
    pub(super) copy: u32,
}

impl GenerationName {
    /// Parses a directory's name; `None` if it does not list generations.
    #[must_use]
    pub(super) fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix(AGENT_PREFIX)?;
        let (numbers, copy) = match rest.split_once('_') {
            Some((numbers, copy)) => (
                numbers,
                parse_number(copy).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 1)?,
            ),
            None => (rest, 1),
        };
        let generations = numbers
            .split('-')
            .map(|part| parse_number(part).map(Generation))
            .collect::<Option<_>>()?;
        Some(Self { generations, copy })
    }

    /// The name of the next copy.
    #[must_use]
    pub(super) fn next_copy(self) -> Self {
        Self { copy: self.copy.saturating_add(1), ..self }
    }
}

/// Parses a number as `Display` writes it: no sign, no leading zero.
fn parse_number(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

impl fmt::Display for GenerationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers =
            self.generations.iter().map(ToString::to_string).collect::<Vec<_>>().join("-");
        if numbers.is_empty() || numbers.len() > MAX_NUMBERS_BYTES {
            write!(f, "{AGENT_PREFIX}of-{}-bundles", self.generations.len())?;
        } else {
            write!(f, "{AGENT_PREFIX}{numbers}")?;
        }
        if self.copy > 1 { write!(f, "_{}", self.copy) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_list_generations_and_copy() {
        for (generations, copy, text) in
            [(&[12][..], 1, "..12"), (&[12, 3], 1, "..12-3"), (&[12], 2, "..12_2")]
        {
            let parsed = GenerationName {
                generations: generations.iter().copied().map(Generation).collect(),
                copy,
            };
            assert_eq!(parsed.to_string(), text);
            assert_eq!(GenerationName::parse(text), Some(parsed));
        }
    }

    #[test]
    fn other_names_are_rejected() {
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
            assert_eq!(GenerationName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn many_bundles_still_fit_a_directory_name() {
        let name = GenerationName { generations: vec![Generation(u64::MAX); 100], copy: u32::MAX };
        assert!(name.to_string().len() <= 255);
        assert_eq!(GenerationName::parse(&name.to_string()), None);
    }

    proptest! {
        #[test]
        fn names_round_trip(
            generations in prop::collection::vec(any::<u64>(), 1..9),
            copy in 1u32..,
        ) {
            let generations = generations.into_iter().map(Generation).collect();
            let name = GenerationName { generations, copy };
            prop_assert_eq!(GenerationName::parse(&name.to_string()), Some(name));
        }
    }
}
