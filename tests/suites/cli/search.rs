//! The tree of scopes, and the search over all of them.

use serde_json::json;

use crate::harness::CliHarness;

#[test]
fn scopes_are_listed_and_searched() {
    let harness = CliHarness::start();
    let empty = harness.run(&["scopes"], b"");
    assert!(empty.out.is_empty() && empty.err.contains("no scope"), "{empty:?}");
    harness.ok(&["secrets", "set", "STRIPE_KEY=-", "--tag", "team=pay"], b"one");
    harness.ok(&["secrets", "set", "SENTRY=-", "--service", ""], b"two");
    assert_eq!(
        harness.ok(&["scopes"], b""),
        "SCOPE          SECRETS\nshop.prod      1\nshop.prod.api  1\n"
    );
    assert_eq!(
        harness.json(&["scopes"])["scopes"][1],
        json!({"scope": "shop.prod.api", "secrets": 1})
    );
    for (words, expected) in [
        (&["stripe"][..], "STRIPE_KEY"),
        (&["--tag", "team"], "STRIPE_KEY"),
        (&["--tag", "team=pay", "--in", "shop"], "STRIPE_KEY"),
        (&["sent", "--in", "shop.prod"], "SENTRY"),
    ] {
        let found = harness.json(&[&["secrets", "search"], words].concat());
        assert_eq!(found["secrets"].as_array().unwrap().len(), 1, "{words:?}: {found}");
        assert_eq!(found["secrets"][0]["name"], expected, "{words:?}");
    }
    let table = harness.ok(&["secrets", "search"], b"");
    assert!(table.contains("SCOPE") && table.contains("team=pay"), "{table}");
    let none = harness.run(&["secrets", "search", "absent"], b"");
    assert!(none.out.is_empty() && none.err.contains("nothing was found"), "{none:?}");
    assert!(harness.fails(1, &["secrets", "search", "a b"]).contains("part of a name"));
    // A new scope that is spelled like another one: no list of bundles is needed.
    let bundles = |harness: &CliHarness| {
        let query = "/v1/audit?limit=1000&action=list";
        let events = harness.system.get(query).unwrap();
        let events = events["events"].as_array().unwrap().clone();
        events.iter().filter(|it| it["resource_type"] == "bundle").count()
    };
    let written = harness.run(&["secrets", "set", "A=-", "--service", "apo"], b"x");
    assert!(written.err.contains("did you mean shop.prod.api?"), "{written:?}");
    assert_eq!(bundles(&harness), 0);
}
