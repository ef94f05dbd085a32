//! Which role the configuration gives to a group of the identity provider.

use std::fmt;
use std::str::FromStr;

use contract::api::{Role, UnknownWord};
use contract::scope::ScopeError;

use crate::policy::{Assigned, Reach, Source};

/// A role for everybody in a group: `GROUP=ROLE`, or `GROUP=ROLE@SCOPE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRole {
    /// The group, exactly as the provider writes it.
    pub group: String,
    /// The role.
    pub role: Role,
    /// Where it holds.
    pub within: Reach,
}

/// Why a text is no [`GroupRole`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupRoleError {
    /// No group, or no role.
    #[error(
        "parse group's role {0:?}: write GROUP=ROLE or GROUP=ROLE@SCOPE, as in platform=owner or shop-devs=developer@shop"
    )]
    Form(String),
    /// No role that there is.
    #[error(transparent)]
    Role(#[from] UnknownWord),
    /// No scope.
    #[error(transparent)]
    Scope(#[from] ScopeError),
}

impl GroupRole {
    pub(super) fn assigned(&self) -> Assigned {
        Assigned {
            role: self.role,
            within: self.within.clone(),
            source: Source::Group(self.group.clone()),
        }
    }
}

impl FromStr for GroupRole {
    type Err = GroupRoleError;

    fn from_str(text: &str) -> Result<Self, GroupRoleError> {
        // A group's name may hold `=`, as a distinguished name does; a role and a scope hold none.
        let form = || GroupRoleError::Form(text.chars().take(200).collect());
        let (group, right) = text.rsplit_once('=').ok_or_else(form)?;
        if group.is_empty() || group != group.trim() {
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
    fn a_group_and_its_role() {
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
        ] {
            assert!(text.parse::<GroupRole>().is_err(), "{text:?} was taken");
        }
    }
}
