//! Decides what a person or a program may do.

use std::fmt;

use contract::Scope;
use contract::api::PrincipalKind;
use jiff::Timestamp;

use super::verb::role_may;
use super::{AccessGrant, Principal, RoleAssignment, SecretFilter, Target, Verb};

/// The request is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The rule that allows it.
    pub rule: AllowRule,
}

/// The rules that allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowRule {
    /// A role.
    Role(RoleAssignment),
    /// A grant of this permission.
    Grant(AccessGrant),
}

impl fmt::Display for AllowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => role.fmt(f),
            Self::Grant(grant) => grant.fmt(f),
        }
    }
}

/// The request is denied: who, what, by which rule, and how to get access.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{who} may not {} {what}: {rule}; {hint}", verb.as_str())]
pub struct Denied {
    /// The kind and name of the principal.
    pub who: String,
    /// What it tried to do.
    pub verb: Verb,
    /// The target.
    pub what: String,
    /// The rule that denies it.
    pub rule: DenyRule,
    /// How to get access.
    pub hint: String,
}

/// The rules that deny.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DenyRule {
    /// The principal would give more than it has.
    #[error("rule not-more-than-own: {0} is less than what is handed out")]
    BeyondOwn(Box<RoleAssignment>),
    /// No rule allows it.
    #[error("rule deny-by-default: no role and no grant reaches it")]
    Default,
    /// What is given would outlive the authority that gives it.
    #[error("rule no-longer-than-own: the right to give it ends at {0:.0}")]
    Outlives(Timestamp),
    /// A role covers the target but is too low.
    #[error("rule role-too-low: {0} is not enough")]
    TooLow(Box<RoleAssignment>),
}

/// Decides whether `principal` may do `verb` to `target`.
///
/// # Errors
/// If no rule allows it.
pub fn decide(principal: &Principal, verb: Verb, target: Target<'_>) -> Result<Allowed, Denied> {
    let covering = || principal.roles.iter().filter(|it| it.within.covers(target));
    if let Some(role) = covering().find(|it| role_may(it.role, verb, target)) {
        return Ok(Allowed { rule: AllowRule::Role(role.clone()) });
    }
    if let Some(grant) = principal.grants.iter().find(|it| it.allows(verb, target)) {
        return Ok(Allowed { rule: AllowRule::Grant(grant.clone()) });
    }
    let rule = covering()
        .max_by_key(|it| it.role)
        .map_or(DenyRule::Default, |it| DenyRule::TooLow(Box::new(it.clone())));
    Err(deny(principal, verb, target, rule))
}

/// Which secrets of `scope` the principal may list. A grant of single secrets shows only these.
///
/// # Errors
/// If it may list none.
pub fn listable_secrets(
    principal: &Principal,
    scope: &Scope,
) -> Result<(SecretFilter, Allowed), Denied> {
    let denied = match decide(principal, Verb::List, Target::Scope(scope)) {
        Ok(allowed) => return Ok((SecretFilter::All, allowed)),
        Err(denied) => denied,
    };
    let single = principal.grants.iter().filter_map(|it| Some((it, it.secret.as_ref()?)));
    let visible: Vec<_> = single
        .filter(|(it, secret)| it.allows(Verb::List, Target::Secret(scope, secret)))
        .collect();
    let Some((first, _)) = visible.first() else { return Err(denied) };
    let allowed = Allowed { rule: AllowRule::Grant((*first).clone()) };
    Ok((
        SecretFilter::Only(visible.into_iter().map(|(_, secret)| secret.clone()).collect()),
        allowed,
    ))
}

pub(super) fn deny(
    principal: &Principal,
    verb: Verb,
    target: Target<'_>,
    rule: DenyRule,
) -> Denied {
    Denied {
        who: principal.to_string(),
        verb,
        what: target.to_string(),
        rule,
        hint: hint(principal, verb, target),
    }
}

/// How the principal can get access.
fn hint(principal: &Principal, verb: Verb, target: Target<'_>) -> String {
    let minimum_access = verb.minimum_access();
    match principal.kind {
        PrincipalKind::Token => {
            let role = minimum_access
                .role()
                .map_or_else(|| "role that may".to_owned(), |role| format!("role {role}"));
            format!("use a token with a {role} there: enclii tokens create")
        }
        PrincipalKind::Workload => format!(
            "the operator gives one of its rules the role {minimum_access} there: \
             --workload-issuers"
        ),
        PrincipalKind::User | PrincipalKind::ServiceAccount => {
            remedy_for(&format!("user:{}", principal.name), verb, target)
        }
    }
}

