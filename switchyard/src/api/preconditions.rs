//! `If-Match` and `If-None-Match` (RFC 9110, section 13). The entity tag of a secret is the number
//! of its version and the version's own tag: `"3-4f0c2b7a91d3e586"`. After a restore of the
//! database the number may be that of another value.
//!
//! In the precondition of a change a number alone, `"3"`, means whichever version has it. It says
//! nothing about what a client holds, so a read is never answered with 304 because of it.
//!
//! The types of the crate `headers` are not used: they accept malformed lists, which must fail, and
//! do not give back the tags, which the ledger checks.

use contract::Version;
use http::header::{ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

use crate::app::ApiError;
use crate::repository::{Condition, Secret, VersionRow};

/// The most tags in one header. Clients send a few.
const MAX_TAGS: usize = 100;

/// The preconditions of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Preconditions {
    if_match: Option<EntityTags>,
    if_none_match: Option<EntityTags>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum EntityTags {
    /// `*`: any version.
    Any,
    List(Vec<EntityTag>),
}

/// An entity tag. `version` is `None` if no version can have this tag.
#[derive(Clone, Debug, PartialEq, Eq)]
struct EntityTag {
    weak: bool,
    version: Option<Version>,
    /// The version's own tag. `None` in a number alone.
    tag: Option<String>,
}

/// A version that a precondition is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TaggedVersion {
    /// The number.
    pub(super) version: Version,
    /// What tells it apart from others with this number.
    pub(super) tag: String,
}

impl From<Secret> for TaggedVersion {
    fn from(secret: Secret) -> Self {
        Self { version: secret.stored.version, tag: secret.tag }
    }
}

impl From<VersionRow> for TaggedVersion {
    fn from(row: VersionRow) -> Self {
        Self { version: row.version, tag: row.tag }
    }
}

/// The result of a read's preconditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadPrecondition {
    /// The read may proceed.
    Met,
    /// The client has this version already.
    NotModified,
    /// `If-Match` is not met.
    Failed,
}

