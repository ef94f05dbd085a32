//! The commands on secrets and bundles, their exit codes and what programs read.

use std::process::Stdio;

use serde_json::json;

use crate::world::{World, finish};

#[test]
fn a_secret_is_written_read_rotated_rolled_back_deleted_and_brought_back() {
    let world = World::start();
    let printed = world.ok(&["secrets", "set", "A=-"], b"one\0\xff\n");
    assert!(
        printed.contains("shop.prod.api A is version 1") && printed.contains("bundle api-prod"),
        "{printed}"
    );
    assert_eq!(
        world.run(&["secrets", "get", "A"], b"").out,
        b"one\0\xff\n",
        "bytes in a pipe are the value's and no more"
    );
    let read = world.json(&["secrets", "get", "A"]);
    assert_eq!((&read["version"], &read["value"]), (&json!(1), &json!("b25lAP8K")));

    let printed = world.ok(&["secrets", "rotate", "A", "--length", "48", "--alphabet", "hex"], b"");
    assert!(printed.contains("A is version 2"), "{printed}");
    let made = world.ok(&["secrets", "get", "A"], b"");
    assert!(
        made.len() == 48 && made.bytes().all(|it| it.is_ascii_hexdigit()),
        "{} characters",
        made.len()
    );
    assert!(!printed.contains(&made), "the value was printed");
    world.ok(&["secrets", "rotate", "A", "--value", "-", "--if-version", "2"], b"three");
    assert_eq!(world.ok(&["secrets", "get", "A"], b""), "three");
    assert_eq!(world.ok(&["secrets", "get", "A", "--version", "2"], b""), made);

    world.ok(&["secrets", "rollback", "A", "--to", "2"], b"");
    assert_eq!(world.ok(&["secrets", "get", "A"], b""), made);
    let versions = world.json(&["secrets", "versions", "A"]);
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

    let destroyed = world.json(&["secrets", "destroy", "A", "--versions", "1,3", "--yes"]);
    assert_eq!(destroyed["versions"], json!([1, 3]));
    assert_ne!(world.run(&["secrets", "get", "A", "--version", "1"], b"").code, Some(0));
    world.fails(6, &["secrets", "destroy", "A", "--versions", "2", "--yes"]);

    world.ok(&["secrets", "delete", "A", "--yes"], b"");
    assert!(world.fails(4, &["secrets", "get", "A"]).contains('A'));
    assert_eq!(world.json(&["secrets", "list"])["secrets"], json!([]));
    let deleted = world.json(&["secrets", "list", "--deleted"]);
    assert!(
        deleted["secrets"][0]["deleted_at"].is_string()
            && deleted["secrets"][0]["recoverable_until"].is_string(),
        "{deleted}"
    );
    world.ok(&["secrets", "undelete", "A"], b"");
    assert_eq!(world.ok(&["secrets", "get", "A"], b""), made);
}

#[test]
fn conditions() {
    let world = World::start();
    world.ok(&["secrets", "set", "A=1", "--create"], b"");
    let refused = world.fails(6, &["secrets", "set", "A=2", "--create"]);
    assert!(refused.contains('A'), "{refused}");
    world.ok(&["secrets", "set", "A=2", "--if-version", "1"], b"");
    world.fails(6, &["secrets", "set", "A=3", "--if-version", "1"]);
    world.fails(6, &["secrets", "delete", "A", "--if-version", "1", "--yes"]);
    // One of two that fails is none of two that is written.
    world.fails(6, &["secrets", "set", "A=4", "B=4", "--create"]);
    assert_eq!(world.ok(&["secrets", "get", "A"], b""), "2");
    world.fails(4, &["secrets", "get", "B"]);
    world.fails(2, &["secrets", "set", "A=4", "B=4", "--if-version", "2"]);
    world.ok(&["secrets", "delete", "A", "--if-version", "2", "--yes"], b"");
}

