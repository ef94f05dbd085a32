//! What a principal may give to others, and take from them: never more than it has, never outside
//! its own scopes, and for no longer than it has it itself.

use contract::api::Access;
use jiff::Timestamp;

use super::decision::deny;
use super::verb::role_may;
use super::{Allowed, Denied, DenyRule, Principal, Target, Verb, decide};

/// What a principal may give, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The rule that allows it.
    pub allowed: Allowed,
    /// When the principal's own authority ends, if it does.
    pub until: Option<Timestamp>,
}

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
) -> Result<Delegation, Denied> {
    let allowed = decide(principal, verb, target)?;
    let own = || principal.roles.iter().filter(|it| it.within.covers(target));
    // Access to read or write is less than the role that the check above requires.
    let is_enough = |role| access.role().is_none_or(|given| role >= given);
    let ends =
        own().filter(|it| role_may(it.role, verb, target) && is_enough(it.role)).map(|it| it.until);
    // A role without an end outlasts every other one.
    let Some(until) = ends.max_by_key(|until| until.unwrap_or(Timestamp::MAX)) else {
        let highest = own().max_by_key(|it| it.role);
        let rule =
            highest.map_or(DenyRule::Default, |own| DenyRule::BeyondOwn(Box::new(own.clone())));
        return Err(deny(principal, verb, target, rule));
    };
    Ok(Delegation { allowed, until })
}

/// Decides whether what `principal` gives may last until `expires_at`; `None` is for ever. The
/// principal's own authority ends at `own`.
///
/// # Errors
/// If it would outlive the authority.
pub fn decide_lifetime(
    principal: &Principal,
    verb: Verb,
    target: Target<'_>,
    own: Option<Timestamp>,
    expires_at: Option<Timestamp>,
) -> Result<(), Denied> {
    match own {
        Some(own) if expires_at.is_none_or(|at| own < at) => {
            let denied = deny(principal, verb, target, DenyRule::Outlives(own));
            let hint = "ask for a shorter lifetime (--ttl)".to_owned();
            Err(Denied { hint, ..denied })
        }
        _ => Ok(()),
    }
}

/// Decides whether `principal` may end a session of `person`: it manages all tokens, and has each
/// role of the person itself.
///
/// # Errors
/// If it may not manage all tokens, or the person has a role that it does not have.
pub fn decide_session_end(principal: &Principal, person: &Principal) -> Result<Allowed, Denied> {
    let allowed = decide(principal, Verb::Token, Target::Everything)?;
    for role in &person.roles {
        let target = Target::from_scope(role.within.scope());
        decide_delegation(principal, Verb::Token, Access::from(role.role), target)?;
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use contract::Scope;
    use contract::api::{PrincipalKind, Role};

    use super::super::{AccessGrant, RoleAssignment, RoleScope, RoleSource};
    use super::*;

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    fn role(role: Role, within: RoleScope, until: Option<i64>) -> RoleAssignment {
        let until = until.map(|at| Timestamp::from_second(at).unwrap());
        RoleAssignment { role, within, source: RoleSource::Token, until }
    }

    fn with(roles: Vec<RoleAssignment>) -> Principal {
        Principal {
            kind: PrincipalKind::User,
            name: "ada".into(),
            groups: vec![],
            roles,
            grants: vec![],
        }
    }

    fn one(it: Role, within: RoleScope) -> Principal {
        with(vec![role(it, within, None)])
    }

    #[test]
    fn nobody_gives_more_than_they_have() {
        let (shop, api, other) = (scope("shop"), scope("shop.prod.api"), scope("other"));
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
        both.roles.push(role(Role::Admin, RoleScope::Everything, None));
        assert!(may(&both, Access::Owner, Target::Scope(&other)));
        assert!(!may(&both, Access::Owner, Target::Scope(&shop)));
    }

    #[test]
    fn nothing_outlives_the_authority_that_gives_it() {
        let (shop, api) = (scope("shop"), scope("shop.prod.api"));
        let until = |who: &Principal, access| {
            let target = Target::Scope(&api);
            let given = decide_delegation(who, Verb::Grant, access, target).unwrap();
            given.until.map(Timestamp::as_second)
        };
        // The longest of those roles counts that are enough by themselves.
        let roles = vec![
            role(Role::Owner, RoleScope::Scope(shop.clone()), Some(100)),
            role(Role::Admin, RoleScope::Everything, Some(300)),
            role(Role::Developer, RoleScope::Everything, None),
            role(Role::Owner, RoleScope::Scope(scope("other")), None),
        ];
        let mut who = with(roles);
        for (access, ends) in [
            (Access::Owner, 100),
            (Access::Admin, 300),
            (Access::Readonly, 300),
            (Access::Read, 300),
        ] {
            assert_eq!(until(&who, access), Some(ends), "{access}");
        }
        who.roles.push(role(Role::Admin, RoleScope::Scope(shop), None));
        assert_eq!((until(&who, Access::Owner), until(&who, Access::Admin)), (Some(100), None));

        let at = |second| Some(Timestamp::from_second(second).unwrap());
        for (own, asked, fits) in [
            (None, None, true),
            (None, at(900), true),
            (at(100), None, false),
            (at(100), at(101), false),
            (at(100), at(100), true),
        ] {
            let target = Target::Scope(&api);
            let decision = decide_lifetime(&who, Verb::Grant, target, own, asked);
            assert_eq!(decision.is_ok(), fits, "{own:?} {asked:?}");
        }
    }

    #[test]
    fn a_session_ends_by_who_has_all_of_its_roles() {
        let everywhere = || RoleScope::Everything;
        let in_shop = || RoleScope::Scope(scope("shop"));
        let admin = one(Role::Admin, everywhere());
        for (who, person, may) in [
            (&admin, with(vec![]), true),
            (&admin, one(Role::Admin, everywhere()), true),
            (&admin, one(Role::Developer, in_shop()), true),
            (&admin, one(Role::Owner, everywhere()), false),
            (&admin, one(Role::Owner, in_shop()), false),
            (&one(Role::Owner, everywhere()), one(Role::Owner, everywhere()), true),
            // Who manages the tokens of a scope manages no sessions.
            (&one(Role::Owner, in_shop()), with(vec![]), false),
            (&one(Role::Owner, in_shop()), one(Role::Developer, in_shop()), false),
            (&one(Role::Developer, everywhere()), with(vec![]), false),
        ] {
            assert_eq!(decide_session_end(who, &person).is_ok(), may, "{who:?} {person:?}");
        }
    }
}
