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

#[test]
fn who_can_read_and_who_read_a_secret() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    let words = ["grants", "add", "user:ada", "read", "shop.prod.api", "--secret", "A"];
    harness.ok(&words, b"");
    let table = harness.ok(&["access", "who-can-read", "shop.prod.api/A"], b"");
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("WHO") && lines[0].ends_with("UNTIL"), "{table}");
    assert!(lines[1].contains("user:ada") && lines[1].contains("grant 1: read"), "{table}");
    assert!(table.contains("token:bootstrap"), "{table}");
    let json = harness.json(&["access", "who-can-read", "shop.prod.api"]);
    let names: Vec<_> = json["readers"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["bootstrap"]);

    let nothing = harness.run(&["access", "who-read", "shop.prod.api/A"], b"");
    assert!(nothing.err.contains("no such read") && nothing.out.is_empty(), "{}", nothing.err);
    for _ in 0..3 {
        harness.ok(&["secrets", "get", "A"], b"");
    }
    harness.ok(&["secrets", "set", "A=2"], b"");
    harness.ok(&["bundles", "show"], b"");
    harness.ok(&["secrets", "get", "A"], b"");
    let all = harness.json(&["access", "who-read", "shop.prod.api/A"]);
    let versions: Vec<_> =
        all["reads"].as_array().unwrap().iter().map(|it| it["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [2, 1, 1, 1]);
    let two = harness.run(&["access", "who-read", "shop.prod.api/A", "--limit", "2"], b"");
    let table = String::from_utf8(two.out).unwrap();
    assert!(table.lines().count() == 3 && table.contains("token:bootstrap"), "{table}");
    assert!(two.err.contains("--limit is 2"), "{}", two.err);
    let words = ["access", "who-read", "shop.prod.api/A", "--by", "pod", "--since", "1h"];
    assert!(harness.run(&words, b"").err.contains("no such read"));
    for (code, words, part) in [
        (2, &["who-read", "shop.prod.api"][..], "SCOPE/NAME"),
        (2, &["who-read", "shop/A", "--by", "admin"], "token"),
        (4, &["who-read", "shop/NONE"], "there is no secret NONE in shop"),
    ] {
        let refused = harness.run(&[&["access"], words].concat(), b"");
        assert_eq!(refused.code, Some(code), "{words:?}: {}", refused.err);
        assert!(refused.err.contains(part), "{words:?}: {}", refused.err);
    }
    // Whoever may not grant does not see who can read, nor who may not audit who read.
    let words = ["tokens", "create", "dev", "--role", "developer", "--scope", "shop.prod.api"];
    let token = harness.ok(&words, b"");
    for question in ["who-can-read", "who-read"] {
        let mut command = harness.enclii(&["access", question, "shop.prod.api/A"]);
        command.env_remove("ENCLII_TOKEN_FILE").env("ENCLII_TOKEN", token.trim());
        assert_eq!(finish(&mut command, b"").code, Some(3), "{question}");
    }
}
