//! Whether a principal has any right that a request may need, before it is known what the request
//! names: a body is only read of somebody who may do something with it.

use contract::Scope;

use super::decision::deny;
use super::verb::role_may;
use super::{Denied, DenyRule, Principal, Target, Verb, decide};

/// Whether `principal` may do `verb` to some secret of `scope`.
///
/// # Errors
/// If [`decide`] denies every secret of the scope.
pub fn decide_some(principal: &Principal, verb: Verb, scope: &Scope) -> Result<(), Denied> {
    let Err(denied) = decide(principal, verb, Target::Scope(scope)) else { return Ok(()) };
    let single = principal.grants.iter().filter_map(|it| Some((it, it.secret.as_ref()?)));
    let mut single = single.filter(|(it, name)| it.allows(verb, Target::Secret(scope, name)));
    single.next().map(drop).ok_or(denied)
}

/// Whether `principal` may do `verb`, which a role allows, in some scope.
///
/// # Errors
/// If no role allows it anywhere.
pub fn decide_somewhere(principal: &Principal, verb: Verb) -> Result<(), Denied> {
    let roles = &principal.roles;
    if roles.iter().any(|it| role_may(it.role, verb, Target::from_scope(it.within.scope()))) {
        return Ok(());
    }
    let highest = roles.iter().max_by_key(|it| it.role);
    let rule = highest.map_or(DenyRule::Default, |it| DenyRule::TooLow(Box::new(it.clone())));
    Err(Denied { what: "anything".to_owned(), ..deny(principal, verb, Target::Everything, rule) })
}

#[cfg(test)]
mod tests {
    use contract::api::{Access, PrincipalKind, Role};

    use super::super::{AccessGrant, RoleAssignment, RoleScope, RoleSource};
    use super::*;

    fn principal(role: Option<(Role, &str)>, grant: Option<(Access, Option<&str>)>) -> Principal {
        let role = role.map(|(role, scope)| RoleAssignment {
            role,
            within: RoleScope::Scope(scope.parse().unwrap()),
            source: RoleSource::Token,
            until: None,
        });
        let grant = grant.map(|(access, secret)| AccessGrant {
            grant: 1,
            access,
            scope: "shop.prod.api".parse().unwrap(),
            secret: secret.map(|it| it.parse().unwrap()),
        });
        Principal {
            kind: PrincipalKind::User,
            name: "ada".into(),
            groups: vec![],
            roles: role.into_iter().collect(),
            grants: grant.into_iter().collect(),
        }
    }

    #[test]
    fn a_right_to_one_secret_is_a_right_to_some() {
        let scope: Scope = "shop.prod.api".parse().unwrap();
        let wider: Scope = "shop.prod".parse().unwrap();
        for (role, grant, here, above) in [
            (None, None, false, false),
            (Some((Role::Readonly, "shop")), None, false, false),
            (Some((Role::Developer, "shop")), None, true, false),
            (Some((Role::Admin, "shop.prod")), None, true, true),
            (Some((Role::Admin, "other")), None, false, false),
            (None, Some((Access::Write, None)), true, false),
            (None, Some((Access::Write, Some("A"))), true, false),
            (None, Some((Access::Read, Some("A"))), false, false),
        ] {
            let principal = principal(role, grant);
            let may = |scope| decide_some(&principal, Verb::Write, scope).is_ok();
            assert_eq!((may(&scope), may(&wider)), (here, above), "{principal:?}");
        }
    }

    #[test]
    fn a_right_in_one_scope_is_a_right_somewhere() {
        for (role, rule) in [
            (None, Some("rule deny-by-default")),
            (Some((Role::Developer, "shop")), Some("rule role-too-low: role developer in shop")),
            (Some((Role::Admin, "shop.prod.api")), None),
        ] {
            let principal = principal(role, Some((Access::Write, None)));
            let denied = decide_somewhere(&principal, Verb::Grant).err().map(|it| it.to_string());
            match (denied, rule) {
                (None, None) => {}
                (Some(denied), Some(rule)) => assert!(denied.contains(rule), "{denied}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
