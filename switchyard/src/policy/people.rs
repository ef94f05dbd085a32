//! The decision about a person or a program.

use std::fmt;

use contract::Scope;
use contract::api::PrincipalKind;
use jiff::Timestamp;

use super::verb::role_may;
use super::{Assigned, Permit, Principal, Target, Verb, Which};

/// It may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Which rule says so.
    pub rule: Rule,
}

/// The rules that allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A role.
    Role(Assigned),
    /// A grant of just this.
    Grant(Permit),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => role.fmt(f),
            Self::Grant(permit) => permit.fmt(f),
        }
    }
}

/// It may not be done: who was refused what, by which rule, and what would help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{who} may not {} {what}: {rule}; {way_out}", verb.as_str())]
pub struct Denied {
    /// The kind and name of the principal.
    pub who: String,
    /// What it asked to do.
    pub verb: Verb,
    /// To what.
    pub what: String,
    /// The rule.
    pub rule: DeniedRule,
    /// What would help.
    pub way_out: String,
}

/// The rules that deny.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeniedRule {
    /// What would be given away is more than the giver has.
    #[error("rule not-more-than-own: {0} is less than what is handed out")]
    BeyondOwn(Box<Assigned>),
    /// Nothing allows it.
    #[error("rule deny-by-default: no role and no grant reaches it")]
    Default,
    /// What is made would outlive the credential that it is made with.
    #[error("rule no-longer-than-own: the credential that asks ends at {0}")]
    Outlives(Timestamp),
    /// A role reaches it, and is too low.
    #[error("rule role-too-low: {0} is not enough")]
    TooLow(Box<Assigned>),
}

/// Decides whether `principal` may do `verb` to `target`.
///
/// # Errors
/// Where no rule allows it.
pub fn decide(principal: &Principal, verb: Verb, target: Target<'_>) -> Result<Allowed, Denied> {
    let reaching = || principal.roles.iter().filter(|it| it.within.covers(target));
    if let Some(role) = reaching().find(|it| role_may(it.role, verb, target)) {
        return Ok(Allowed { rule: Rule::Role(role.clone()) });
    }
    if let Some(permit) = principal.permits.iter().find(|it| it.allows(verb, target)) {
        return Ok(Allowed { rule: Rule::Grant(permit.clone()) });
    }
    let rule = reaching()
        .max_by_key(|it| it.role)
        .map_or(DeniedRule::Default, |it| DeniedRule::TooLow(Box::new(it.clone())));
    Err(deny(principal, verb, target, rule))
}

/// Which secrets of `scope` the principal may list. Grants of single secrets show just these.
///
/// # Errors
/// Where it may list none.
pub fn listing(principal: &Principal, scope: &Scope) -> Result<(Which, Allowed), Denied> {
    let denied = match decide(principal, Verb::List, Target::Scope(scope)) {
        Ok(allowed) => return Ok((Which::All, allowed)),
        Err(denied) => denied,
    };
    let single = principal.permits.iter().filter_map(|it| Some((it, it.secret.as_ref()?)));
    let visible: Vec<_> = single
        .filter(|(it, secret)| it.allows(Verb::List, Target::Secret(scope, secret)))
        .collect();
    let Some((first, _)) = visible.first() else { return Err(denied) };
    let allowed = Allowed { rule: Rule::Grant((*first).clone()) };
    Ok((Which::Only(visible.into_iter().map(|(_, secret)| secret.clone()).collect()), allowed))
}

pub(super) fn deny(
    principal: &Principal,
    verb: Verb,
    target: Target<'_>,
    rule: DeniedRule,
) -> Denied {
    Denied {
        who: principal.to_string(),
        verb,
        what: target.to_string(),
        rule,
        way_out: way_out(principal, verb, target),
    }
}

/// What whoever is refused can do about it.
fn way_out(principal: &Principal, verb: Verb, target: Target<'_>) -> String {
    let least = verb.least();
    match (principal.kind, target.scope()) {
        (PrincipalKind::Token, _) => {
            let role = least
                .role()
                .map_or_else(|| "role that may".to_owned(), |role| format!("role {role}"));
            format!("use a token with a {role} there: enclii tokens create")
        }
        (_, None) => format!(
            "the operator gives one of the groups the role {least} everywhere: switchyard --oidc-role GROUP={least}"
        ),
        (_, Some(scope)) => {
            let secret = target
                .secret()
                .filter(|_| least.role().is_none())
                .map(|it| format!(" --secret {it}"))
                .unwrap_or_default();
            format!(
                "an admin or owner there can allow it: enclii grants add user:{} {least} {scope}{secret}",
                principal.name
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::SecretName;
    use contract::api::{Access, Role};

    use super::super::{Reach, Source};
    use super::*;

    fn ada(roles: Vec<Assigned>, permits: Vec<Permit>) -> Principal {
        Principal { kind: PrincipalKind::User, name: "ada".into(), groups: vec![], roles, permits }
    }

    fn role(role: Role, scope: &str) -> Assigned {
        Assigned {
            role,
            within: Reach::Scope(scope.parse().unwrap()),
            source: Source::Group("devs".into()),
        }
    }

    fn permit(grant: u64, access: Access, scope: &str, secret: Option<&str>) -> Permit {
        Permit {
            grant,
            access,
            scope: scope.parse().unwrap(),
            secret: secret.map(|it| it.parse().unwrap()),
        }
    }

    #[test]
    fn an_answer_names_its_rule() {
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
            "user ada may not destroy versions of shop.prod.api/DB: rule role-too-low: role developer in shop, of group devs is not enough; an admin or owner there can allow it: enclii grants add user:ada admin shop.prod.api"
        );
        let two = ada(vec![], vec![permit(7, Access::Read, "shop.prod.api", Some("DB"))]);
        assert_eq!(rule(&two, Verb::Read).unwrap(), "grant 7: read shop.prod.api/DB");
        assert_eq!(
            rule(&two, Verb::Write).unwrap_err(),
            "user ada may not write shop.prod.api/DB: rule deny-by-default: no role and no grant reaches it; an admin or owner there can allow it: enclii grants add user:ada write shop.prod.api --secret DB"
        );
        let token =
            Principal { kind: PrincipalKind::Token, name: "ci".into(), ..ada(vec![], vec![]) };
        assert_eq!(
            decide(&token, Verb::Admin, Target::Everything).unwrap_err().to_string(),
            "token ci may not administer everything: rule deny-by-default: no role and no grant reaches it; use a token with a role owner there: enclii tokens create"
        );
    }

    #[test]
    fn a_list_shows_what_may_be_listed() {
        let scope: Scope = "shop.prod.api".parse().unwrap();
        let seen = |principal: &Principal| listing(principal, &scope).map(|(it, _)| it);
        assert_eq!(seen(&ada(vec![role(Role::Readonly, "shop.prod")], vec![])), Ok(Which::All));
        let single = ada(
            vec![role(Role::Owner, "shop.dev")],
            vec![
                permit(1, Access::Read, "shop.prod.api", Some("A")),
                permit(2, Access::Write, "shop.prod.api", Some("B")),
                // Of another scope, though it is wider, a single secret shows nothing here.
                permit(3, Access::Read, "shop.prod", Some("C")),
            ],
        );
        let listing = seen(&single).unwrap();
        assert_eq!(
            ["A", "B", "C"].map(|it| listing.has(&it.parse().unwrap())),
            [true, true, false]
        );
        assert!(seen(&ada(vec![role(Role::Owner, "shop.dev")], vec![])).is_err());
    }
}
