//! What a principal may give to others: never more than it has, and never outside its own scopes.

use contract::api::Access;
use jiff::Timestamp;

use super::decision::deny;
use super::{Allowed, Denied, DenyRule, Principal, Target, Verb, decide};

/// Decides whether `principal` may give `access` to `target`, or take it back. `verb` is grant or
/// token.
///
/// # Errors
/// If it may not do `verb` there at all, or `access` is a role above its own.
pub fn decide_delegation(
    principal: &Principal,
    verb: Verb,
    access: Access,
    target: Target<'_>,
) -> Result<Allowed, Denied> {
    let allowed = decide(principal, verb, target)?;
    // Access to read or write is less than the role that the check above requires.
    let Some(role) = access.role() else { return Ok(allowed) };
    let own = principal.roles.iter().filter(|it| it.within.covers(target)).max_by_key(|it| it.role);
    match own {
        Some(own) if own.role >= role => Ok(allowed),
        Some(own) => Err(deny(principal, verb, target, DenyRule::BeyondOwn(Box::new(own.clone())))),
        None => Err(deny(principal, verb, target, DenyRule::Default)),
    }
}

/// Decides whether a token that `principal` creates may last until `expires_at`. The principal's
/// own credential expires at `own`.
///
/// # Errors
/// If the token would outlive the credential.
pub fn decide_lifetime(
    principal: &Principal,
    target: Target<'_>,
    own: Option<Timestamp>,
    expires_at: Timestamp,
) -> Result<(), Denied> {
    match own {
        Some(own) if own < expires_at => {
            Err(deny(principal, Verb::Token, target, DenyRule::Outlives(own)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use contract::Scope;
    use contract::api::{PrincipalKind, Role};

    use super::super::{AccessGrant, RoleAssignment, RoleScope, RoleSource};
    use super::*;

    #[test]
    fn nobody_gives_more_than_they_have() {
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        let (shop, api, other) = (scope("shop"), scope("shop.prod.api"), scope("other"));
        let one = |role, within: RoleScope| Principal {
            kind: PrincipalKind::User,
            name: "ada".into(),
            groups: vec![],
            roles: vec![RoleAssignment { role, within, source: RoleSource::Token }],
            grants: vec![],
        };
        let admin = one(Role::Admin, RoleScope::Scope(shop.clone()));
        let may = |who: &Principal, access, target| {
            decide_delegation(who, Verb::Grant, access, target).is_ok()
        };
        for access in
            [Access::Read, Access::Write, Access::Readonly, Access::Developer, Access::Admin]
        {
            assert!(may(&admin, access, Target::Scope(&api)), "{access}");
            assert!(may(&admin, access, Target::Scope(&shop)), "{access}");
            assert!(!may(&admin, access, Target::Scope(&other)), "{access}");
            assert!(!may(&admin, access, Target::Everything), "{access}");
        }
        assert!(!may(&admin, Access::Owner, Target::Scope(&api)));
        assert!(may(&one(Role::Owner, RoleScope::Everything), Access::Owner, Target::Everything));
        let mut developer = one(Role::Developer, RoleScope::Everything);
        // The permission to read is not the permission to let others read.
        developer.grants.push(AccessGrant {
            grant: 1,
            access: Access::Read,
            scope: api.clone(),
            secret: None,
        });
        assert!(!may(&developer, Access::Read, Target::Scope(&api)));
        // An owner of one scope who is an admin of all is not an owner of the rest.
        let mut both = one(Role::Owner, RoleScope::Scope(other.clone()));
        both.roles.push(RoleAssignment {
            role: Role::Admin,
            within: RoleScope::Everything,
            source: RoleSource::Token,
        });
        assert!(may(&both, Access::Owner, Target::Scope(&other)));
        assert!(!may(&both, Access::Owner, Target::Scope(&shop)));
    }
}
