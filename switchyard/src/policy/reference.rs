//! The rules once more, as text and loops alone, and the decision compared with them on random
//! people, verbs, targets and rights. What the two have in common is the manual.

use contract::api::{Access, PrincipalKind, Role};
use contract::{Scope, SecretName};
use proptest::prelude::*;

use super::{Assigned, Permit, Principal, Reach, Source, Target, Verb, decide, hand_out, listing};

/// A right as a row: what, in which scope ('' for everywhere), of which secret ('' for all).
type Row = (&'static str, String, &'static str);

/// Whether `inner` is `outer` or below it; '' is everything.
fn below(outer: &str, inner: &str) -> bool {
    outer.is_empty() || inner == outer || inner.starts_with(&format!("{outer}."))
}

fn model(rows: &[Row], verb: &str, scope: &str, secret: &str) -> bool {
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

fn may_hand_out(rows: &[Row], right: &str, scope: &str) -> bool {
    let rank =
        |word: &str| ["readonly", "developer", "admin", "owner"].iter().position(|it| *it == word);
    let own = rows
        .iter()
        .filter(|(_, within, _)| below(within, scope))
        .filter_map(|(right, _, _)| rank(right))
        .max();
    own.is_some_and(|own| own >= 2 && rank(right).is_none_or(|given| own >= given))
}

fn principal(rows: &[Row]) -> Principal {
    let mut who = Principal {
        kind: PrincipalKind::User,
        name: "ada".into(),
        groups: vec![],
        roles: vec![],
        permits: vec![],
    };
    for (at, (right, within, single)) in rows.iter().enumerate() {
        let grant = at as u64;
        match right.parse::<Role>() {
            Ok(role) => who.roles.push(Assigned {
                role,
                within: (!within.is_empty()).then(|| within.parse::<Scope>().unwrap()).into(),
                source: Source::Grant(grant),
            }),
            Err(_) if within.is_empty() => {}
            Err(_) => who.permits.push(Permit {
                grant,
                access: right.parse().unwrap(),
                scope: within.parse().unwrap(),
                secret: (!single.is_empty()).then(|| single.parse().unwrap()),
            }),
        }
    }
    who
}

/// Few and alike, so that they meet; with parts that begin like others.
fn scope() -> impl Strategy<Value = String> {
    scope_of(0..4)
}

fn scope_of(depth: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let label = || prop::sample::select(vec!["a", "a-b", "b"]);
    let parts = (label(), label(), label(), depth);
    parts.prop_map(|(one, two, three, depth)| [one, two, three][..depth].join("."))
}

/// A scope and not everything.
fn some_scope() -> impl Strategy<Value = String> {
    scope_of(1..4)
}

fn secret() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "A", "A-B", "a"])
}

fn right() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["owner", "admin", "developer", "readonly", "read", "write"])
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((right(), scope(), secret()), 0..5)
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
    fn the_decision_agrees_with_the_model(rows in rows(), scope in scope(), secret in secret(), verb in prop::sample::select(Verb::ALL.to_vec())) {
        let who = principal(&rows);
        let parsed = (!scope.is_empty()).then(|| scope.parse::<Scope>().unwrap());
        let name: Option<SecretName> = (!secret.is_empty()).then(|| secret.parse().unwrap());
        let (target, asked) = match (&parsed, &name) {
            (Some(scope), Some(name)) => (Target::Secret(scope, name), secret),
            (scope, _) => (Target::of(scope.as_ref()), ""),
        };
        let answer = decide(&who, verb, target);
        prop_assert_eq!(answer.is_ok(), model(&rows, word(verb), &scope, asked), "{:?}", answer);
    }

    #[test]
    fn handing_out_agrees_with_the_model(rows in rows(), scope in scope(), given in right()) {
        let who = principal(&rows);
        let parsed = (!scope.is_empty()).then(|| scope.parse::<Scope>().unwrap());
        let answer = hand_out(&who, Verb::Grant, given.parse::<Access>().unwrap(), Target::of(parsed.as_ref()));
        prop_assert_eq!(answer.is_ok(), may_hand_out(&rows, given, &scope), "{:?}", answer);
    }

    #[test]
    fn a_list_shows_a_name_where_the_name_may_be_listed(rows in rows(), scope in some_scope(), secret in prop::sample::select(vec!["A", "A-B", "a"])) {
        let (parsed, name): (Scope, SecretName) = (scope.parse().unwrap(), secret.parse().unwrap());
        let shown = listing(&principal(&rows), &parsed).is_ok_and(|(listing, _)| listing.has(&name));
        prop_assert_eq!(shown, model(&rows, "list", &scope, secret));
    }

    /// Whoever can hand out a right could do what it allows, so no chain of grants climbs.
    #[test]
    fn no_grant_gives_what_the_giver_lacks(rows in rows(), scope in some_scope(), given in right(), verb in prop::sample::select(Verb::ALL.to_vec())) {
                let giver = principal(&rows);
        let parsed: Scope = scope.parse().unwrap();
        let target = Target::Scope(&parsed);
        if hand_out(&giver, Verb::Grant, given.parse::<Access>().unwrap(), target).is_ok() {
            let taker = principal(&[(given, scope, "")]);
            prop_assert!(decide(&taker, verb, target).is_err() || decide(&giver, verb, target).is_ok());
        }
    }
}

#[test]
fn reach_is_by_parts_and_not_by_text() {
    let reach = Reach::Scope("a".parse().unwrap());
    let near: Scope = "a-b".parse().unwrap();
    assert!(!reach.covers(Target::Scope(&near)));
}
