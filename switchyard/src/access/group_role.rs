//! The roles that the configuration assigns to groups of the identity provider.

use std::fmt;
use std::str::FromStr;

use contract::api::{Role, UnknownWord};
use contract::scope::ScopeError;
use contract::text::is_hidden;

use crate::policy::{RoleAssignment, RoleScope, RoleSource};

/// A role of all members of a group: `GROUP=ROLE` or `GROUP=ROLE@SCOPE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRole {
    /// The group, exactly as the provider writes it.
    pub group: String,
    /// The role.
    pub role: Role,
    /// Where it applies.
    pub within: RoleScope,
}

/// Why a text is not a valid [`GroupRole`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupRoleError {
    /// The group or the role is missing.
    #[error(
        "parse role of group {0:?}: must be GROUP=ROLE or GROUP=ROLE@SCOPE, for example \
         platform=owner or shop-devs=developer@shop"
    )]
    Form(String),
    /// The role is unknown.
    #[error(transparent)]
    Role(#[from] UnknownWord),
    /// The scope is invalid.
    #[error(transparent)]
    Scope(#[from] ScopeError),
}

impl GroupRole {
    pub(super) fn assignment(&self) -> RoleAssignment {
        RoleAssignment {
            role: self.role,
            within: self.within.clone(),
            source: RoleSource::Group(self.group.clone()),
            until: None,
        }
    }
}

impl FromStr for GroupRole {
    type Err = GroupRoleError;

    fn from_str(text: &str) -> Result<Self, GroupRoleError> {
        // The name of a group may contain `=`, like a distinguished name; roles and scopes do not.
        let form = || GroupRoleError::Form(text.chars().take(200).collect());
        let (group, right) = text.rsplit_once('=').ok_or_else(form)?;
        if group.is_empty() || group != group.trim() || group.contains(is_hidden) {
            return Err(form());
        }
        let (role, scope) = match right.split_once('@') {
            Some((role, scope)) => (role, Some(scope.parse()?)),
            None => (right, None),
        };
        Ok(Self { group: group.to_owned(), role: role.parse()?, within: scope.into() })
    }
}

impl fmt::Display for GroupRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.within.scope() {
            Some(scope) => write!(f, "{}={}@{scope}", self.group, self.role),
            None => write!(f, "{}={}", self.group, self.role),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_roles_round_trip() {
        for text in [
            "platform=owner",
            "shop-devs=developer@shop",
            "shop/devs=readonly@shop.prod.api",
            "cn=ops,dc=example=admin",
        ] {
            assert_eq!(text.parse::<GroupRole>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "platform",
            "=owner",
            "platform=",
            "platform=root",
            "platform=Owner",
            "platform=owner@",
            "platform=owner@a/b",
            " x=owner",
            "platform\u{2060}=owner",
        ] {
            assert!(text.parse::<GroupRole>().is_err(), "{text:?} was accepted");
        }
    }
}
