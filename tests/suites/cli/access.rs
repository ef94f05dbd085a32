//! `enclii access …`.

use crate::harness::{CliHarness, finish};

#[test]
fn a_question_about_access_has_an_answer_a_rule_and_a_way_out() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    let yes = harness.ok(&["access", "check", "read", "shop.prod.api/A"], b"");
    assert_eq!(yes, "yes: token:bootstrap: role owner everywhere, of the token\n");
    let ask = |words: &[&str]| harness.run(&[&["access", "check"], words].concat(), b"");
    let no = ask(&["read", "shop.prod.api/A", "--for", "user:ada@example.com"]);
    let table = String::from_utf8(no.out).unwrap();
    assert_eq!(no.code, Some(1), "{table}");
    assert!(table.starts_with("no: user:ada@example.com: rule deny-by-default"), "{table}");
    for part in ["enclii grants add user:ada@example.com read shop.prod.api --secret A", "--group"]
    {
        assert!(no.err.contains(part), "{}", no.err);
    }
    harness.ok(&["grants", "add", "group:devs", "developer", "shop"], b"");
    let words = ["write", "shop.prod.api", "--for", "user:ada", "--group", "devs"];
    let yes = ask(&words);
    assert_eq!(
        (yes.code, String::from_utf8(yes.out).unwrap().as_str()),
        (Some(0), "yes: user:ada: role developer in shop, by grant 1\n")
    );
    // The tests' namespaces have no labels.
    let words = ["read", "shop.prod.api/A", "--for", "service-account:x/api", "--output", "json"];
    let pod = ask(&words);
    let answer: serde_json::Value = serde_json::from_slice(&pod.out).unwrap();
    assert_eq!((pod.code, &answer["allowed"]), (Some(1), &false.into()));
    let rule = answer["rule"].as_str().unwrap();
    assert!(rule.starts_with("rule own-environment-only"), "{rule}");
    for (code, words, part) in [
        (2, &["read", "shop.prod.api", "--group", "x"][..], "--for"),
        (2, &["see", "shop"], "administer"),
        (2, &["read", "Shop"], "DNS label"),
        (2, &["read", "shop", "--for", "ada"], "user:NAME"),
        (1, &["read", "shop", "--for", "service-account:x"], "namespace/name"),
        (4, &["read", "shop", "--for", "token:none"], "token:none"),
    ] {
        let refused = ask(words);
        assert_eq!(refused.code, Some(code), "{words:?}: {}", refused.err);
        assert!(refused.err.contains(part), "{words:?}: {}", refused.err);
    }
    // Somebody without the right to grant asks about themselves, and about nobody else.
    let words = ["tokens", "create", "dev", "--role", "developer", "--scope", "shop.prod.api"];
    let token = harness.ok(&words, b"");
    let by = |words: &[&str]| {
        let mut command = harness.enclii(&[&["access", "check"], words].concat());
        finish(command.env_remove("ENCLII_TOKEN_FILE").env("ENCLII_TOKEN", token.trim()), b"")
    };
    assert_eq!(by(&["read", "shop.prod.api/A"]).code, Some(0));
    assert_eq!(by(&["read", "shop.prod/A"]).code, Some(1));
    assert_eq!(by(&["read", "shop.prod.api/A", "--for", "user:ada"]).code, Some(4));
}
