//! What people write beside a value: why it was written, notes, tags and when the credential ends.
//!
//! None of it is secret. It is shown wherever names are shown, so no value belongs in it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::text::is_hidden;

/// The most tags of a secret.
pub const MAX_TAGS: usize = 16;

/// The most tags that one change may name.
pub const MAX_TAG_CHANGES: usize = 2 * MAX_TAGS;

/// A message, in characters.
const MAX_MESSAGE_CHARS: usize = 300;

/// Notes, in characters.
const MAX_NOTES_CHARS: usize = 2000;

/// The name and the value of a tag, in characters: as in a Kubernetes label.
const MAX_TAG_CHARS: usize = 63;

/// The DNS name before the name of a tag, in characters.
const MAX_PREFIX_CHARS: usize = 253;

/// Why a text is no [`Message`], [`Notes`], [`TagKey`] or [`TagValue`]. It does not quote the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Of the wrong length.
    #[error("parse {what}: must have {min} to {max} characters")]
    Length {
        /// What the text should have been.
        what: &'static str,
        /// The least.
        min: usize,
        /// The most.
        max: usize,
    },
    /// With a character that is not shown, or that acts on what shows it.
    #[error("parse {what}: has a character that is not shown, U+{:04X}", u32::from(*character))]
    Hidden {
        /// What the text should have been.
        what: &'static str,
        /// The first such character.
        character: char,
    },
    /// Not of the form of a Kubernetes label.
    #[error(
        "parse {0}: must have letters, digits, '-', '_' and '.', a letter or digit first and last, \
         at most {MAX_TAG_CHARS} characters, and a key may have a DNS name and '/' in front"
    )]
    Tag(&'static str),
}

/// Why a version was written, on one line: 1 to 300 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Message(String);

/// What people should know about a secret: 1 to 2000 characters, on any number of lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Notes(String);

/// The key of a tag, as of a Kubernetes label: `team` or `example.com/team`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagKey(String);

/// The value of a tag, as of a Kubernetes label. It may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagValue(String);

/// The tags of a secret.
pub type Tags = BTreeMap<TagKey, TagValue>;

/// Changes of tags: a value sets the tag, and none removes it. Other tags stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TagChanges(pub BTreeMap<TagKey, Option<TagValue>>);

impl TagChanges {
    /// Whether no tag changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What people wrote beside a secret's active value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SecretMetadata {
    /// Why the version was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// When the credential ends at its issuer. Nothing happens to the secret then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
    /// The tags of the secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(
        feature = "schema",
        schema(value_type = std::collections::BTreeMap<String, TagValue>)
    )]
    pub tags: Tags,
    /// The notes of the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Notes>,
}

/// A change of notes and tags, which belong to the secret and not to one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataChange {
    /// The new notes; `Some(None)` removes them.
    pub notes: Option<Option<Notes>>,
    /// The tags that change.
    pub tags: TagChanges,
}

impl MetadataChange {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.notes.is_none() && self.tags.is_empty()
    }

    /// The tags after the change.
    #[must_use]
    pub fn apply_to(&self, mut tags: Tags) -> Tags {
        for (key, value) in &self.tags.0 {
            match value {
                Some(value) => tags.insert(key.clone(), value.clone()),
                None => tags.remove(key),
            };
        }
        tags
    }
}

/// A tag as people type and read it: `team=payments`, or `pci` where the value is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The key.
    pub key: TagKey,
    /// The value; `None` where only a key is given.
    pub value: Option<TagValue>,
}

impl FromStr for Tag {
    type Err = MetadataError;

    fn from_str(text: &str) -> Result<Self, MetadataError> {
        Ok(match text.split_once('=') {
            Some((key, value)) => Self { key: key.parse()?, value: Some(value.parse()?) },
            None => Self { key: text.parse()?, value: None },
        })
    }
}

/// The tags on one line, as people type them.
#[must_use]
pub fn join_tags(tags: &Tags) -> String {
    let tag = |(key, value): (&TagKey, &TagValue)| match value.as_str() {
        "" => key.to_string(),
        value => format!("{key}={value}"),
    };
    tags.iter().map(tag).collect::<Vec<_>>().join(" ")
}

/// Whether a time can be an expiry: from 1970 on, in milliseconds.
#[must_use]
pub fn expiry(at: Timestamp) -> Option<Timestamp> {
    let milliseconds = at.as_millisecond();
    if milliseconds < 0 { None } else { Timestamp::from_millisecond(milliseconds).ok() }
}

fn check_text(
    what: &'static str,
    text: &str,
    max: usize,
    allowed: impl Fn(char) -> bool,
) -> Result<(), MetadataError> {
    if !(1..=max).contains(&text.chars().count()) {
        return Err(MetadataError::Length { what, min: 1, max });
    }
    match text.chars().find(|c| is_hidden(*c) && !allowed(*c)) {
        Some(character) => Err(MetadataError::Hidden { what, character }),
        None => Ok(()),
    }
}

