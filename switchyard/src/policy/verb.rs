//! The operations, and which role may do them where. This is the table of docs/access.md.

use contract::Scope;
use contract::api::{Access, Role};

use super::Target;

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray)]
pub enum Verb {
    /// Administer the store: reseal its values under another key.
    #[strum(serialize = "administer")]
    Admin,
    /// Read the audit log.
    #[strum(serialize = "audit")]
    Audit,
    /// Destroy versions permanently.
    #[strum(serialize = "destroy versions of")]
    Destroy,
    /// Add, remove and list grants.
    #[strum(serialize = "grant rights to")]
    Grant,
    /// List names and versions.
    #[strum(serialize = "list")]
    List,
    /// Read values.
    #[strum(serialize = "read")]
    Read,
    /// Create, revoke and list tokens.
    #[strum(serialize = "manage tokens of")]
    Token,
    /// Write, rotate, roll back, delete and undelete.
    #[strum(serialize = "write")]
    Write,
}

impl Verb {
    /// The text of the operation in an error.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The lowest access that allows it.
    #[must_use]
    pub fn minimum_access(self) -> Access {
        match self {
            Self::List => Access::Readonly,
            Self::Read => Access::Read,
            Self::Write => Access::Write,
            Self::Audit | Self::Destroy | Self::Grant | Self::Token => Access::Admin,
            Self::Admin => Access::Owner,
        }
    }
}

/// Whether a role that covers `target` may do `verb` there.
pub(super) fn role_may(role: Role, verb: Verb, target: Target<'_>) -> bool {
    let minimum = match (verb, target.scope()) {
        (Verb::List, _) => Role::Readonly,
        (Verb::Read | Verb::Write, Some(Scope::Service(..))) => Role::Developer,
        (Verb::Read | Verb::Write | Verb::Audit | Verb::Destroy | Verb::Grant | Verb::Token, _) => {
            Role::Admin
        }
        (Verb::Admin, _) => Role::Owner,
    };
    role >= minimum
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    #[test]
    fn the_table_of_docs_access() {
        let scopes =
            ["shop", "shop.prod", "shop.prod.api"].map(|text| text.parse::<Scope>().unwrap());
        // Project, environment and service scope, then everywhere.
        let rows = [
            (Verb::List, [Role::Readonly, Role::Readonly, Role::Readonly, Role::Readonly]),
            (Verb::Read, [Role::Admin, Role::Admin, Role::Developer, Role::Admin]),
            (Verb::Write, [Role::Admin, Role::Admin, Role::Developer, Role::Admin]),
            (Verb::Destroy, [Role::Admin; 4]),
            (Verb::Grant, [Role::Admin; 4]),
            (Verb::Token, [Role::Admin; 4]),
            (Verb::Audit, [Role::Admin; 4]),
            (Verb::Admin, [Role::Owner; 4]),
        ];
        assert_eq!(rows.len(), Verb::VARIANTS.len());
        for (verb, minimum) in rows {
            let targets = scopes.iter().map(Target::Scope).chain([Target::Everything]);
            for (target, minimum) in targets.zip(minimum) {
                for &role in Role::ALL {
                    assert_eq!(
                        role_may(role, verb, target),
                        role >= minimum,
                        "{role} {verb:?} {target}"
                    );
                }
            }
        }
    }
}
