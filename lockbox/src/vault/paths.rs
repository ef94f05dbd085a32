//! The paths of entries in the engine. Pure.

use contract::{Scope, SecretName};

use super::entry_version::WriteId;

// No label starts with '_', so no project has this name.
const OVERFLOW_FOLDER: &str = "_apart";

/// The paths below the prefix.
#[derive(Clone, Debug)]
pub(super) struct Paths(String);

impl Paths {
    pub(super) fn new(prefix: &str) -> Self {
        Self(prefix.to_owned())
    }

    /// The entry of a scope: `enclii/shop/prod/api`. The depth tells the kind of scope.
    pub(super) fn scope(&self, scope: &Scope) -> String {
        format!("{}/{}", self.0, scope.to_string().replace('.', "/"))
    }

    /// The folder of the overflow values of one name. The scope is one segment, so that the depth
    /// is always the same.
    pub(super) fn name(&self, scope: &Scope, name: &SecretName) -> String {
        format!("{}/{OVERFLOW_FOLDER}/{scope}/{name}", self.0)
    }

    /// The folder of one overflow value.
    pub(super) fn value(&self, scope: &Scope, name: &SecretName, write: WriteId) -> String {
        format!("{}/{write}", self.name(scope, name))
    }

    /// One part of an overflow value.
    pub(super) fn part(
        &self,
        scope: &Scope,
        name: &SecretName,
        write: WriteId,
        part: usize,
    ) -> String {
        format!("{}/{part}", self.value(scope, name, write))
    }

    /// An entry that is never written.
    pub(super) fn probe(&self) -> String {
        format!("{}/_probe", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_unique() {
        let paths = Paths::new("enclii");
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        let name = |text: &str| text.parse::<SecretName>().unwrap();
        assert_eq!(paths.scope(&scope("shop")), "enclii/shop");
        assert_eq!(paths.scope(&scope("shop.prod")), "enclii/shop/prod");
        assert_eq!(paths.scope(&scope("shop.prod.api")), "enclii/shop/prod/api");
        let write: WriteId = "9f86d081884c7d65".parse().unwrap();
        assert_eq!(
            paths.part(&scope("shop"), &name("prod.api"), write, 0),
            "enclii/_apart/shop/prod.api/9f86d081884c7d65/0"
        );
        assert_eq!(
            paths.part(&scope("shop.prod"), &name("api"), write, 0),
            "enclii/_apart/shop.prod/api/9f86d081884c7d65/0"
        );
        // No project can have the name of the other folders.
        assert!("_apart".parse::<Scope>().is_err() && "_probe".parse::<Scope>().is_err());
    }
}
