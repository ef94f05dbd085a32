//! The commands on secrets and bundles, with their exit codes and JSON.

use std::process::Stdio;

use serde_json::json;

use crate::harness::{CliHarness, finish};

#[test]
fn a_secret_is_written_read_rotated_rolled_back_deleted_and_restored() {
    let harness = CliHarness::start();
    let printed = harness.ok(&["secrets", "set", "A=-"], b"one\0\xff\n");
    assert!(
        printed.contains("shop.prod.api A is version 1") && printed.contains("bundle api-prod"),
        "{printed}"
    );
    assert_eq!(
        harness.run(&["secrets", "get", "A"], b"").out,
        b"one\0\xff\n",
        "a pipe must get exactly the bytes of the value"
    );
    let read = harness.json(&["secrets", "get", "A"]);
    assert_eq!((&read["version"], &read["value"]), (&json!(1), &json!("b25lAP8K")));

    let printed =
        harness.ok(&["secrets", "rotate", "A", "--length", "48", "--alphabet", "hex"], b"");
    assert!(printed.contains("A is version 2"), "{printed}");
    let made = harness.ok(&["secrets", "get", "A"], b"");
    assert!(
        made.len() == 48 && made.bytes().all(|it| it.is_ascii_hexdigit()),
        "{} characters",
        made.len()
    );
    assert!(!printed.contains(&made), "the value was printed");
    harness.ok(&["secrets", "rotate", "A", "--value", "-", "--if-version", "2"], b"three");
    assert_eq!(harness.ok(&["secrets", "get", "A"], b""), "three");
    assert_eq!(harness.ok(&["secrets", "get", "A", "--version", "2"], b""), made);

    harness.ok(&["secrets", "rollback", "A", "--to", "2"], b"");
    assert_eq!(harness.ok(&["secrets", "get", "A"], b""), made);
    let versions = harness.json(&["secrets", "versions", "A"]);
    let states: Vec<_> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["version"].clone(), it["state"].clone()))
        .collect();
    assert_eq!(
        states,
        [(json!(3), json!("archived")), (json!(2), json!("active")), (json!(1), json!("archived"))]
    );

    let destroyed = harness.json(&["secrets", "destroy", "A", "--versions", "1,3", "--yes"]);
    assert_eq!(destroyed["versions"], json!([1, 3]));
    assert_ne!(harness.run(&["secrets", "get", "A", "--version", "1"], b"").code, Some(0));
    harness.fails(6, &["secrets", "destroy", "A", "--versions", "2", "--yes"]);

    harness.ok(&["secrets", "delete", "A", "--yes"], b"");
    assert!(harness.fails(4, &["secrets", "get", "A"]).contains('A'));
    assert_eq!(harness.json(&["secrets", "list"])["secrets"], json!([]));
    let deleted = harness.json(&["secrets", "list", "--deleted"]);
    assert!(
        deleted["secrets"][0]["deleted_at"].is_string()
            && deleted["secrets"][0]["recoverable_until"].is_string(),
        "{deleted}"
    );
    harness.ok(&["secrets", "undelete", "A"], b"");
    assert_eq!(harness.ok(&["secrets", "get", "A"], b""), made);
}

#[test]
fn conditions_are_enforced() {
    let harness = CliHarness::start();
    harness.ok(&["secrets", "set", "A=1", "--create"], b"");
    let refused = harness.fails(6, &["secrets", "set", "A=2", "--create"]);
    assert!(refused.contains('A'), "{refused}");
    harness.ok(&["secrets", "set", "A=2", "--if-version", "1"], b"");
    harness.fails(6, &["secrets", "set", "A=3", "--if-version", "1"]);
    harness.fails(6, &["secrets", "delete", "A", "--if-version", "1", "--yes"]);
    // If one of two fails, neither is written.
    harness.fails(6, &["secrets", "set", "A=4", "B=4", "--create"]);
    assert_eq!(harness.ok(&["secrets", "get", "A"], b""), "2");
    harness.fails(4, &["secrets", "get", "B"]);
    harness.fails(2, &["secrets", "set", "A=4", "B=4", "--if-version", "2"]);
    harness.ok(&["secrets", "delete", "A", "--if-version", "2", "--yes"], b"");
}

