//! Whether the current item of a secret is up to date, outdated or edited by a person. Pure.

use super::item::ItemContent;
use super::mac::Mac;
use crate::value::ValueId;

/// The state of a current item, compared with the active version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CurrentItemState {
    /// There is no current item.
    Absent,
    /// It shows the active version.
    InSync,
    /// It shows what was written into it, which is another version.
    Outdated,
    /// It shows a value that a person typed.
    Edited,
}

/// Compares a current item with the active version and its MAC.
pub(super) fn current_item_state(
    id: ValueId<'_>,
    mac: &Mac,
    current: Option<&ItemContent>,
) -> CurrentItemState {
    let Some(content) = current else { return CurrentItemState::Absent };
    let matches = content.matches(id, mac);
    if matches && content.version == Some(id.version) {
        CurrentItemState::InSync
    } else if matches || content.is_as_written(id) {
        CurrentItemState::Outdated
    } else {
        CurrentItemState::Edited
    }
}

#[cfg(test)]
mod tests {
    use contract::{Redacted, Scope, SecretName, Version};

    use super::super::mac::Seal;
    use super::*;

    #[test]
    fn current_items_are_compared_with_the_active_version() {
        let (scope, name): (Scope, SecretName) = ("a".parse().unwrap(), "N".parse().unwrap());
        let id = |version| ValueId { scope: &scope, name: &name, version: Version(version) };
        let value = |text: &str| Redacted::from(text.to_owned());
        let (one, two) =
            (Seal::new(id(1), &value("one")).unwrap(), Seal::new(id(2), &value("two")).unwrap());
        let content = |version: Option<u64>, seal: Option<&Seal>, text: &str| ItemContent {
            version: version.map(Version),
            seal: seal.cloned(),
            value: value(text),
        };
        let table = [
            (None, CurrentItemState::Absent),
            (Some(content(Some(2), Some(&two), "two")), CurrentItemState::InSync),
            // After a rollback or a rotation.
            (Some(content(Some(1), Some(&one), "one")), CurrentItemState::Outdated),
            // Somebody typed another version number beside the right value.
            (Some(content(Some(7), Some(&two), "two")), CurrentItemState::Outdated),
            (Some(content(Some(2), Some(&two), "edited")), CurrentItemState::Edited),
            // Back to the previous value: an edit like any other.
            (Some(content(Some(2), Some(&two), "one")), CurrentItemState::Edited),
            (Some(content(Some(1), Some(&one), "two")), CurrentItemState::Edited),
            (Some(content(Some(2), None, "two")), CurrentItemState::Edited),
            (Some(content(None, None, "")), CurrentItemState::Edited),
        ];
        for (current, expected) in table {
            assert_eq!(
                current_item_state(id(2), &two.mac, current.as_ref()),
                expected,
                "{current:?}"
            );
        }
    }
}
