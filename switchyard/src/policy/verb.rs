//! What can be asked for, and which role may do it where. This is the table of the manual.

use contract::Scope;
use contract::api::{Access, Role};

use super::Target;

/// What somebody asks to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Run the store itself: seal its values under another key.
    Admin,
    /// See the audit trail.
    Audit,
    /// Destroy versions for good.
    Destroy,
    /// Give rights, take them back, and see who has which.
    Grant,
    /// See names and versions.
    List,
    /// See values.
    Read,
    /// Make tokens, revoke them, and see which there are.
    Token,
    /// Set, rotate, roll back, delete and undelete.
    Write,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Admin,
        Self::Audit,
        Self::Destroy,
        Self::Grant,
        Self::List,
        Self::Read,
        Self::Token,
        Self::Write,
    ];

    /// What it does, as a refusal says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "administer",
            Self::Audit => "audit",
            Self::Destroy => "destroy versions of",
            Self::Grant => "grant rights to",
            Self::List => "list",
            Self::Read => "read",
            Self::Token => "manage tokens of",
            Self::Write => "write",
        }
    }

    /// The least that a grant has to give for this.
    #[must_use]
    pub fn least(self) -> Access {
        match self {
            Self::List => Access::Readonly,
            Self::Read => Access::Read,
            Self::Write => Access::Write,
            Self::Audit | Self::Destroy | Self::Grant | Self::Token => Access::Admin,
            Self::Admin => Access::Owner,
        }
    }
}

/// Whether a role that reaches `target` may do `verb` there.
pub(super) fn role_may(role: Role, verb: Verb, target: Target<'_>) -> bool {
    let least = match (verb, target.scope()) {
        (Verb::List, _) => Role::Readonly,
        (Verb::Read | Verb::Write, Some(Scope::Service(..))) => Role::Developer,
        (Verb::Read | Verb::Write | Verb::Audit | Verb::Destroy | Verb::Grant | Verb::Token, _) => {
            Role::Admin
        }
        (Verb::Admin, _) => Role::Owner,
    };
    role >= least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_manual() {
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
        assert_eq!(rows.len(), Verb::ALL.len());
        for (verb, least) in rows {
            let targets = scopes.iter().map(Target::Scope).chain([Target::Everything]);
            for (target, least) in targets.zip(least) {
                for &role in Role::ALL {
                    assert_eq!(
                        role_may(role, verb, target),
                        role >= least,
                        "{role} {verb:?} {target}"
                    );
                }
            }
        }
    }
}