#[test]
fn exit_codes_and_the_way_out() {
    let world = World::start();
    world.set("A", b"1");
    assert!(world.fails(2, &["secrets", "set"]).contains("--help"));
    assert!(world.fails(2, &["secrets", "get", "A", "--service", "API"]).contains("DNS label"));
    assert!(world.fails(4, &["secrets", "get", "B"]).contains('B'));
    assert!(
        world.fails(1, &["secrets", "delete", "A"]).contains("--yes"),
        "without a terminal nothing is deleted unasked"
    );
    assert!(world.fails(1, &["secrets", "destroy", "A", "--versions", "1"]).contains("--yes"));
    let listed = world.fails(2, &["secrets", "rotate"]);
    assert!(listed.contains("--all") && listed.contains(": A"), "{listed}");
    assert!(world.fails(1, &["secrets", "rotate", "--all"]).contains("--yes"));
    assert!(world.ok(&["secrets", "rotate", "--all", "--yes"], b"").contains("A is version 2"));

    let nobody = finish(
        world
            .enclii(&["secrets", "list"])
            .env_remove("ENCLII_TOKEN_FILE")
            .env("ENCLII_TOKEN", "wrong"),
        b"",
    );
    assert_eq!(nobody.code, Some(3), "{}", nobody.err);
    let nowhere =
        finish(world.enclii(&["secrets", "list"]).env("ENCLII_ADDR", "https://localhost:1"), b"");
    assert_eq!(nowhere.code, Some(5), "{}", nowhere.err);
    let strange = finish(world.enclii(&["secrets", "list"]).env_remove("ENCLII_CACERT"), b"");
    assert!(strange.code == Some(5) && strange.err.contains("--cacert"), "{}", strange.err);
    assert!(
        world.fails(2, &["secrets", "list", "--addr", "http://localhost:1"]).contains("https://")
    );
}

#[test]
fn no_value_is_shown_by_what_goes_wrong_or_is_verbose() {
    let world = World::start();
    let canary = "hunter2-canary";
    let file = world.file("secrets.env", format!("A='{canary}' {canary}\n").as_bytes());
    let given = format!("A={canary}");
    let uneven = format!("1{canary}=x");
    for words in [
        vec!["secrets", "set", &given, "--verbose"],
        vec!["secrets", "set", &given, "--verbose", "--addr", "https://localhost:1"],
        vec!["secrets", "set", &given, "--create", "--verbose"],
        vec!["secrets", "set", &uneven],
        vec!["secrets", "import", &file],
        vec!["secrets", "rotate", "A", "--value", canary],
        vec!["secrets", "get", "A", "--version", "9", "--verbose"],
        vec!["secrets", "list", "--verbose"],
    ] {
        let done = world.run(&words, b"");
        assert!(!done.err.contains(canary), "{words:?}: {}", done.err);
        assert!(!String::from_utf8_lossy(&done.out).contains(canary), "{words:?}");
    }
    let verbose = world.run(&["secrets", "get", "A", "--verbose"], b"");
    assert_eq!(verbose.out, canary.as_bytes());
    assert!(
        verbose.err.contains("GET /v1/secrets/shop.prod.api/A: 200")
            && !verbose.err.contains(canary),
        "{}",
        verbose.err
    );
}

#[test]
fn bundles_say_what_a_pod_gets() {
    let world = World::start();
    world.set("A", b"1");
    world.ok(&["secrets", "set", "SHARED=-"], b"x");
    let shown = world.json(&["bundles", "show"]);
    assert_eq!((&shown["bundle"], &shown["keys"]), (&json!("api-prod"), &json!(["A", "SHARED"])));
    let table = world.ok(&["bundles", "show"], b"");
    assert!(table.contains("A_FILE") && table.contains("/run/secrets/A"), "{table}");
    let listed = world.json(&["bundles", "list"]);
    assert_eq!(listed["bundles"][0]["scope"], "shop.prod.api");
}

#[test]
fn pages_are_followed() {
    let world = World::start();
    let many: String = (0..1003).map(|it| format!("N{it:04}=x\n")).collect();
    let (first, rest) = many.split_at(900 * 8);
    // A bundle holds at most 1000, so the names go to a scope that has no bundle.
    for part in [first, rest] {
        let file = world.file("many.env", part.as_bytes());
        let mut command = world.enclii(&["secrets", "import", &file, "--rewrite"]);
        let done = finish(command.env_remove("ENCLII_SERVICE"), b"");
        assert_eq!(done.code, Some(0), "{}", done.err);
    }
    let done = finish(
        world.enclii(&["secrets", "list", "--output", "json"]).env_remove("ENCLII_SERVICE"),
        b"",
    );
    let list: serde_json::Value = serde_json::from_slice(&done.out).unwrap();
    assert_eq!(list["secrets"].as_array().unwrap().len(), 1003);
    assert!(list.get("next").is_none());
}

#[test]
fn colour_is_for_terminals_and_a_reader_may_leave() {
    let world = World::start();
    world.set("A", b"1");
    let list = |variable: Option<(&str, &str)>| {
        let mut command = world.enclii(&["secrets", "list"]);
        command.envs(variable);
        String::from_utf8(finish(&mut command, b"").out).unwrap()
    };
    assert!(!list(None).contains('\x1b'));
    assert!(list(Some(("ENCLII_COLOR", "always"))).contains('\x1b'));
    let mut child = world
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
