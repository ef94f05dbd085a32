//! The text of a value with references.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use contract::SecretRef;

use super::MAX_TARGETS;

/// The longest reference: a scope, a slash and a name.
const MAX_REFERENCE_BYTES: usize = 191 + 1 + 253;

/// A parsed value. It has no `Debug`: its texts are parts of a secret.
pub(crate) struct Template<'a> {
    pub(crate) parts: Vec<Part<'a>>,
}

/// A piece of a template.
pub(crate) enum Part<'a> {
    /// Bytes as they are.
    Text(&'a [u8]),
    /// The value of another secret.
    Target(SecretRef),
}

/// Why a value is not a template. Never holds a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// `${` begins no reference.
    #[error(
        "at byte {0}, '${{' is not the beginning of a reference such as ${{shop.prod/DB_HOST}}; \
         write '$${{' for these two characters"
    )]
    NoReference(usize),
    /// Too many different secrets.
    #[error("it refers to more than {MAX_TARGETS} secrets")]
    TooManyTargets,
}

/// What a value refers to: the length of its own text, and how often it has which other value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueReferences {
    /// In bytes.
    pub literal: u64,
    /// How often each target is in the value.
    pub targets: BTreeMap<SecretRef, u64>,
}

impl<'a> Template<'a> {
    /// Parses a value: `${scope/NAME}` is a reference, and `$${` stands for `${`.
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, TemplateError> {
        let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
        while at < value.len() {
            let rest = value.get(at..).unwrap_or_default();
            if rest.starts_with(b"$${") {
                // The first of the three is left out.
                parts.push(Part::Text(value.get(start..at).unwrap_or_default()));
                start = at + 1;
                at += 3;
            } else if rest.starts_with(b"${") {
                let inside = rest.get(2..).unwrap_or_default();
                let target = target(inside).ok_or(TemplateError::NoReference(at))?;
                parts.push(Part::Text(value.get(start..at).unwrap_or_default()));
                at += 2 + target.1 + 1;
                start = at;
                parts.push(Part::Target(target.0));
            } else {
                at += 1;
            }
        }
        parts.push(Part::Text(value.get(start..).unwrap_or_default()));
        let template = Self { parts };
        if template.references().targets.len() > MAX_TARGETS {
            return Err(TemplateError::TooManyTargets);
        }
        Ok(template)
    }

    /// What it refers to.
    pub(crate) fn references(&self) -> ValueReferences {
        let mut all = ValueReferences::default();
        for part in &self.parts {
            match part {
                Part::Text(text) => all.literal += text.len() as u64,
                Part::Target(target) => *all.targets.entry(target.clone()).or_default() += 1,
            }
        }
        all
    }
}

/// The target before the next `}`, and the length of its text.
fn target(inside: &[u8]) -> Option<(SecretRef, usize)> {
    let inside = inside.get(..inside.len().min(MAX_REFERENCE_BYTES + 1))?;
    let end = inside.iter().position(|byte| *byte == b'}')?;
    let text = std::str::from_utf8(inside.get(..end)?).ok()?;
    Some((text.parse().ok()?, end))
}

/// As the ledger keeps it: `17 shop.prod/DB_HOST=2 shop/TOKEN=1`.
impl fmt::Display for ValueReferences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.literal)?;
        self.targets.iter().try_for_each(|(target, count)| write!(f, " {target}={count}"))
    }
}

impl FromStr for ValueReferences {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split(' ');
        let literal = words.next().ok_or(())?.parse().map_err(drop)?;
        let target = |word: &str| {
            let (target, count) = word.split_once('=').ok_or(())?;
            Ok((target.parse().map_err(drop)?, count.parse().map_err(drop)?))
        };
        Ok(Self { literal, targets: words.map(target).collect::<Result<_, ()>>()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The parts of a value, with references in angle brackets.
    fn parsed(value: &str) -> Result<String, TemplateError> {
        let template = Template::parse(value.as_bytes())?;
        let part = |part: &Part<'_>| match part {
            Part::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            Part::Target(target) => format!("<{target}>"),
        };
        Ok(template.parts.iter().map(part).collect())
    }

    #[test]
    fn references_and_escapes_are_parsed() {
        for (value, expected) in [
            ("", Ok("")),
            ("plain $HOME $ $$ {} $}", Ok("plain $HOME $ $$ {} $}")),
            ("${shop.prod/DB_HOST}", Ok("<shop.prod/DB_HOST>")),
            ("a${shop/A}${shop/A}b", Ok("a<shop/A><shop/A>b")),
            ("$${shop/A}", Ok("${shop/A}")),
            ("$$${shop/A}", Ok("$${shop/A}")),
            ("$$$${shop/A}", Ok("$$${shop/A}")),
            ("$${${shop/A}}", Ok("${<shop/A>}")),
            ("é${shop/A}", Ok("é<shop/A>")),
            ("a${", Err(1)),
            ("é${x", Err(2)),
            ("${}", Err(0)),
            ("${A}", Err(0)),
            ("${shop/A} ${HOME}", Err(10)),
            ("${shop/A", Err(0)),
            ("${ shop/A}", Err(0)),
            ("${shop/\nA}", Err(0)),
        ] {
            let expected = expected.map(str::to_owned).map_err(TemplateError::NoReference);
            assert_eq!(parsed(value), expected, "{value}");
        }
        let many =
            |count: usize| (0..count).map(|at| format!("${{shop/A{at}}}")).collect::<String>();
        assert!(parsed(&many(MAX_TARGETS)).is_ok());
        assert_eq!(parsed(&many(MAX_TARGETS + 1)), Err(TemplateError::TooManyTargets));
        // One target counts once, however often it is there.
        assert!(parsed(&"${shop/A}".repeat(100)).is_ok());
    }

    #[test]
    fn an_error_shows_nothing_of_the_value() {
        let error = parsed("hunter2 ${hunter2}").unwrap_err().to_string();
        assert!(error.starts_with("at byte 8, ") && !error.contains("hunter2"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused_and_escaping_gives_them_back(
            value in prop::collection::vec(prop::sample::select(b"${}/aA.\xff".to_vec()), 0..24)
        ) {
            let _ = Template::parse(&value);
            // Each `${` of a literal is written as `$${`.
            let mut escaped = Vec::new();
            for (at, byte) in value.iter().enumerate() {
                if value[at..].starts_with(b"${") {
                    escaped.push(b'$');
                }
                escaped.push(*byte);
            }
            let template = Template::parse(&escaped).unwrap();
            let text: Vec<u8> = template.parts.iter().flat_map(|part| match part {
                Part::Text(text) => text.to_vec(),
                Part::Target(_) => panic!("a reference"),
            }).collect();
            prop_assert_eq!(text, value);
        }

        #[test]
        fn what_a_value_refers_to_round_trips(
            literal: u64, names in prop::collection::btree_map("[A-Z]{1,4}", 1..9_u64, 0..5)
        ) {
            let target = |name: &String| format!("shop.prod/{name}").parse().unwrap();
            let targets = names.iter().map(|(name, count)| (target(name), *count)).collect();
            let references = ValueReferences { literal, targets };
            prop_assert_eq!(references.to_string().parse(), Ok(references));
        }
    }
}