impl Preconditions {
    /// Parses the preconditions of a request.
    pub(super) fn parse(headers: &HeaderMap) -> Result<Self, ApiError> {
        let read = |name: HeaderName| {
            let malformed = || {
                ApiError::malformed(format!(
                    "{name} must be * or a list of quoted tags separated by commas, like \"3\""
                ))
            };
            tags(headers, &name).map_err(|()| malformed())
        };
        Ok(Self { if_match: read(IF_MATCH)?, if_none_match: read(IF_NONE_MATCH)? })
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The precondition in the form that the ledger checks. `None` if the active version must be
    /// read first.
    pub(super) fn as_condition(&self) -> Option<Condition> {
        match (&self.if_match, &self.if_none_match) {
            (None, None) => Some(Condition::None),
            (None, Some(EntityTags::Any)) => Some(Condition::Absent),
            (Some(EntityTags::Any), None) => Some(Condition::Present),
            (Some(EntityTags::List(tags)), None) => match tags.as_slice() {
                [EntityTag { weak: false, version: Some(version), tag: None }] => {
                    Some(Condition::Active(*version))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a change may proceed if this is the active version.
    pub(super) fn allow_change(&self, active: Option<&TaggedVersion>) -> bool {
        let matches = self
            .if_match
            .as_ref()
            .is_none_or(|tags| tags.include(active, EntityTag::matches_strongly));
        matches
            && !self
                .if_none_match
                .as_ref()
                .is_some_and(|tags| tags.include(active, EntityTag::matches_weakly))
    }

    /// Evaluates the preconditions of a read of this version.
    pub(super) fn evaluate_read(&self, version: &TaggedVersion) -> ReadPrecondition {
        if !self
            .if_match
            .as_ref()
            .is_none_or(|tags| tags.include(Some(version), EntityTag::matches_strongly))
        {
            return ReadPrecondition::Failed;
        }
        match &self.if_none_match {
            Some(tags) if tags.include(Some(version), EntityTag::is_held) => {
                ReadPrecondition::NotModified
            }
            _ => ReadPrecondition::Met,
        }
    }
}

impl EntityTags {
    fn include(
        &self,
        active: Option<&TaggedVersion>,
        compare: fn(&EntityTag, &TaggedVersion) -> bool,
    ) -> bool {
        match (self, active) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::List(tags), Some(version)) => tags.iter().any(|tag| compare(tag, version)),
        }
    }
}

impl EntityTag {
    fn matches_strongly(&self, version: &TaggedVersion) -> bool {
        !self.weak && self.matches_weakly(version)
    }

    fn matches_weakly(&self, version: &TaggedVersion) -> bool {
        self.version == Some(version.version)
            && self.tag.as_ref().is_none_or(|tag| *tag == version.tag)
    }

    /// Whether a client with this tag has this very version.
    fn is_held(&self, version: &TaggedVersion) -> bool {
        self.tag.is_some() && self.matches_weakly(version)
    }
}

/// The list of tags may be split over several headers.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<EntityTags>, ()> {
    let mut all = Vec::new();
    for value in headers.get_all(name) {
        all.push(value.to_str().map_err(|_| ())?);
    }
    if all.is_empty() {
        return Ok(None);
    }
    let text = all.join(",");
    if text.trim_matches([' ', '\t']) == "*" {
        return Ok(Some(EntityTags::Any));
    }
    list(&text).map(|tags| Some(EntityTags::List(tags)))
}

fn list(text: &str) -> Result<Vec<EntityTag>, ()> {
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
        if !opaque.bytes().all(|it| it == b'!' || (b'#'..=b'~').contains(&it))
            || tags.len() == MAX_TAGS
        {
            return Err(());
        }
        let (number, tag) = match opaque.split_once('-') {
            Some((number, tag)) => (number, Some(tag.to_owned())),
            None => (opaque, None),
        };
        tags.push(EntityTag { weak, version: version(number), tag });
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() {
            rest = rest.strip_prefix(',').ok_or(())?.trim_start_matches([' ', '\t', ',']);
        }
    }
    if tags.is_empty() { Err(()) } else { Ok(tags) }
}

/// Only the canonical form counts: `01` is another tag than `1`.
fn version(opaque: &str) -> Option<Version> {
    let number: u64 = opaque.parse().ok()?;
    if number.to_string() == opaque { Version::try_from(number).ok() } else { None }
}

/// The `ETag` header of a version.
pub(super) fn etag(TaggedVersion { version, tag }: &TaggedVersion) -> (HeaderName, HeaderValue) {
    // Digits and letters in quotes are always a valid header value.
    let value = HeaderValue::from_str(&format!("\"{version}-{tag}\""));
    (ETAG, value.unwrap_or(HeaderValue::from_static("")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(if_match: &[&str], if_none_match: &[&str]) -> Option<Preconditions> {
        let mut headers = HeaderMap::new();
        for value in if_match {
            headers.append(IF_MATCH, value.parse().unwrap());
        }
        for value in if_none_match {
            headers.append(IF_NONE_MATCH, value.parse().unwrap());
        }
        Preconditions::parse(&headers).ok()
    }

    #[test]
    fn a_malformed_list_is_refused() {
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
            assert_eq!(read(&[text], &[]), None, "{text:?} was accepted");
            assert_eq!(read(&[], &[text]), None, "{text:?} was accepted");
        }
        assert_eq!(read(&["*", "*"], &[]), None);
        assert_eq!(read(&[&vec!["\"1\""; MAX_TAGS + 1].join(",")], &[]), None);
    }

    #[test]
    fn simple_preconditions_are_checked_by_the_ledger() {
        for (if_match, if_none_match, expected) in [
            (&[][..], &[][..], Some(Condition::None)),
            (&["*"], &[], Some(Condition::Present)),
            (&[], &["*"], Some(Condition::Absent)),
            (&["\"3\""], &[], Some(Condition::Active(Version(3)))),
            (&["\"3\", \"4\""], &[], None),
            (&["W/\"3\""], &[], None),
            (&["\"x\""], &[], None),
            (&["\"03\""], &[], None),
            (&["\"3-ab\""], &[], None),
            (&["\"0\""], &[], None),
            (&[], &["\"3\""], None),
            (&["\"3\""], &["\"4\""], None),
        ] {
            assert_eq!(
                read(if_match, if_none_match).unwrap().as_condition(),
                expected,
                "{if_match:?} {if_none_match:?}"
            );
        }
    }

    #[test]
    fn if_match_compares_strongly_and_if_none_match_weakly() {
        let tagged = |version| TaggedVersion { version: Version(version), tag: "ab".to_owned() };
        let (three, four) = (tagged(3), tagged(4));
        for (if_match, if_none_match, absent, at_three, read_result) in [
            (&["\"3\" , \"5\""][..], &[][..], false, true, ReadPrecondition::Met),
            (&["\"5\"", "\"3\""], &[], false, true, ReadPrecondition::Met),
            (&["W/\"3\""], &[], false, false, ReadPrecondition::Failed),
            (&["\"4\""], &[], false, false, ReadPrecondition::Failed),
            (&["\"a,b\", \"3\""], &[], false, true, ReadPrecondition::Met),
            (&[], &["\"3-ab\""], true, false, ReadPrecondition::NotModified),
            (&[], &["W/\"3-ab\""], true, false, ReadPrecondition::NotModified),
            // A number alone is not what a client holds, and another tag is another value.
            (&[], &["\"3\""], true, false, ReadPrecondition::Met),
            (&[], &["\"3-cd\"", "\"3-\""], true, true, ReadPrecondition::Met),
            (&["\"3-ab\""], &[], false, true, ReadPrecondition::Met),
            (&["\"3-cd\""], &[], false, false, ReadPrecondition::Failed),
            (&[], &["\"4\",,\"5\""], true, true, ReadPrecondition::Met),
            (&[], &["*"], true, false, ReadPrecondition::NotModified),
            (&["*"], &["\"4\""], false, true, ReadPrecondition::Met),
            (&["\"4\""], &["\"3\""], false, false, ReadPrecondition::Failed),
        ] {
            let preconditions = read(if_match, if_none_match).unwrap();
            let found = (
                preconditions.allow_change(None),
                preconditions.allow_change(Some(&three)),
                preconditions.evaluate_read(&three),
            );
            assert_eq!(found, (absent, at_three, read_result), "{if_match:?} {if_none_match:?}");
        }
        assert!(read(&["*"], &[]).unwrap().allow_change(Some(&four)));
    }

    proptest! {
        #[test]
        fn an_etag_that_was_sent_is_accepted_back(
            number in 1..(1_u64 << 53),
            tag in "[0-9a-f]{0,16}",
        ) {
            let version = TaggedVersion { version: Version(number), tag };
            let (_, value) = etag(&version);
            let value = value.to_str().unwrap();
            prop_assert!(read(&[value], &[]).unwrap().allow_change(Some(&version)));
            let found = read(&[], &[value]).unwrap().evaluate_read(&version);
            prop_assert_eq!(found, ReadPrecondition::NotModified);
        }

        #[test]
        fn no_header_panics(text in "[ \t,W/\"0-9a*\\PC]{0,40}") {
            let _ = list(&text);
        }
    }
}