#[test]
fn errors_have_their_exit_code_and_way_out() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    assert!(harness.fails(2, &["secrets", "set"]).contains("--help"));
    assert!(harness.fails(2, &["secrets", "get", "A", "--service", "API"]).contains("DNS label"));
    assert!(harness.fails(4, &["secrets", "get", "B"]).contains('B'));
    assert!(
        harness.fails(1, &["secrets", "delete", "A"]).contains("--yes"),
        "nothing is deleted without a confirmation"
    );
    assert!(harness.fails(1, &["secrets", "destroy", "A", "--versions", "1"]).contains("--yes"));
    let listed = harness.fails(2, &["secrets", "rotate"]);
    assert!(listed.contains("--all") && listed.contains(": A"), "{listed}");
    assert!(harness.fails(1, &["secrets", "rotate", "--all"]).contains("--yes"));
    assert!(harness.ok(&["secrets", "rotate", "--all", "--yes"], b"").contains("A is version 2"));

    let nobody = finish(
        harness
            .enclii(&["secrets", "list"])
            .env_remove("ENCLII_TOKEN_FILE")
            .env("ENCLII_TOKEN", "wrong"),
        b"",
    );
    assert_eq!(nobody.code, Some(3), "{}", nobody.err);
    let nowhere =
        finish(harness.enclii(&["secrets", "list"]).env("ENCLII_ADDR", "https://localhost:1"), b"");
    assert_eq!(nowhere.code, Some(5), "{}", nowhere.err);
    let strange = finish(harness.enclii(&["secrets", "list"]).env_remove("ENCLII_CACERT"), b"");
    assert!(strange.code == Some(5) && strange.err.contains("--cacert"), "{}", strange.err);
    assert!(
        harness.fails(2, &["secrets", "list", "--addr", "http://localhost:1"]).contains("https://")
    );
}

#[test]
fn neither_errors_nor_verbose_output_show_a_value() {
    let harness = CliHarness::start();
    let canary = "hunter2-canary";
    let file = harness.file("secrets.env", format!("A='{canary}' {canary}\n").as_bytes());
    let assignment = format!("A={canary}");
    let invalid = format!("1{canary}=x");
    for words in [
        vec!["secrets", "set", &assignment, "--verbose"],
        vec!["secrets", "set", &assignment, "--verbose", "--addr", "https://localhost:1"],
        vec!["secrets", "set", &assignment, "--create", "--verbose"],
        vec!["secrets", "set", &invalid],
        vec!["secrets", "import", &file],
        vec!["secrets", "rotate", "A", "--value", canary],
        vec!["secrets", "get", "A", "--version", "9", "--verbose"],
        vec!["secrets", "list", "--verbose"],
    ] {
        let done = harness.run(&words, b"");
        assert!(!done.err.contains(canary), "{words:?}: {}", done.err);
        assert!(!String::from_utf8_lossy(&done.out).contains(canary), "{words:?}");
    }
    let verbose = harness.run(&["secrets", "get", "A", "--verbose"], b"");
    assert_eq!(verbose.out, canary.as_bytes());
    assert!(
        verbose.err.contains("GET /v1/secrets/shop.prod.api/A: 200")
            && !verbose.err.contains(canary),
        "{}",
        verbose.err
    );
}

#[test]
fn bundles_show_what_a_pod_gets() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    harness.ok(&["secrets", "set", "SHARED=-"], b"x");
    let shown = harness.json(&["bundles", "show"]);
    assert_eq!((&shown["bundle"], &shown["keys"]), (&json!("api-prod"), &json!(["A", "SHARED"])));
    let table = harness.ok(&["bundles", "show"], b"");
    assert!(table.contains("A_FILE") && table.contains("/run/secrets/A"), "{table}");
    let listed = harness.json(&["bundles", "list"]);
    assert_eq!(listed["bundles"][0]["scope"], "shop.prod.api");
}

#[test]
fn lists_include_every_page() {
    let harness = CliHarness::start();
    let many: String = (0..1003).map(|it| format!("N{it:04}=x\n")).collect();
    let (first, rest) = many.split_at(900 * 8);
    // A bundle holds at most 1000 secrets, so these go to a scope without a bundle.
    for part in [first, rest] {
        let file = harness.file("many.env", part.as_bytes());
        let mut command = harness.enclii(&["secrets", "import", &file, "--rewrite"]);
        let done = finish(command.env_remove("ENCLII_SERVICE"), b"");
        assert_eq!(done.code, Some(0), "{}", done.err);
    }
    let done = finish(
        harness.enclii(&["secrets", "list", "--output", "json"]).env_remove("ENCLII_SERVICE"),
        b"",
    );
    let list: serde_json::Value = serde_json::from_slice(&done.out).unwrap();
    assert_eq!(list["secrets"].as_array().unwrap().len(), 1003);
    assert!(list.get("next").is_none());
}

#[test]
fn a_pipe_gets_no_colour_and_may_be_closed() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    let list = |variable: Option<(&str, &str)>| {
        let mut command = harness.enclii(&["secrets", "list"]);
        command.envs(variable);
        String::from_utf8(finish(&mut command, b"").out).unwrap()
    };
    assert!(!list(None).contains('\x1b'));
    assert!(list(Some(("ENCLII_COLOR", "always"))).contains('\x1b'));
    let mut child = harness
        .enclii(&["secrets", "list", "--verbose"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert!(
        !String::from_utf8_lossy(&done.stderr).contains("panicked"),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}
