//! The tree of scopes and the search over all of them: only what the caller may list, and nothing
//! about what it may not.

use http::Method;
use serde_json::{Value, json};

use super::make_token;
use crate::harness::Harness;
use crate::identity_provider::IdentityProvider;

async fn get(harness: &Harness, token: &str, path: &str) -> Value {
    let (status, _, answer) = harness.ask(Method::GET, path, Some(token), b"").await;
    assert_eq!(status, 200, "{path}: {answer:?}");
    serde_json::from_slice(&answer).unwrap()
}

/// All pages of one item each, as texts, and how many had a cursor.
async fn pages(harness: &Harness, token: &str, path: &str, list: &str) -> (Vec<String>, usize) {
    let (mut found, mut cursors, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = get(harness, token, &format!("{path}limit=1{cursor}")).await;
        for item in page[list].as_array().unwrap() {
            let (scope, name) = (item["scope"].as_str().unwrap(), item["name"].as_str());
            let secrets = item["secrets"].as_u64().map(|it| it.to_string());
            found.push(format!("{scope}/{}", name.map(str::to_owned).or(secrets).unwrap()));
        }
        let Some(next) = page["next"].as_str() else { return (found, cursors) };
        (cursors, cursor) = (cursors + 1, format!("&cursor={next}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_and_searches_show_what_the_caller_may_list() {
    let provider = IdentityProvider::start();
    let harness = Harness::start_with(&provider.flags(&[])).await;
    for (scope, names) in [
        ("bank.prod.api", &["DB_URL"][..]),
        ("shop", &["DB_URL", "SENTRY"]),
        ("shop-x.dev.api", &["DB_URL"]),
        ("shop.dev.api", &["db_url", "DBXURL"]),
        ("shop.prod.api", &["DB_URL", "HIDDEN"]),
        ("zoo", &["DB_URL"]),
    ] {
        let values: Vec<_> = names.iter().map(|name| (*name, b"x".as_slice())).collect();
        harness.set(scope, &values).await;
    }
    harness.done(Method::DELETE, "/v1/secrets/zoo/DB_URL", b"").await;
    for (path, tags) in [
        ("shop.prod.api/DB_URL", json!({"team": "web", "pci": "", "a_b": "c_d"})),
        ("shop/DB_URL", json!({"team": "Web", "aXb": "cXd"})),
        ("bank.prod.api/DB_URL", json!({"team": "web"})),
    ] {
        let request = json!({"tags": tags, "expires_at": "2027-01-31T00:00:00Z"}).to_string();
        let path = format!("/v1/secrets/{path}/metadata");
        harness.done(Method::PATCH, &path, request.as_bytes()).await;
    }
    let one = json!({"subject": {"kind": "user", "name": "jane"}, "scope": "shop.prod.api",
        "secret": "DB_URL", "access": "read"});
    let (status, ..) =
        harness.with(Method::POST, "/v1/grants", &[], one.to_string().as_bytes()).await;
    assert_eq!(status, 201);
    let owner = harness.token();
    let shop = make_token(&harness, "shop", "readonly", Some("shop")).await;
    let prod = make_token(&harness, "prod", "readonly", Some("shop.prod")).await;
    let jane = provider.log_in(&harness, "jane", &[]).await;
    let eve = provider.log_in(&harness, "eve", &["nobody"]).await;
    for (who, token, scopes) in [
        ("owner", &owner, "bank.prod.api/1 shop/2 shop.dev.api/2 shop.prod.api/2 shop-x.dev.api/1"),
        ("shop", &shop, "shop/2 shop.dev.api/2 shop.prod.api/2"),
        ("prod", &prod, "shop.prod.api/2"),
        ("jane", &jane, "shop.prod.api/1"),
        ("eve", &eve, ""),
    ] {
        let (found, cursors) = pages(&harness, token, "/v1/scopes?", "scopes").await;
        assert_eq!(found.join(" "), scopes, "{who}");
        // There is a next page only if it has something.
        assert_eq!(cursors, found.len().saturating_sub(1), "{who}");
    }
    for (token, query, expected) in [
        (
            &owner,
            "q=db_url&",
            "bank.prod.api/DB_URL shop/DB_URL shop.dev.api/db_url \
            shop.prod.api/DB_URL shop-x.dev.api/DB_URL",
        ),
        (&owner, "q=URL&scope=shop.dev&", "shop.dev.api/DBXURL shop.dev.api/db_url"),
        (&owner, "tag=team%3Dweb&", "bank.prod.api/DB_URL shop.prod.api/DB_URL"),
        (&owner, "tag=team%3DWeb&", "shop/DB_URL"),
        (&owner, "tag=team&scope=shop&", "shop/DB_URL shop.prod.api/DB_URL"),
        (&owner, "tag=team,pci&", "shop.prod.api/DB_URL"),
        (&owner, "tag=pci%3D&", "shop.prod.api/DB_URL"),
        (&owner, "tag=pci%3Dx&", ""),
        (&owner, "tag=a_b%3Dc_d&", "shop.prod.api/DB_URL"),
        (
            &owner,
            "expiring_before=2027-02-01T00:00:00Z&q=db&scope=shop&",
            "shop/DB_URL \
            shop.prod.api/DB_URL",
        ),
        (&owner, "expiring_before=2027-01-01T00:00:00Z&", ""),
        (&shop, "tag=team&", "shop/DB_URL shop.prod.api/DB_URL"),
        (&shop, "tag=team&scope=bank&", ""),
        (&prod, "scope=shop&", "shop.prod.api/DB_URL shop.prod.api/HIDDEN"),
        (&jane, "", "shop.prod.api/DB_URL"),
        (&jane, "q=hidden&", ""),
        (&eve, "", ""),
    ] {
        let (found, cursors) =
            pages(&harness, token, &format!("/v1/search?{query}"), "secrets").await;
        assert_eq!(found.join(" "), expected, "{query}");
        assert_eq!(cursors, found.len().saturating_sub(1), "{query}");
    }
    for query in ["q=", "q=a%20b", "tag=", "tag=a,,b", "scope=", "scope=a.b.c.d"] {
        let path = format!("/v1/search?{query}");
        let (status, ..) = harness.ask(Method::GET, &path, Some(&owner), b"").await;
        assert_eq!(status, 400, "{query}");
    }
    // Each page is an event that says what was looked for.
    let events = harness.events("list").await;
    let of_jane = |it: &&Value| it["actor_id"] == "jane" && it["resource_id"] == "search";
    let details: Vec<_> = events.iter().filter(of_jane).map(|it| &it["details"]).collect();
    assert_eq!(
        details,
        ["1 name; what is visible; limit=1", "0 names; what is visible; q=hidden&limit=1"]
    );
}
