//! Whose events of the audit log a principal may read.

use std::collections::BTreeSet;

use contract::Scope;

use super::verb::role_may;
use super::{AllowRule, Allowed, Denied, Principal, Target, Verb, decide};

/// The part of the audit log that a principal may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditReach {
    /// All of it.
    Everything,
    /// The events of these scopes and those below them.
    Scopes(BTreeSet<Scope>),
}

/// Decides which events `principal` may read, of all or of those in `asked` and below. An admin of
/// a part of what is asked for reads that part.
///
/// # Errors
/// If it may read none.
pub fn decide_audit(
    principal: &Principal,
    asked: Option<&Scope>,
) -> Result<(AuditReach, Allowed), Denied> {
    let denied = match decide(principal, Verb::Audit, Target::from_scope(asked)) {
        Ok(allowed) => {
            let reach = asked.map_or(AuditReach::Everything, |scope| {
                AuditReach::Scopes(BTreeSet::from([scope.clone()]))
            });
            return Ok((reach, allowed));
        }
        Err(denied) => denied,
    };
    let may_audit = |scope: &Scope, role| role_may(role, Verb::Audit, Target::Scope(scope));
    let within: Vec<_> = principal
        .roles
        .iter()
        .filter_map(|it| Some((it, it.within.scope()?)))
        .filter(|(it, scope)| may_audit(scope, it.role))
        .filter(|(_, scope)| asked.is_none_or(|asked| asked.contains(scope)))
        .collect();
    let Some((first, _)) = within.first() else { return Err(denied) };
    let allowed = Allowed { rule: AllowRule::Role((*first).clone()) };
    let is_inside =
        |scope: &Scope| within.iter().any(|(_, other)| *other != scope && other.contains(scope));
    let scopes =
        within.iter().map(|(_, scope)| *scope).filter(|it| !is_inside(it)).cloned().collect();
    Ok((AuditReach::Scopes(scopes), allowed))
}

#[cfg(test)]
mod tests {
    use contract::api::{PrincipalKind, Role};

    use super::super::{RoleAssignment, RoleScope, RoleSource};
    use super::*;

    fn with(roles: &[(Role, &str)]) -> Principal {
        let role = |(role, scope): &(Role, &str)| RoleAssignment {
            role: *role,
            within: match *scope {
                "" => RoleScope::Everything,
                scope => RoleScope::Scope(scope.parse().unwrap()),
            },
            source: RoleSource::Token,
            until: None,
        };
        Principal {
            kind: PrincipalKind::User,
            name: "ada".into(),
            groups: vec![],
            roles: roles.iter().map(role).collect(),
            grants: vec![],
        }
    }

    #[test]
    fn an_admin_reads_what_is_below_its_scope() {
        let everything = with(&[(Role::Admin, "")]);
        let shop = with(&[(Role::Admin, "shop")]);
        let two = with(&[(Role::Admin, "shop.prod"), (Role::Owner, "other.dev.api")]);
        let developer = with(&[(Role::Developer, ""), (Role::Admin, "shop.dev")]);
        for (who, asked, expected) in [
            (&everything, "", Some(&["*"][..])),
            (&everything, "shop", Some(&["shop"])),
            (&shop, "", Some(&["shop"])),
            (&shop, "shop.prod.api", Some(&["shop.prod.api"])),
            (&shop, "other", None),
            (&shop, "shopping", None),
            (&two, "", Some(&["other.dev.api", "shop.prod"])),
            (&two, "shop", Some(&["shop.prod"])),
            (&two, "other", Some(&["other.dev.api"])),
            (&two, "shop.dev", None),
            (&with(&[(Role::Admin, "shop.prod.api"), (Role::Admin, "shop")]), "", Some(&["shop"])),
            (&developer, "", Some(&["shop.dev"])),
            (&developer, "shop.prod", None),
            (&with(&[(Role::Developer, "")]), "", None),
            (&with(&[]), "", None),
        ] {
            let asked: Option<Scope> = (!asked.is_empty()).then(|| asked.parse().unwrap());
            let found = decide_audit(who, asked.as_ref()).ok().map(|(reach, _)| match reach {
                AuditReach::Everything => vec!["*".to_owned()],
                AuditReach::Scopes(scopes) => scopes.iter().map(ToString::to_string).collect(),
            });
            let mut found = found;
            found.iter_mut().for_each(|it| it.sort());
            let expected = expected.map(|all| all.iter().map(|it| (*it).to_owned()).collect());
            assert_eq!(found, expected, "{who:?} {asked:?}");
        }
    }
}
