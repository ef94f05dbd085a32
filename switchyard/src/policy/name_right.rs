//! What a principal may learn of one name: its value, that it exists, or nothing.

use contract::{Scope, SecretName};

use super::{AllowRule, Principal, Target, Verb, decide};

/// What a principal may learn of a name in a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameRight {
    /// Its value, by this rule.
    Read(AllowRule),
    /// Whether it exists.
    List,
    /// Nothing.
    Nothing,
}

/// What `principal` may learn of `name` in `scope`.
#[must_use]
pub fn name_right(principal: &Principal, scope: &Scope, name: &SecretName) -> NameRight {
    let target = Target::Secret(scope, name);
    match decide(principal, Verb::Read, target) {
        Ok(allowed) => NameRight::Read(allowed.rule),
        Err(_) if decide(principal, Verb::List, target).is_ok() => NameRight::List,
        Err(_) => NameRight::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use contract::api::{Access, PrincipalKind, Role};

    use super::super::{AccessGrant, RoleAssignment, RoleScope, RoleSource};
    use super::*;

    #[test]
    fn a_name_is_read_listed_or_hidden() {
        for (role, grant, expected) in [
            (None, None, ["nothing", "nothing"]),
            (Some((Role::Owner, "other")), None, ["nothing", "nothing"]),
            (Some((Role::Readonly, "shop.prod.api")), None, ["list", "nothing"]),
            // Developers read services only, and list what is above them.
            (Some((Role::Developer, "shop")), None, ["read", "list"]),
            (Some((Role::Admin, "shop.prod")), None, ["read", "read"]),
            (None, Some(("shop.prod", Some("A"))), ["nothing", "read"]),
            (None, Some(("shop.prod", Some("B"))), ["nothing", "nothing"]),
            (Some((Role::Readonly, "shop")), Some(("shop.prod", Some("A"))), ["list", "read"]),
        ] {
            let role = role.map(|(role, scope)| RoleAssignment {
                role,
                within: RoleScope::Scope(scope.parse().unwrap()),
                source: RoleSource::Token,
                until: None,
            });
            let grant = grant.map(|(scope, secret): (&str, Option<&str>)| AccessGrant {
                grant: 1,
                access: Access::Read,
                scope: scope.parse().unwrap(),
                secret: secret.map(|it| it.parse().unwrap()),
            });
            let principal = Principal {
                kind: PrincipalKind::User,
                name: "ada".into(),
                groups: vec![],
                roles: role.into_iter().collect(),
                grants: grant.into_iter().collect(),
            };
            let found = ["shop.prod.api", "shop.prod"].map(|scope| {
                match name_right(&principal, &scope.parse().unwrap(), &"A".parse().unwrap()) {
                    NameRight::Read(_) => "read",
                    NameRight::List => "list",
                    NameRight::Nothing => "nothing",
                }
            });
            assert_eq!(found, expected, "{principal:?}");
        }
    }
}
