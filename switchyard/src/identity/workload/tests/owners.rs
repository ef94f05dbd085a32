//! Whatever rules an operator writes: none is fulfilled by the jobs of two owners.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::config::parse;
use super::{github_claims, job, with_rule};

const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

/// A condition, of any form that an operator may write.
fn condition() -> impl Strategy<Value = (&'static str, String)> {
    let owner = prop::sample::select(vec!["shop", "eve", "shop-evil", "*", "**", "sh*", "", "e**"]);
    let name = prop::sample::select(vec!["api", "*", "**", "a*", "api:**", ""]);
    let claim = prop::sample::select(vec![
        "repository",
        "repository_owner",
        "repository_owner_id",
        "repository_id",
        "sub",
        "ref",
        "environment",
    ]);
    let form = prop::sample::select(vec!["{o}/{n}", "{o}", "repo:{o}/{n}", "repo:{o}", "{n}"]);
    (claim, form, owner, name).prop_map(|(claim, form, owner, name)| {
        (claim, form.replace("{o}", owner).replace("{n}", name))
    })
}

/// A token of the owner, who chooses the rest.
fn token_of(owner: &'static str) -> impl Strategy<Value = Map<String, Value>> {
    let name = prop::sample::select(vec!["api", "a", "shop", "eve"]);
    let environment = prop::sample::select(vec!["prod", "shop/api", "repo:shop/api", "eve/api"]);
    let subject =
        prop::sample::select(vec!["repo:{o}/{n}:ref:x", "repo:{o}/{n}", "environment:{e}"]);
    (name, environment, subject).prop_map(move |(name, environment, subject)| {
        let sub = subject.replace("{o}", owner).replace("{n}", name).replace("{e}", environment);
        github_claims(&json!({
            "repository": format!("{owner}/{name}"), "repository_owner": owner, "sub": sub,
            "repository_owner_id": format!("id-{owner}"), "environment": environment,
            "repository_id": format!("id-{owner}-{name}"), "ref": environment,
        }))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    /// Whatever the operator writes, and whatever the owners choose.
    #[test]
    fn no_rule_is_fulfilled_by_the_jobs_of_two_owners(
        conditions in prop::collection::btree_map(
            condition().prop_map(|(claim, _)| claim), condition().prop_map(|(_, text)| text), 1..3),
        ours in token_of("shop"),
        theirs in prop_oneof![token_of("eve"), token_of("shop-evil"), token_of("sh")],
    ) {
        let claims = serde_json::to_string(&conditions).unwrap();
        let file = with_rule("github", "", claims.trim_matches(['{', '}']));
        let file = file.replace("https://ci.example.com", GITHUB_ISSUER);
        if let Ok(issuers) = parse(&file, None) {
            let fulfils = |claims| job(&issuers[0], claims).is_ok();
            prop_assert!(!(fulfils(&ours) && fulfils(&theirs)), "{}", file);
        }
    }
}
