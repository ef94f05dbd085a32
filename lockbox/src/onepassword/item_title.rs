//! Titles of items, which tell people in 1Password which secret an item is.
//!
//! `enclii/{scope}/{name}` is the current item, which people edit, and `enclii/{scope}/{name}#v{n}`
//! the record of one version. Connect does not keep titles unique, so nothing is read by its title
//! alone. An id contains no slash, so no title can be mistaken for one.

use contract::{Scope, SecretName, Version};

use super::error::ConnectError;

/// The title of the current item, which people edit.
pub(super) fn current(scope: &Scope, name: &SecretName) -> String {
    format!("enclii/{scope}/{name}")
}

/// The title of the record of a version.
pub(super) fn record(scope: &Scope, name: &SecretName, version: Version) -> String {
    format!("enclii/{scope}/{name}#v{version}")
}

/// The version, if the title is that of a record of this secret.
pub(super) fn version_of(title: &str, scope: &Scope, name: &SecretName) -> Option<Version> {
    let digits = title.strip_prefix(&current(scope, name))?.strip_prefix("#v")?;
    let version = Version(digits.parse().ok()?);
    // Only the canonical form: neither `+1` nor `01`.
    (version.to_string() == digits).then_some(version)
}

/// Whether a text looks like an id: 26 characters of `a-z` and `0-9`. A name may look so too.
pub(super) fn looks_like_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The filter for items with that title. Connect's comparison is loose, so the caller compares the
/// results again.
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
