//! Compares the decisions with an independent model, which works on text and loops only, for random
//! principals, verbs, targets and rights. Both follow docs/access.md.

use contract::api::{Access, PrincipalKind, Role};
use contract::{BundleRef, Scope, SecretName};
use proptest::prelude::*;
use strum::VariantArray as _;

use super::{
    AccessGrant, BundleGrant, MemberFilter, NamespaceBinding, Principal, RoleAssignment, RoleScope,
    RoleSource, ServiceAccountRef, Target, Verb, decide, decide_bundle, decide_delegation,
    listable_secrets, reach_of_grant,
};

/// A right: its name, its scope ('' for everywhere) and its secret ('' for all).
type Right = (&'static str, String, &'static str);

/// Whether `inner` is `outer` or below it; '' is everything.
fn below(outer: &str, inner: &str) -> bool {
    outer.is_empty() || inner == outer || inner.starts_with(&format!("{outer}."))
}

fn model(rows: &[Right], verb: &str, scope: &str, secret: &str) -> bool {
    let depth = if scope.is_empty() { 0 } else { scope.split('.').count() };
    rows.iter().any(|(right, within, single)| match *right {
        "owner" => below(within, scope),
        "admin" => below(within, scope) && verb != "administer",
        "developer" => {
            below(within, scope)
                && (verb == "list" || (depth == 3 && (verb == "read" || verb == "write")))
        }
        "readonly" => below(within, scope) && verb == "list",
        right => {
            let named = match (*single, within.as_str()) {
                ("", "") => false,
                ("", within) => !scope.is_empty() && below(within, scope),
                (single, within) => single == secret && within == scope,
            };
            named && (verb == right || verb == "list")
        }
    })
}

fn may_delegate(rows: &[Right], right: &str, scope: &str) -> bool {
    let rank =
        |word: &str| ["readonly", "developer", "admin", "owner"].iter().position(|it| *it == word);
    let own = rows
        .iter()
        .filter(|(_, within, _)| below(within, scope))
        .filter_map(|(right, _, _)| rank(right))
        .max();
    own.is_some_and(|own| own >= 2 && rank(right).is_none_or(|given| own >= given))
}

fn principal(rows: &[Right]) -> Principal {
    let mut who = Principal {
        kind: PrincipalKind::User,
        name: "ada".into(),
        groups: vec![],
        roles: vec![],
        grants: vec![],
    };
    for (at, (right, within, single)) in rows.iter().enumerate() {
        let grant = at as u64;
        match right.parse::<Role>() {
            Ok(role) => who.roles.push(RoleAssignment {
                until: None,
                role,
                within: (!within.is_empty()).then(|| within.parse::<Scope>().unwrap()).into(),
                source: RoleSource::Grant(grant),
            }),
            Err(_) if within.is_empty() => {}
            Err(_) => who.grants.push(AccessGrant {
                grant,
                access: right.parse().unwrap(),
                scope: within.parse().unwrap(),
                secret: (!single.is_empty()).then(|| single.parse().unwrap()),
            }),
        }
    }
    who
}

/// Few and similar, so that they collide; some labels are prefixes of others.
fn scope() -> impl Strategy<Value = String> {
    scope_of(0..4)
}

fn scope_of(depth: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let label = || prop::sample::select(vec!["a", "a-b", "b"]);
    let parts = (label(), label(), label(), depth);
    parts.prop_map(|(one, two, three, depth)| [one, two, three][..depth].join("."))
}

/// A scope other than everything.
fn some_scope() -> impl Strategy<Value = String> {
    scope_of(1..4)
}

fn secret() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "A", "A-B", "a"])
}

fn right() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["owner", "admin", "developer", "readonly", "read", "write"])
}

fn rows() -> impl Strategy<Value = Vec<Right>> {
    prop::collection::vec((right(), scope(), secret()), 0..5)
}

/// What a pod of service account `jobs` gets of a bundle that `grantor` grants to it, if anything.
fn delivery(grantor: &Principal, bundle: &Scope, named: &str) -> Option<MemberFilter> {
    let secret: Option<SecretName> = (!named.is_empty()).then(|| named.parse().unwrap());
    let target = secret.as_ref().map_or(Target::Scope(bundle), |it| Target::Secret(bundle, it));
    decide_delegation(grantor, Verb::Grant, Access::Read, target).ok()?;
    let grant = BundleGrant {
        namespace: "pods".into(),
        service_account: "jobs".into(),
        bundle: bundle.clone(),
        reach: reach_of_grant(grantor, bundle, None)?,
        secret,
    };
    let (environment, service) = (bundle.environment()?.clone(), bundle.service()?);
    let name = BundleRef::of(service, &environment);
    let binding = NamespaceBinding { project: bundle.project().clone(), environment };
    let account = ServiceAccountRef { namespace: "pods", name: "jobs" };
    decide_bundle(account, &name, Some(&binding), &[grant]).ok().map(|allowed| allowed.filter)
}

fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Admin => "administer",
        Verb::Audit => "audit",
        Verb::Destroy => "destroy",
        Verb::Grant => "grant",
        Verb::List => "list",
        Verb::Read => "read",
        Verb::Token => "token",
        Verb::Write => "write",
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_decision_agrees_with_the_model(rows in rows(), scope in scope(), secret in secret(),
        verb in prop::sample::select(Verb::VARIANTS)) {
        let who = principal(&rows);
        let parsed = (!scope.is_empty()).then(|| scope.parse::<Scope>().unwrap());
        let name: Option<SecretName> = (!secret.is_empty()).then(|| secret.parse().unwrap());
        let (target, asked) = match (&parsed, &name) {
            (Some(scope), Some(name)) => (Target::Secret(scope, name), secret),
            (scope, _) => (Target::from_scope(scope.as_ref()), ""),
        };
        let answer = decide(&who, verb, target);
        prop_assert_eq!(answer.is_ok(), model(&rows, word(verb), &scope, asked), "{:?}", answer);
    }

    #[test]
    fn the_delegation_agrees_with_the_model(rows in rows(), scope in scope(), given in right()) {
        let who = principal(&rows);
        let parsed = (!scope.is_empty()).then(|| scope.parse::<Scope>().unwrap());
        let answer = decide_delegation(&who, Verb::Grant, given.parse::<Access>().unwrap(),
            Target::from_scope(parsed.as_ref()));
        prop_assert_eq!(answer.is_ok(), may_delegate(&rows, given, &scope), "{:?}", answer);
    }

    #[test]
    fn a_list_shows_the_secrets_that_may_be_listed(rows in rows(), scope in some_scope(),
        secret in prop::sample::select(vec!["A", "A-B", "a"])) {
        let (parsed, name): (Scope, SecretName) = (scope.parse().unwrap(), secret.parse().unwrap());
        let shown = listable_secrets(&principal(&rows), &parsed).is_ok_and(|(filter,
            _)| filter.matches(&name));
        prop_assert_eq!(shown, model(&rows, "list", &scope, secret));
    }

    /// A bundle holds secrets of wider scopes than its own. With a grant of it come only those that
    /// the grantor could have granted by themselves.
    #[test]
    fn a_grant_delivers_what_its_grantor_could_grant(rows in rows(), bundle in scope_of(3..4),
        named in secret(), depth in 1_usize..4,
        member in prop::sample::select(vec!["A", "A-B", "a"])) {
        let parsed: Scope = bundle.parse().unwrap();
        let labels: Vec<&str> = bundle.split('.').collect();
        let member_scope = labels[..depth].join(".");
        let delivered = delivery(&principal(&rows), &parsed, named).is_some_and(|filter| {
            filter.matches(&member.parse().unwrap(), &member_scope.parse().unwrap())
        });
        let expected = (named.is_empty() || named == member)
            && may_delegate(&rows, "read", &bundle)
            && may_delegate(&rows, "read", &member_scope);
        prop_assert_eq!(delivered, expected, "{} of {}", member, member_scope);
    }

    /// A principal can do whatever it can grant, so no chain of grants escalates.
    #[test]
    fn no_grant_gives_what_the_giver_lacks(rows in rows(), scope in some_scope(), given in right(),
        verb in prop::sample::select(Verb::VARIANTS)) {
        let giver = principal(&rows);
        let parsed: Scope = scope.parse().unwrap();
        let target = Target::Scope(&parsed);
        if decide_delegation(&giver, Verb::Grant, given.parse::<Access>().unwrap(),
            target).is_ok() {
            let taker = principal(&[(given, scope, "")]);
            prop_assert!(decide(&taker, verb, target).is_err() || decide(&giver, verb,
                target).is_ok());
        }
    }
}

#[test]
fn a_scope_covers_by_labels_and_not_by_prefix() {
    let scope = RoleScope::Scope("a".parse().unwrap());
    let similar: Scope = "a-b".parse().unwrap();
    assert!(!scope.covers(Target::Scope(&similar)));
}
