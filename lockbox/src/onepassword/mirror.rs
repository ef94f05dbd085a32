//! What the current item of a secret is: in step, behind, or edited by a person. Pure.

use super::item::Content;
use super::proof::{Code, Place};

/// What a current item is, seen from the version in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is none.
    Absent,
    /// It shows the version in use.
    InStep,
    /// It shows what it was written with, which is another version.
    Behind,
    /// It shows what nobody but a person wrote.
    Edited,
}

/// Judges a current item by the version in use and its code.
pub(super) fn standing(place: Place<'_>, code: &Code, current: Option<&Content>) -> Standing {
    let Some(content) = current else { return Standing::Absent };
    let fits = content.fits(place, code);
    if fits && content.version == Some(place.version) {
        Standing::InStep
    } else if fits || content.is_as_written(place) {
        Standing::Behind
    } else {
        Standing::Edited
    }
}

#[cfg(test)]
mod tests {
    use contract::{Redacted, Scope, SecretName, Version};

    use super::super::proof::Seal;
    use super::*;

    #[test]
    fn standings() {
        let (scope, name): (Scope, SecretName) = ("a".parse().unwrap(), "N".parse().unwrap());
        let place = |version| Place { scope: &scope, name: &name, version: Version(version) };
        let value = |text: &str| Redacted::from(text.to_owned());
        let (one, two) = (
            Seal::new(place(1), &value("one")).unwrap(),
            Seal::new(place(2), &value("two")).unwrap(),
        );
        let content = |version: Option<u64>, seal: Option<&Seal>, text: &str| Content {
            version: version.map(Version),
            seal: seal.cloned(),
            value: value(text),
        };
        let table = [
            (None, Standing::Absent),
            (Some(content(Some(2), Some(&two), "two")), Standing::InStep),
            // After a rollback or a rotation.
            (Some(content(Some(1), Some(&one), "one")), Standing::Behind),
            // Somebody wrote another number beside the right value.
            (Some(content(Some(7), Some(&two), "two")), Standing::Behind),
            (Some(content(Some(2), Some(&two), "edited")), Standing::Edited),
            // Back to the value before: an edit like any other.
            (Some(content(Some(2), Some(&two), "one")), Standing::Edited),
            (Some(content(Some(1), Some(&one), "two")), Standing::Edited),
            (Some(content(Some(2), None, "two")), Standing::Edited),
            (Some(content(None, None, "")), Standing::Edited),
        ];
        for (current, expected) in table {
            assert_eq!(standing(place(2), &two.code, current.as_ref()), expected, "{current:?}");
        }
    }
}
