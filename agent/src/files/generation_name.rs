//! The name of a generation's directory: `..12.4f0c`, or `..12.4f0c-3.9d21` in a pod with two
//! bundles. Pure.
//!
//! It lists the generations with their tags, so that a restarted agent knows them too.

use std::fmt;

use contract::stream::BundleGeneration;
use contract::{Generation, GenerationTag};

use super::directory::Entry;

/// The prefix of every name in the volume that belongs to the agent.
pub(super) const AGENT_PREFIX: &str = "..";

/// The longest name, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 255;

// The suffix takes some of the bytes of a name. A pod with too many bundles gets a name that does
// not list its generations.
const MAX_NUMBERS_BYTES: usize = 200;

/// The name of a generation's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GenerationName {
    /// The generation of each bundle and its tag, in the pod's order.
    pub(super) generations: Vec<(Generation, Option<GenerationTag>)>,
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
            .map(|part| {
                let (number, tag) = match part.split_once('.') {
                    Some((number, tag)) => (number, Some(tag.parse().ok()?)),
                    None => (part, None),
                };
                Some((Generation(parse_number(number)?), tag))
            })
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
        let one = |(number, tag): &(Generation, Option<GenerationTag>)| match tag {
            Some(tag) => format!("{number}.{tag}"),
            None => number.to_string(),
        };
        let numbers = self.generations.iter().map(one).collect::<Vec<_>>().join("-");
        if numbers.is_empty() || numbers.len() > MAX_NUMBERS_BYTES {
            write!(f, "{AGENT_PREFIX}of-{}-bundles", self.generations.len())?;
        } else {
            write!(f, "{AGENT_PREFIX}{numbers}")?;
        }
        if self.copy > 1 { write!(f, "_{}", self.copy) } else { Ok(()) }
    }
}

/// A directory name for the generations that is not in use yet.
pub(super) fn unused_name(held: &[BundleGeneration], entries: &[Entry]) -> String {
    let mut name = GenerationName {
        generations: held.iter().map(|held| (held.generation, held.tag.clone())).collect(),
        copy: 1,
    };
    while entries.iter().any(|entry| entry.name == name.to_string()) {
        name = name.next_copy();
    }
    name.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_list_generations_and_copy() {
        let tag = |text: &str| Some(text.parse().unwrap());
        for (generations, copy, text) in [
            (vec![(12, None)], 1, "..12"),
            (vec![(12, None), (3, None)], 1, "..12-3"),
            (vec![(12, None)], 2, "..12_2"),
            (vec![(12, tag("4f0c"))], 1, "..12.4f0c"),
            (vec![(12, tag("4f0c")), (3, None)], 2, "..12.4f0c-3_2"),
            (vec![(12, tag("4f0c")), (3, tag("1"))], 2, "..12.4f0c-3.1_2"),
        ] {
            let generations =
                generations.into_iter().map(|(number, tag)| (Generation(number), tag)).collect();
            let parsed = GenerationName { generations, copy };
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
            "..1.",
            "..1.A",
            "..1.a.b",
            "..1./",
            "..a.1",
        ] {
            assert_eq!(GenerationName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn many_bundles_still_fit_a_directory_name() {
        let generations = vec![(Generation(u64::MAX), None); 100];
        let name = GenerationName { generations, copy: u32::MAX };
        assert!(name.to_string().len() <= 255);
        assert_eq!(GenerationName::parse(&name.to_string()), None);
    }

    proptest! {
        #[test]
        fn names_round_trip(
            generations in prop::collection::vec(
                (any::<u64>(), prop::option::of("[a-z0-9]{1,3}")),
                1..8,
            ),
            copy in 1u32..,
        ) {
            let generations = generations
                .into_iter()
                .map(|(number, tag)| (Generation(number), tag.map(|tag| tag.parse().unwrap())))
                .collect();
            let name = GenerationName { generations, copy };
            prop_assert_eq!(GenerationName::parse(&name.to_string()), Some(name));
        }
    }
}
