//! What somebody may hand out to others: never more than they have, and never beyond their own
//! reach.

use contract::api::Access;
use jiff::Timestamp;

use super::people::deny;
use super::{Allowed, Denied, DeniedRule, Principal, Target, Verb, decide};

/// Decides whether `principal` may give `access` to `target`, or take it back: `verb` says whether
/// as a grant or as a token.
///
/// # Errors
/// Where it may not do `verb` there at all, or `access` is a role above its own there.
pub fn hand_out(
    principal: &Principal,
    verb: Verb,
    access: Access,
    target: Target<'_>,
) -> Result<Allowed, Denied> {
    let allowed = decide(principal, verb, target)?;
    // What is no role is less than what it takes to get here.
    let Some(role) = access.role() else { return Ok(allowed) };
    let own = principal.roles.iter().filter(|it| it.within.covers(target)).max_by_key(|it| it.role);
    match own {
        Some(own) if own.role >= role => Ok(allowed),
        Some(own) => {
            Err(deny(principal, verb, target, DeniedRule::BeyondOwn(Box::new(own.clone()))))
        }
        None => Err(deny(principal, verb, target, DeniedRule::Default)),
    }
}

/// Decides whether what `principal` makes may last until `end`, where its own credential lasts
/// until `own`.
///
/// # Errors
/// Where it would outlive that.
pub fn lasts_within(
    principal: &Principal,
    target: Target<'_>,
    own: Option<Timestamp>,
    end: Timestamp,
) -> Result<(), Denied> {
    match own {
        Some(own) if own < end => {
            Err(deny(principal, Verb::Token, target, DeniedRule::Outlives(own)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use contract::Scope;
    use contract::api::{PrincipalKind, Role};

    use super::super::{Assigned, Permit, Reach, Source};
    use super::*;

    #[test]
    fn nobody_gives_more_than_they_have() {
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        let (shop, api, other) = (scope("shop"), scope("shop.prod.api"), scope("other"));
        let one = |role, within: Reach| Principal {
            kind: PrincipalKind::User,
            name: "ada".into(),
            groups: vec![],
            roles: vec![Assigned { role, within, source: Source::Token }],
            permits: vec![],
        };
        let admin = one(Role::Admin, Reach::Scope(shop.clone()));
        let may =
            |who: &Principal, access, target| hand_out(who, Verb::Grant, access, target).is_ok();
        for access in
            [Access::Read, Access::Write, Access::Readonly, Access::Developer, Access::Admin]
        {
            assert!(may(&admin, access, Target::Scope(&api)), "{access}");
            assert!(may(&admin, access, Target::Scope(&shop)), "{access}");
            assert!(!may(&admin, access, Target::Scope(&other)), "{access}");
            assert!(!may(&admin, access, Target::Everything), "{access}");
        }
        assert!(!may(&admin, Access::Owner, Target::Scope(&api)));
        assert!(may(&one(Role::Owner, Reach::Everything), Access::Owner, Target::Everything));
        let mut developer = one(Role::Developer, Reach::Everything);
        // A right to read is none to let others read.
        developer.permits.push(Permit {
            grant: 1,
            access: Access::Read,
            scope: api.clone(),
            secret: None,
        });
        assert!(!may(&developer, Access::Read, Target::Scope(&api)));
        // An owner of one thing who is an admin of all is no owner of the rest.
        let mut both = one(Role::Owner, Reach::Scope(other.clone()));
        both.roles.push(Assigned {
            role: Role::Admin,
            within: Reach::Everything,
            source: Source::Token,
        });
        assert!(may(&both, Access::Owner, Target::Scope(&other)));
        assert!(!may(&both, Access::Owner, Target::Scope(&shop)));
    }
}