/// How a person or a group, `user:ada` or `group:devs`, can get access.
#[must_use]
pub fn remedy_for(subject: &str, verb: Verb, target: Target<'_>) -> String {
    let minimum_access = verb.minimum_access();
    let Some(scope) = target.scope() else {
        return format!(
            "the operator gives one of the groups the role {minimum_access} everywhere: \
                switchyard --oidc-role GROUP={minimum_access}"
        );
    };
    let secret = target
        .secret()
        .filter(|_| minimum_access.role().is_none())
        .map(|it| format!(" --secret {it}"))
        .unwrap_or_default();
    format!(
        "an admin or owner there can allow it: enclii grants add {subject} {minimum_access} \
            {scope}{secret}"
    )
}

#[cfg(test)]
mod tests {
    use contract::SecretName;
    use contract::api::{Access, Role};

    use super::super::{RoleScope, RoleSource};
    use super::*;

    fn ada(roles: Vec<RoleAssignment>, grants: Vec<AccessGrant>) -> Principal {
        Principal { kind: PrincipalKind::User, name: "ada".into(), groups: vec![], roles, grants }
    }

    fn role(role: Role, scope: &str) -> RoleAssignment {
        RoleAssignment {
            until: None,
            role,
            within: RoleScope::Scope(scope.parse().unwrap()),
            source: RoleSource::Group("devs".into()),
        }
    }

    fn grant(grant: u64, access: Access, scope: &str, secret: Option<&str>) -> AccessGrant {
        AccessGrant {
            grant,
            access,
            scope: scope.parse().unwrap(),
            secret: secret.map(|it| it.parse().unwrap()),
        }
    }

    #[test]
    fn a_decision_names_its_rule() {
        let scope: Scope = "shop.prod.api".parse().unwrap();
        let name: SecretName = "DB".parse().unwrap();
        let target = Target::Secret(&scope, &name);
        let rule = |principal: &Principal, verb| {
            decide(principal, verb, target)
                .map(|it| it.rule.to_string())
                .map_err(|it| it.to_string())
        };
        let one = ada(vec![role(Role::Developer, "shop")], vec![]);
        assert_eq!(rule(&one, Verb::Read).unwrap(), "role developer in shop, of group devs");
        assert_eq!(
            rule(&one, Verb::Destroy).unwrap_err(),
            "user ada may not destroy versions of shop.prod.api/DB: rule role-too-low: role \
                developer in shop, of group devs is not enough; an admin or owner there can allow \
                it: enclii grants add user:ada admin shop.prod.api"
        );
        let two = ada(vec![], vec![grant(7, Access::Read, "shop.prod.api", Some("DB"))]);
        assert_eq!(rule(&two, Verb::Read).unwrap(), "grant 7: read shop.prod.api/DB");
        assert_eq!(
            rule(&two, Verb::Write).unwrap_err(),
            "user ada may not write shop.prod.api/DB: rule deny-by-default: no role and no grant \
                reaches it; an admin or owner there can allow it: enclii grants add user:ada \
                write shop.prod.api --secret DB"
        );
        let token =
            Principal { kind: PrincipalKind::Token, name: "ci".into(), ..ada(vec![], vec![]) };
        assert_eq!(
            decide(&token, Verb::Admin, Target::Everything).unwrap_err().to_string(),
            "token ci may not administer everything: rule deny-by-default: no role and no grant \
                reaches it; use a token with a role owner there: enclii tokens create"
        );
    }

    #[test]
    fn a_list_shows_only_what_the_principal_may_list() {
        let scope: Scope = "shop.prod.api".parse().unwrap();
        let seen = |principal: &Principal| listable_secrets(principal, &scope).map(|(it, _)| it);
        assert_eq!(
            seen(&ada(vec![role(Role::Readonly, "shop.prod")], vec![])),
            Ok(SecretFilter::All)
        );
        let single = ada(
            vec![role(Role::Owner, "shop.dev")],
            vec![
                grant(1, Access::Read, "shop.prod.api", Some("A")),
                grant(2, Access::Write, "shop.prod.api", Some("B")),
                // A grant of a single secret applies to exactly its own scope.
                grant(3, Access::Read, "shop.prod", Some("C")),
            ],
        );
        let filter = seen(&single).unwrap();
        assert_eq!(
            ["A", "B", "C"].map(|it| filter.matches(&it.parse().unwrap())),
            [true, true, false]
        );
        assert!(seen(&ada(vec![role(Role::Owner, "shop.dev")], vec![])).is_err());
    }
}