/// Whether a text has the form of a label's value, which is not empty.
fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= MAX_TAG_CHARS
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(it))
}

/// Whether a text is a DNS name in lower case.
fn is_dns_name(text: &str) -> bool {
    let is_part = |part: &str| {
        is_label(part)
            && part.bytes().all(|it| !it.is_ascii_uppercase() && !matches!(it, b'_' | b'.'))
    };
    text.len() <= MAX_PREFIX_CHARS && text.split('.').all(is_part)
}

macro_rules! text_type {
    ($($name:ident: $text:ident => $check:expr;)+) => { $(
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = MetadataError;

            fn from_str($text: &str) -> Result<Self, MetadataError> {
                $check?;
                Ok(Self($text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = MetadataError;

            fn try_from(text: String) -> Result<Self, MetadataError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(it: $name) -> Self {
                it.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+ };
}

text_type! {
    Message: text => check_text("message", text, MAX_MESSAGE_CHARS, |_| false);
    Notes: text => check_text("notes", text, MAX_NOTES_CHARS, |c| matches!(c, '\n' | '\t'));
    TagKey: text => {
        let (prefix, name) = text.split_once('/').map_or((None, text), |(a, b)| (Some(a), b));
        let fits = is_label(name) && prefix.is_none_or(is_dns_name);
        if fits { Ok(()) } else { Err(MetadataError::Tag("key of tag")) }
    };
    TagValue: text => {
        let fits = text.is_empty() || is_label(text);
        if fits { Ok(()) } else { Err(MetadataError::Tag("value of tag")) }
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_have_the_form_of_kubernetes_labels() {
        for text in ["team=payments", "pci", "example.com/owner=ada", "a=", "A_b.c=1.2-3"] {
            assert!(text.parse::<Tag>().is_ok(), "{text:?} was refused");
        }
        for text in [
            "",
            "=x",
            "-a=b",
            "a-=b",
            "a=-b",
            "a=b_",
            "a b",
            "a=b c",
            "a=b=c",
            "a/b/c",
            "/a",
            "a/",
            "Example.com/a",
            "a..b/c",
            "a_b/c",
            "gr\u{fc}n",
            "a=\u{202e}b",
            &"k".repeat(64),
            &format!("k={}", "v".repeat(64)),
            &format!("{}/k", "d".repeat(254)),
        ] {
            assert!(text.parse::<Tag>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn texts_are_bounded_and_shown_as_they_are() {
        for (text, message, notes) in [
            ("key leaked, INC-4711", true, true),
            ("gr\u{fc}n \u{6771}\u{4eac}", true, true),
            ("", false, false),
            ("two\nlines", false, true),
            ("a\ttab", false, true),
            ("a\rb", false, false),
            ("a\u{1b}[31mb", false, false),
            ("a\u{202e}b", false, false),
            ("a\u{200b}b", false, false),
            (&"\u{e4}".repeat(300), true, true),
            (&"\u{e4}".repeat(301), false, true),
            (&"\u{e4}".repeat(2001), false, false),
        ] {
            assert_eq!(text.parse::<Message>().is_ok(), message, "{text:?}");
            assert_eq!(text.parse::<Notes>().is_ok(), notes, "{text:?}");
        }
        let error = "hunter2\u{202e}".parse::<Message>().unwrap_err().to_string();
        assert_eq!(error, "parse message: has a character that is not shown, U+202E");
    }

    #[test]
    fn a_change_sets_and_removes_tags_and_leaves_the_others() {
        let tags = |text: &str| -> Tags { serde_json::from_str(text).unwrap() };
        let change = MetadataChange {
            notes: None,
            tags: serde_json::from_str(r#"{"a":"2","b":null,"d":"","e":null}"#).unwrap(),
        };
        let changed = change.apply_to(tags(r#"{"a":"1","b":"1","c":"1"}"#));
        assert_eq!(changed, tags(r#"{"a":"2","c":"1","d":""}"#));
        assert_eq!(join_tags(&changed), "a=2 c=1 d");
    }

    #[test]
    fn an_expiry_has_milliseconds_from_1970_on() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(expiry(at("2027-01-31T12:00:00.1239Z")), Some(at("2027-01-31T12:00:00.123Z")));
        assert_eq!(expiry(at("1969-12-31T23:59:59Z")), None);
        assert_eq!(expiry(Timestamp::MIN), None);
        assert!(expiry(at("9999-12-30T00:00:00Z")).is_some());
    }

    proptest! {
        #[test]
        fn no_accepted_text_has_a_hidden_character(text in "\\PC{0,20}[\\x00-\\x{2070}]{0,3}") {
            if let Ok(message) = text.parse::<Message>() {
                prop_assert!(!message.as_str().contains(is_hidden));
            }
            if let Ok(Tag { key, value }) = text.parse::<Tag>() {
                let shown = value.map_or_else(|| key.to_string(), |it| format!("{key}={it}"));
                prop_assert_eq!(shown, text);
            }
        }
    }
}
