//! What is written beside a value: bounded, and never the value itself.

use contract::metadata::{MAX_TAG_CHANGES, Message, Notes, TagChanges, expiry};
use contract::{Redacted, SecretName};
use jiff::Timestamp;

use crate::app::ApiError;

/// A shorter value is found in many a text by chance.
const MIN_FOUND_BYTES: usize = 8;

/// What a request writes beside a value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WrittenBeside<'a> {
    pub(super) message: Option<&'a Message>,
    pub(super) notes: Option<&'a Notes>,
    pub(super) tags: Option<&'a TagChanges>,
    pub(super) expires_at: Option<Timestamp>,
}

/// Checks what is written beside the value of `name`, if the request has one.
pub(super) fn check(
    name: Option<&SecretName>,
    value: Option<&Redacted>,
    beside: WrittenBeside<'_>,
) -> Result<(), ApiError> {
    let of = name.map_or_else(String::new, |name| format!(" of {name}"));
    let WrittenBeside { message, notes, tags, expires_at } = beside;
    if tags.is_some_and(|tags| tags.0.len() > MAX_TAG_CHANGES) {
        return Err(ApiError::malformed(format!("more than {MAX_TAG_CHANGES} tags{of} change")));
    }
    if expires_at.is_some_and(|at| expiry(at).is_none()) {
        return Err(ApiError::malformed(format!("expires_at{of} must be a time from 1970 on")));
    }
    let Some(value) = value.and_then(|it| std::str::from_utf8(it.expose()).ok()) else {
        return Ok(());
    };
    let value = value.trim();
    if value.len() < MIN_FOUND_BYTES {
        return Ok(());
    }
    let texts = [("message", message.map(Message::as_str)), ("notes", notes.map(Notes::as_str))];
    let tag_values = tags.into_iter().flat_map(|tags| tags.0.iter()).flat_map(|(key, value)| {
        [Some(key.as_str()), value.as_ref().map(|it| it.as_str())].map(|text| ("tags", text))
    });
    let mut all = texts.into_iter().chain(tag_values);
    match all.find(|(_, text)| text.is_some_and(|text| text.contains(value))) {
        None => Ok(()),
        Some((where_found, _)) => Err(ApiError::malformed(format!(
            "the {where_found}{of} contain the value itself; message, notes and tags are not secret"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_refused_in_what_is_written_beside_it() {
        let name: SecretName = "A".parse().unwrap();
        let message = |text: &str| text.parse::<Message>().unwrap();
        let notes: Notes = "line\nis hunter2hunter2".parse().unwrap();
        let tags: TagChanges = serde_json::from_str(r#"{"a":"hunter2hunter2","b":null}"#).unwrap();
        for (value, beside, says) in [
            (
                "hunter2hunter2\n",
                WrittenBeside {
                    message: Some(&message("was hunter2hunter2")),
                    ..WrittenBeside::default()
                },
                Some("message"),
            ),
            (
                "hunter2hunter2",
                WrittenBeside { notes: Some(&notes), ..WrittenBeside::default() },
                Some("notes"),
            ),
            (
                "hunter2hunter2",
                WrittenBeside { tags: Some(&tags), ..WrittenBeside::default() },
                Some("tags"),
            ),
            ("hunter2", WrittenBeside { notes: Some(&notes), ..WrittenBeside::default() }, None),
            (
                "another value",
                WrittenBeside {
                    notes: Some(&notes),
                    tags: Some(&tags),
                    ..WrittenBeside::default()
                },
                None,
            ),
        ] {
            let result = check(Some(&name), Some(&Redacted::from(value.to_owned())), beside);
            match (result, says) {
                (Ok(()), None) => {}
                (Err(error), Some(says)) => {
                    assert!(error.detail().contains(says), "{}", error.detail());
                    assert!(!error.detail().contains("hunter2"), "{}", error.detail());
                }
                other => panic!("{value}: {other:?}"),
            }
        }
    }

    #[test]
    fn tags_and_expiry_are_bounded() {
        let tags: TagChanges = TagChanges(
            (0..=MAX_TAG_CHANGES).map(|at| (format!("k{at}").parse().unwrap(), None)).collect(),
        );
        let too_many = WrittenBeside { tags: Some(&tags), ..WrittenBeside::default() };
        assert!(check(None, None, too_many).is_err());
        for (at, fits) in [("1969-12-31T00:00:00Z", false), ("2027-01-31T00:00:00Z", true)] {
            let beside =
                WrittenBeside { expires_at: Some(at.parse().unwrap()), ..WrittenBeside::default() };
            assert_eq!(check(None, None, beside).is_ok(), fits, "{at}");
        }
    }
}
