//! Patterns of claims: `*` stands for any characters but `/`, and `**` for any characters. Pure.

use std::fmt;

/// The maximum length of a pattern in bytes.
pub(super) const MAX_PATTERN_BYTES: usize = 300;

/// No claim that a pattern can match is longer, in bytes.
const MAX_CLAIM_BYTES: usize = 4096;

/// A pattern of one claim. All of the claim must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    parts: Vec<PatternPart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PatternPart {
    Literal(String),
    /// `*`.
    WithinSegment,
    /// `**`.
    Anything,
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    /// It would match a claim that says nothing.
    #[error("is empty")]
    Empty,
    /// It is too long.
    #[error("is longer than {MAX_PATTERN_BYTES} bytes")]
    Length,
    /// It has more than two stars in a row.
    #[error("has '***': '*' stands for any characters but '/', '**' for any characters")]
    Stars,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::Length);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let at = rest.find('*').unwrap_or(rest.len());
            let (literal, stars) = rest.split_at(at);
            if !literal.is_empty() {
                parts.push(PatternPart::Literal(literal.to_owned()));
            }
            let after = stars.trim_start_matches('*');
            match stars.len() - after.len() {
                0 => {}
                1 => parts.push(PatternPart::WithinSegment),
                2 => parts.push(PatternPart::Anything),
                _ => return Err(PatternError::Stars),
            }
            rest = after;
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Whether it matches one claim only.
    pub(super) fn is_exact(&self) -> bool {
        self.exact_beginning().len() == self.text.len()
    }

    /// What every claim that it matches begins with.
    pub(super) fn exact_beginning(&self) -> &str {
        match self.parts.first() {
            Some(PatternPart::Literal(literal)) => literal,
            _ => "",
        }
    }

    pub(super) fn matches(&self, claim: &str) -> bool {
        if claim.len() > MAX_CLAIM_BYTES {
            return false;
        }
        let bytes = claim.as_bytes();
        // After each part: the places in the claim that it may end at.
        let mut ends = vec![false; bytes.len() + 1];
        ends[0] = true;
        for part in &self.parts {
            let mut next = vec![false; bytes.len() + 1];
            match part {
                PatternPart::Literal(literal) => {
                    for at in (0..bytes.len()).filter(|at| ends[*at]) {
                        if bytes[at..].starts_with(literal.as_bytes()) {
                            next[at + literal.len()] = true;
                        }
                    }
                }
                PatternPart::WithinSegment | PatternPart::Anything => {
                    let mut is_open = false;
                    for at in 0..=bytes.len() {
                        let passes =
                            at > 0 && (*part == PatternPart::Anything || bytes[at - 1] != b'/');
                        is_open = ends[at] || (is_open && passes);
                        next[at] = is_open;
                    }
                }
            }
            ends = next;
        }
        ends[bytes.len()]
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_stand_for_parts_of_a_claim() {
        for (pattern, matching, others) in [
            (
                "shop/api",
                &["shop/api"][..],
                &["shop/api2", "xshop/api", "shop", "", "SHOP/api"][..],
            ),
            ("shop/*", &["shop/api", "shop/"], &["shop", "shop/a/b", "shop-evil/api"]),
            ("refs/heads/**", &["refs/heads/a/b", "refs/heads/"], &["refs/tags/a", "refs/heads"]),
            ("*", &["", "a"], &["/", "a/b"]),
            ("**", &["", "a", "a/b"], &[]),
            ("refs/*/v*.0", &["refs/tags/v1.0", "refs/tags/v.0"], &["refs/tags/v1.0.1", "v1.0"]),
            ("a.c", &["a.c"], &["abc"]),
            ("**ä", &["ä", "/ä"], &["a", "äb"]),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            for claim in matching {
                assert!(pattern.matches(claim), "{pattern} {claim}");
            }
            for claim in others {
                assert!(!pattern.matches(claim), "{pattern} {claim}");
            }
        }
        let long = "a".repeat(MAX_CLAIM_BYTES + 1);
        assert!(!Pattern::parse("**").unwrap().matches(&long));
        assert_eq!(Pattern::parse(""), Err(PatternError::Empty));
        assert_eq!(Pattern::parse(&"a".repeat(301)), Err(PatternError::Length));
        assert_eq!(Pattern::parse("a***b"), Err(PatternError::Stars));
    }

    /// The same by trying every way, for short texts.
    fn matches_by_trying(pattern: &[u8], claim: &[u8]) -> bool {
        match pattern {
            [] => claim.is_empty(),
            [b'*', b'*', rest @ ..] => {
                (0..=claim.len()).any(|at| matches_by_trying(rest, &claim[at..]))
            }
            [b'*', rest @ ..] => {
                let end = claim.iter().position(|it| *it == b'/').unwrap_or(claim.len());
                (0..=end).any(|at| matches_by_trying(rest, &claim[at..]))
            }
            [first, rest @ ..] => {
                claim.first() == Some(first) && matches_by_trying(rest, &claim[1..])
            }
        }
    }

    proptest! {
        #[test]
        fn matching_is_as_trying_every_way(pattern in "[ab/*]{1,7}", claim in "[ab/]{0,8}") {
            if let Ok(parsed) = Pattern::parse(&pattern) {
                prop_assert_eq!(
                    parsed.matches(&claim),
                    matches_by_trying(pattern.as_bytes(), claim.as_bytes()),
                    "{} {}", pattern, claim
                );
                prop_assert_eq!(parsed.is_exact(), !pattern.contains('*'));
            }
        }
    }
}
