//! `If-Match` and `If-None-Match` (RFC 9110, section 13). A secret's entity tag is its version's
//! number in quotes.

use contract::Version;
use http::header::{ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

use super::problem::Refusal;
use crate::repository::Condition;

/// The most tags in one request: nobody has more than a few versions in mind.
const MOST: usize = 100;

/// What a request says must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    matching: Option<Tags>,
    not_matching: Option<Tags>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`: whatever there is.
    Any,
    These(Vec<Tag>),
}

/// A tag; `version` is `None` where no version of ours has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    version: Option<Version>,
}

/// What a condition means for a request that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Read it.
    Proceed,
    /// The client has it already.
    NotModified,
    /// `If-Match` does not hold.
    Failed,
}

impl Conditions {
    /// The conditions of a request.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let read = |name: HeaderName| {
            let wrong = || {
                Refusal::malformed(format!(
                    "{name} must be * or tags in quotes with commas between them, as \"3\""
                ))
            };
            tags(headers, &name).map_err(|()| wrong())
        };
        Ok(Self { matching: read(IF_MATCH)?, not_matching: read(IF_NONE_MATCH)? })
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same as the ledger checks it by itself; `None` where it takes a look at the active
    /// version.
    pub(super) fn exact(&self) -> Option<Condition> {
        match (&self.matching, &self.not_matching) {
            (None, None) => Some(Condition::None),
            (None, Some(Tags::Any)) => Some(Condition::Absent),
            (Some(Tags::Any), None) => Some(Condition::Present),
            (Some(Tags::These(tags)), None) => match tags.as_slice() {
                [Tag { weak: false, version: Some(version) }] => Some(Condition::Active(*version)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a change may happen where this is the active version.
    pub(super) fn holds(&self, active: Option<Version>) -> bool {
        let matches = self.matching.as_ref().is_none_or(|tags| tags.include(active, Tag::strongly));
        matches && !self.not_matching.as_ref().is_some_and(|tags| tags.include(active, Tag::weakly))
    }

    /// What a read of this version does.
    pub(super) fn reading(&self, version: Version) -> Reading {
        if !self.matching.as_ref().is_none_or(|tags| tags.include(Some(version), Tag::strongly)) {
            return Reading::Failed;
        }
        match &self.not_matching {
            Some(tags) if tags.include(Some(version), Tag::weakly) => Reading::NotModified,
            _ => Reading::Proceed,
        }
    }
}

impl Tags {
    fn include(&self, active: Option<Version>, compare: fn(&Tag, Version) -> bool) -> bool {
        match (self, active) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::These(tags), Some(version)) => tags.iter().any(|tag| compare(tag, version)),
        }
    }
}

impl Tag {
    fn strongly(&self, version: Version) -> bool {
        !self.weak && self.version == Some(version)
    }

    fn weakly(&self, version: Version) -> bool {
        self.version == Some(version)
    }
}

/// A list of tags may stand in several headers of one name.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, ()> {
    let mut all = Vec::new();
    for value in headers.get_all(name) {
        all.push(value.to_str().map_err(|_| ())?);
    }
    if all.is_empty() {
        return Ok(None);
    }
    let text = all.join(",");
    if text.trim_matches([' ', '\t']) == "*" {
        return Ok(Some(Tags::Any));
    }
    list(&text).map(|tags| Some(Tags::These(tags)))
}

fn list(text: &str) -> Result<Vec<Tag>, ()> {
    let (mut tags, mut rest) = (Vec::new(), text.trim_start_matches([' ', '\t', ',']));
    while !rest.is_empty() {
        let weak = rest.starts_with("W/");
        let (opaque, after) = rest
            .strip_prefix("W/")
            .unwrap_or(rest)
            .strip_prefix('"')
            .ok_or(())?
            .split_once('"')
            .ok_or(())?;
        if !opaque.bytes().all(|it| it == b'!' || (b'#'..=b'~').contains(&it)) || tags.len() == MOST
        {
            return Err(());
        }
        tags.push(Tag { weak, version: version(opaque) });
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() {
            rest = rest.strip_prefix(',').ok_or(())?.trim_start_matches([' ', '\t', ',']);
        }
    }
    if tags.is_empty() { Err(()) } else { Ok(tags) }
}

/// Only as we write it: `01` is another tag than `1`.
fn version(opaque: &str) -> Option<Version> {
    let number: u64 = opaque.parse().ok()?;
    if number.to_string() == opaque { Version::try_from(number).ok() } else { None }
}

/// The header that tells a version.
pub(super) fn etag(version: Version) -> (HeaderName, HeaderValue) {
    // Digits in quotes are always a header's value.
    (ETAG, HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(matching: &[&str], not_matching: &[&str]) -> Option<Conditions> {
        let mut headers = HeaderMap::new();
        for value in matching {
            headers.append(IF_MATCH, value.parse().unwrap());
        }
        for value in not_matching {
            headers.append(IF_NONE_MATCH, value.parse().unwrap());
        }
        Conditions::of(&headers).ok()
    }

    #[test]
    fn what_is_no_list_of_tags() {
        for text in [
            "",
            " ",
            ",",
            "3",
            "\"3",
            "3\"",
            "\"3\" \"4\"",
            "\"3\";\"4\"",
            "*, \"3\"",
            "**",
            "w/\"3\"",
            "W/ \"3\"",
            "W/3",
            "\"a b\"",
            "\"3\"x",
        ] {
            assert_eq!(read(&[text], &[]), None, "{text:?} was taken");
            assert_eq!(read(&[], &[text]), None, "{text:?} was taken");
        }
        assert_eq!(read(&["*", "*"], &[]), None);
        assert_eq!(read(&[&vec!["\"1\""; MOST + 1].join(",")], &[]), None);
    }

    #[test]
    fn what_the_ledger_checks_itself() {
        for (matching, not_matching, expected) in [
            (&[][..], &[][..], Some(Condition::None)),
            (&["*"], &[], Some(Condition::Present)),
            (&[], &["*"], Some(Condition::Absent)),
            (&["\"3\""], &[], Some(Condition::Active(Version(3)))),
            (&["\"3\", \"4\""], &[], None),
            (&["W/\"3\""], &[], None),
            (&["\"x\""], &[], None),
            (&["\"03\""], &[], None),
            (&["\"0\""], &[], None),
            (&[], &["\"3\""], None),
            (&["\"3\""], &["\"4\""], None),
        ] {
            assert_eq!(
                read(matching, not_matching).unwrap().exact(),
                expected,
                "{matching:?} {not_matching:?}"
            );
        }
    }

    #[test]
    fn strong_for_matches_and_weak_for_differences() {
        let (three, four) = (Version(3), Version(4));
        for (matching, not_matching, absent, at_three, reading) in [
            (&["\"3\" , \"5\""][..], &[][..], false, true, Reading::Proceed),
            (&["\"5\"", "\"3\""], &[], false, true, Reading::Proceed),
            (&["W/\"3\""], &[], false, false, Reading::Failed),
            (&["\"4\""], &[], false, false, Reading::Failed),
            (&["\"a,b\", \"3\""], &[], false, true, Reading::Proceed),
            (&[], &["\"3\""], true, false, Reading::NotModified),
            (&[], &["W/\"3\""], true, false, Reading::NotModified),
            (&[], &["\"4\",,\"5\""], true, true, Reading::Proceed),
            (&[], &["*"], true, false, Reading::NotModified),
            (&["*"], &["\"4\""], false, true, Reading::Proceed),
            (&["\"4\""], &["\"3\""], false, false, Reading::Failed),
        ] {
            let conditions = read(matching, not_matching).unwrap();
            let found =
                (conditions.holds(None), conditions.holds(Some(three)), conditions.reading(three));
            assert_eq!(found, (absent, at_three, reading), "{matching:?} {not_matching:?}");
        }
        assert!(read(&["*"], &[]).unwrap().holds(Some(four)));
    }

    proptest! {
        #[test]
        fn our_own_tag_is_understood(number in 1..(1_u64 << 53)) {
            let (_, value) = etag(Version(number));
            let conditions = read(&[value.to_str().unwrap()], &[]).unwrap();
            prop_assert_eq!(conditions.exact(), Some(Condition::Active(Version(number))));
        }

        #[test]
        fn no_header_is_a_panic(text in "[ \t,W/\"0-9a*\\PC]{0,40}") {
            let _ = list(&text);
        }
    }
}
