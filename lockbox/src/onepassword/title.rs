//! Titles of items, the one thing in 1Password that says to people which secret an item is.
//!
//! `enclii/{scope}/{name}` is the item that people edit, `enclii/{scope}/{name}#v{n}` the record of
//! one version. Connect does not keep titles unique, so nothing is read by its title alone. An id
//! has no slash, and thus no title of ours can be taken for one.

use contract::{Scope, SecretName, Version};

use super::error::ConnectError;

/// The title of the item that people edit.
pub(super) fn current(scope: &Scope, name: &SecretName) -> String {
    format!("enclii/{scope}/{name}")
}

/// The title of the record of a version.
pub(super) fn record(scope: &Scope, name: &SecretName, version: Version) -> String {
    format!("enclii/{scope}/{name}#v{version}")
}

/// The version that a title is the record of, if it is one of this secret.
pub(super) fn version_of(title: &str, scope: &Scope, name: &SecretName) -> Option<Version> {
    let digits = title.strip_prefix(&current(scope, name))?.strip_prefix("#v")?;
    let version = Version(digits.parse().ok()?);
    // One way to write a number: neither `+1` nor `01`.
    (version.to_string() == digits).then_some(version)
}

/// Whether a text has the form of an id, 26 of `a-z` and `0-9`. A name may have it too.
pub(super) fn looks_like_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The filter for items of that title. Connect compares as it likes, so what comes back is compared
/// here once more.
pub(super) fn filter(title: &str) -> Result<String, ConnectError> {
    if title.chars().any(|c| matches!(c, '"' | '\\') || c.is_control()) {
        return Err(ConnectError::Filter(title.to_owned()));
    }
    Ok(format!("title eq \"{title}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_and_versions() {
        let (scope, name): (Scope, SecretName) =
            ("shop.prod.api".parse().unwrap(), "DB_URL".parse().unwrap());
        assert_eq!(current(&scope, &name), "enclii/shop.prod.api/DB_URL");
        let title = record(&scope, &name, Version(12));
        assert_eq!(title, "enclii/shop.prod.api/DB_URL#v12");
        assert_eq!(version_of(&title, &scope, &name), Some(Version(12)));
        for other in [
            "enclii/shop.prod.api/DB_URL",
            "enclii/shop.prod.api/DB_URL#v",
            "enclii/shop.prod.api/DB_URL#v01",
            "enclii/shop.prod.api/DB_URL#v+1",
            "enclii/shop.prod.api/DB_URL#v1 copy",
            "enclii/shop.prod.api/DB_URL2#v1",
            "enclii/shop.prod.api/db_url#v1",
            "enclii/shop.prod/DB_URL#v1",
        ] {
            assert_eq!(version_of(other, &scope, &name), None, "{other}");
        }
    }

    #[test]
    fn ids_and_filters() {
        assert!(looks_like_id("abcdefghijklmnopqrstuvwx12"));
        assert!(
            !looks_like_id("abcdefghijklmnopqrstuvwx1")
                && !looks_like_id("ABCDEFGHIJKLMNOPQRSTUVWX12")
        );
        let (scope, name): (Scope, SecretName) =
            ("a".parse().unwrap(), "abcdefghijklmnopqrstuvwx12".parse().unwrap());
        assert!(
            !looks_like_id(&current(&scope, &name))
                && !looks_like_id(&record(&scope, &name, Version(1)))
        );
        assert_eq!(filter("a b").unwrap(), "title eq \"a b\"");
        for bad in ["a\"", "a\\", "a\n"] {
            assert!(matches!(filter(bad), Err(ConnectError::Filter(_))), "{bad:?}");
        }
    }
}
