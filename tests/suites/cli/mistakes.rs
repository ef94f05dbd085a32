//! What people mistype and run into: each message says what happened, to what, and what to do.

use std::io::Read as _;
use std::process::Stdio;

use serde_json::json;

use crate::harness::{CliHarness, finish, text};

#[test]
fn a_misspelled_scope_is_found_and_a_new_one_is_announced() {
    let harness = CliHarness::start();
    harness.set("DATABASE_URL", b"1");
    let wrong = ["--service", "apo"];
    for command in [
        &["secrets", "list"][..],
        &["secrets", "list", "--output", "json"],
        &["secrets", "export"],
        &["secrets", "export", "--inherited"],
        &["secrets", "get", "DATABASE_URL"],
        &["secrets", "rotate", "--all", "--yes"],
        &["secrets", "versions", "DATABASE_URL"],
        &["bundles", "show"],
    ] {
        let printed = harness.fails(4, &[command, &wrong].concat());
        assert!(printed.contains("did you mean shop.prod.api?"), "{command:?}: {printed}");
    }
    let run = harness.fails(4, &["run", "--service", "apo", "--", "true"]);
    assert!(run.contains("did you mean shop.prod.api?"), "{run}");
    let printed = harness.fails(4, &["secrets", "get", "DATABSE_URL"]);
    assert!(printed.contains("did you mean DATABASE_URL?"), "{printed}");
    // Something is below the environment, so it exists.
    harness.ok(&["secrets", "list", "--service", ""], b"");

    let set = harness.run(&["secrets", "set", "A=-", "--service", "apl"], b"1");
    assert_eq!(set.code, Some(0), "{}", set.err);
    assert!(
        set.err.contains("shop.prod.apl is new") && set.err.contains("did you mean shop.prod.api?"),
        "{}",
        set.err
    );
    assert!(!harness.run(&["secrets", "set", "A=-", "--service", "apl"], b"2").err.contains("new"));
    let file = harness.file("x.env", b"A=1\n");
    let import = harness.run(&["secrets", "import", &file, "--service", "payments"], b"");
    assert!(import.err.contains("shop.prod.payments is new"), "{}", import.err);
}

#[test]
fn several_secrets_are_rotated_as_one_generation() {
    let harness = CliHarness::start();
    let generation =
        |harness: &CliHarness| harness.json(&["bundles", "show"])["generation"].clone();
    harness.ok(&["secrets", "set", "A=1", "B=1", "C=1"], b"");
    let done = harness.json(&["secrets", "rotate", "A", "B", "C"]);
    assert_eq!(done["versions"], json!({"A": 2, "B": 2, "C": 2}));
    assert_eq!(generation(&harness), 2, "each secret had a generation of its own");
    harness.ok(&["secrets", "rotate", "--all", "--yes", "--length", "50"], b"");
    assert_eq!(generation(&harness), 3);
    assert_eq!(harness.ok(&["secrets", "get", "B"], b"").len(), 50);
    assert_eq!(harness.events("rotate"), 6);
    // All or none.
    harness.fails(4, &["secrets", "rotate", "A", "NONE"]);
    assert_eq!(generation(&harness), 3);
}

#[test]
fn a_rollback_to_the_active_version_says_so() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    harness.set("A", b"2");
    for service in ["api", ""] {
        harness.ok(&["secrets", "set", "A=3", "--service", service], b"");
        let active =
            harness.json(&["secrets", "get", "A", "--service", service])["version"].clone();
        let done = harness.run(
            &["secrets", "rollback", "A", "--to", &active.to_string(), "--service", service],
            b"",
        );
        let printed = String::from_utf8(done.out).unwrap() + &done.err;
        assert_eq!(done.code, Some(0), "{printed}");
        assert!(printed.contains("already") && !printed.contains("no bundle"), "{printed}");
    }
    let printed = harness.fails(4, &["secrets", "rollback", "A", "--to", "9"]);
    assert!(printed.contains("its newest is 3"), "{printed}");
}

#[test]
fn a_shell_pattern_is_not_needed_to_be_asked() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    // What a shell makes of an unquoted ? beside the files x and y.
    let printed = harness.fails(2, &["secrets", "rotate", "A", "--value", "x", "y"]);
    assert!(printed.contains("--ask"), "{printed}");
    let printed = harness.fails(2, &["secrets", "rotate", "A", "--ask"]);
    assert!(printed.contains("no terminal") && printed.contains("--value -"), "{printed}");
    assert!(harness.ok(&["secrets", "rotate", "--help"], b"").contains("'?'"));
}

#[test]
fn an_empty_variable_counts_as_unset_and_an_empty_part_is_none() {
    let harness = CliHarness::start();
    harness.ok(&["secrets", "set", "SHARED=1", "--service", ""], b"");
    let mut command = harness.enclii(&["secrets", "list", "--output", "json"]);
    let done = finish(
        command
            .env("ENCLII_SERVICE", "")
            .env("ENCLII_TIMEOUT", "")
            .env("ENCLII_COLOR", "")
            .env("ENCLII_TOKEN", ""),
        b"",
    );
    assert_eq!(done.code, Some(0), "{}", done.err);
    let list: serde_json::Value = serde_json::from_slice(&done.out).unwrap();
    assert_eq!(list["scope"], "shop.prod");
    let refused = harness.fails(2, &["secrets", "list", "--env", ""]);
    assert!(refused.contains("--service ''"), "{refused}");
    let none = finish(harness.enclii(&["secrets", "list"]).env_remove("ENCLII_PROJECT"), b"");
    assert!(none.code == Some(2) && none.err.contains("ENCLII_PROJECT"), "{}", none.err);
    let zero = finish(harness.enclii(&["secrets", "list"]).env("ENCLII_TIMEOUT", "0"), b"");
    assert!(zero.code == Some(2) && zero.err.contains("at least 1 second"), "{}", zero.err);
}

#[test]
fn connection_flags_are_accepted_before_the_command() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    let command = harness.enclii(&[]);
    let address = command
        .get_envs()
        .find_map(|(name, value)| (name == "ENCLII_ADDR").then_some(value?.to_str()?.to_owned()))
        .unwrap();
    for words in [
        &["--addr", &address, "secrets", "get", "A"][..],
        &["secrets", "--addr", &address, "get", "A"],
        &["secrets", "get", "--addr", &address, "A"],
    ] {
        let done = finish(harness.enclii(words).env("ENCLII_ADDR", "https://localhost:1"), b"");
        assert_eq!((done.code, done.out.as_slice()), (Some(0), b"1".as_slice()), "{}", done.err);
    }
    // The later one wins.
    let words = ["--addr", "https://localhost:1", "secrets", "get", "A", "--addr", &address];
    assert_eq!(harness.ok(&words, b""), "1");
}

#[test]
fn an_unreachable_server_is_one_line_with_what_to_check() {
    let harness = CliHarness::start();
    let plain = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let plain_port = plain.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in plain.incoming().flatten() {
            let mut client = client;
            let _ = client.read(&mut [0; 16]);
            let _ = std::io::Write::write_all(&mut client, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    for (address, words) in [
        ("https://localhost:1".to_owned(), ["nothing listens there", "port-forward"]),
        ("https://nowhere.invalid".to_owned(), ["name is not known", "DNS"]),
        (format!("https://localhost:{plain_port}"), ["no TLS is spoken", "--addr"]),
        (format!("https://localhost:{silent_port}"), ["in time", "--timeout"]),
    ] {
        let mut command = harness.enclii(&["secrets", "list"]);
        let done = finish(command.env("ENCLII_ADDR", &address).env("ENCLII_TIMEOUT", "2"), b"");
        assert_eq!(done.code, Some(5), "{}", done.err);
        assert_eq!(done.err.lines().count(), 1, "{}", done.err);
        assert!(done.err.contains(&format!("reach {address}: ")), "{}", done.err);
        assert!(words.iter().all(|it| done.err.contains(it)), "{}", done.err);
        assert!(!done.err.contains("client error"), "{}", done.err);
    }
    let strange = finish(harness.enclii(&["secrets", "list"]).env_remove("ENCLII_CACERT"), b"");
    assert!(
        strange.code == Some(5)
            && strange.err.contains("not trusted")
            && strange.err.contains("--cacert")
            && strange.err.lines().count() == 1,
        "{}",
        strange.err
    );
}

#[test]
fn refusals_are_about_the_very_thing() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    let exists = harness.fails(6, &["secrets", "set", "A=2", "--create"]);
    assert!(exists.contains("--create") && exists.contains("shop.prod.api/A"), "{exists}");
    let create = |more: &[&str]| {
        harness
            .run(&[["tokens", "create", "ci", "--role", "readonly"].as_slice(), more].concat(), b"")
    };
    let first = create(&[]);
    assert!(first.code == Some(0) && first.err.contains("in every project"), "{}", first.err);
    let second = create(&["--scope", "shop"]);
    assert_eq!(second.code, Some(6), "{}", second.err);
    assert!(
        second.err.contains("The name is taken") && second.err.contains("tokens revoke ci"),
        "{}",
        second.err
    );
    let long = create(&["--ttl", "100d"]);
    assert!(long.code == Some(2) && long.err.contains("at most 90d"), "{}", long.err);
    let scoped =
        harness.run(&["tokens", "create", "other", "--role", "readonly", "--scope", "shop"], b"");
    assert!(scoped.code == Some(0) && !scoped.err.contains("every project"), "{}", scoped.err);
    // A time to the second.
    let until = scoped.err.split("until ").nth(1).unwrap();
    assert!(until.starts_with("20") && until[..20].ends_with('Z'), "{}", scoped.err);

    let name = "N".repeat(300);
    assert!(harness.fails(2, &["secrets", "get", &name]).contains("has 300 characters"));
    let assigned = harness.fails(2, &["secrets", "set", &format!("{name}=1")]);
    assert!(assigned.contains("300 characters") && !assigned.contains("NNNN"), "{assigned}");
    let label = "x".repeat(64);
    let refused = harness.fails(2, &["secrets", "list", "--service", &label]);
    assert!(refused.contains("has 64 characters"), "{refused}");
    let refused = harness.fails(2, &["tokens", "create", &label, "--role", "readonly"]);
    assert!(refused.contains("has 64 characters"), "{refused}");

    // A token of a token lives no longer.
    let token = harness.ok(&["tokens", "create", "short", "--role", "admin", "--ttl", "1h"], b"");
    let mut command = harness.enclii(&["tokens", "create", "x", "--role", "admin", "--ttl", "2h"]);
    let done =
        finish(command.env_remove("ENCLII_TOKEN_FILE").env("ENCLII_TOKEN", token.trim()), b"");
    assert!(done.code == Some(3) && done.err.contains("--ttl"), "{}", done.err);
}

#[test]
fn a_refused_token_is_named_with_the_way_to_another() {
    let harness = CliHarness::start();
    let mut command = harness.enclii(&["secrets", "list"]);
    let wrong = finish(command.env_remove("ENCLII_TOKEN_FILE").env("ENCLII_TOKEN", "wrong"), b"");
    assert_eq!(wrong.code, Some(3));
    assert!(
        wrong.err.contains("ENCLII_TOKEN") && wrong.err.contains("enclii login"),
        "{}",
        wrong.err
    );
    let path = harness.file("token", b"wrong");
    let wrong = finish(harness.enclii(&["secrets", "list"]).env("ENCLII_TOKEN_FILE", &path), b"");
    assert!(wrong.err.contains(&path), "{}", wrong.err);
    let path = harness.file("empty", b"\n");
    let empty = finish(harness.enclii(&["secrets", "list"]).env("ENCLII_TOKEN_FILE", &path), b"");
    assert!(empty.code == Some(3) && empty.err.contains("is empty"), "{}", empty.err);
}

#[test]
fn every_command_ends_quietly_when_its_reader_goes() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    let file = harness.file(
        "pod.yaml",
        b"apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: []}\n",
    );
    for words in [
        &["secrets", "list"][..],
        &["secrets", "get", "A"],
        &["secrets", "export"],
        &["secrets", "versions", "A", "--output", "json"],
        &["secrets", "set", "B=1"],
        &["bundles", "list"],
        &["bundles", "show"],
        &["tokens", "list"],
        &["grants", "list", "--output", "json"],
        &["access", "who-can-read", "shop.prod.api"],
        &["access", "who-read", "shop.prod.api/A"],
        &["whoami"],
        &["audit", "list"],
        &["audit", "list", "--follow"],
        &["audit", "list", "--output", "json"],
        &["audit", "export"],
        &["audit", "verify"],
        &["doctor", "--no-cluster"],
        &["completions", "bash"],
        &["inject", "-f", &file],
        &["--help"],
    ] {
        let mut child = harness
            .enclii(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        let printed = String::from_utf8_lossy(&done.stderr);
        assert!(
            !printed.contains("error") && !printed.contains("panicked"),
            "{words:?}: {printed}"
        );
        assert_eq!(done.status.code(), Some(0), "{words:?}: {printed}");
    }
}

#[test]
fn inherited_secrets_are_shown_with_their_origin() {
    let harness = CliHarness::start();
    harness.ok(&["secrets", "set", "A=own", "B=own"], b"");
    harness.ok(&["secrets", "set", "B=env", "C=env", "--service", ""], b"");
    harness.ok(&["secrets", "set", "D=project", "--service", "", "--env", ""], b"");

    let plain = harness.run(&["secrets", "list"], b"");
    let table = String::from_utf8(plain.out).unwrap();
    assert!(!table.contains("ORIGIN") && table.lines().count() == 3, "{table}");
    assert!(
        plain.err.contains("inherits 2 more") && plain.err.contains("--inherited"),
        "{}",
        plain.err
    );
    let list = harness.json(&["secrets", "list", "--inherited"]);
    let rows: Vec<_> = list["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| [&it["name"], &it["origin"], &it["scope"]].map(|it| it.as_str().unwrap()))
        .collect();
    assert_eq!(
        rows,
        [
            ["A", "own", "shop.prod.api"],
            ["B", "own", "shop.prod.api"],
            ["C", "inherited", "shop.prod"],
            ["D", "inherited", "shop"],
        ]
    );
    let table = harness.ok(&["secrets", "list", "--inherited"], b"");
    assert!(table.contains("ORIGIN") && table.contains("inherited"), "{table}");

    let missing = harness.fails(4, &["secrets", "get", "D"]);
    assert!(missing.contains("shop has it") && missing.contains("--env ''"), "{missing}");
    let got = harness.run(&["secrets", "get", "D", "--inherited"], b"");
    assert_eq!((got.code, got.out.as_slice()), (Some(0), b"project".as_slice()));
    assert!(got.err.contains("inherited from shop"), "{}", got.err);
    assert_eq!(harness.json(&["secrets", "get", "C", "--inherited"])["scope"], "shop.prod");
    assert_eq!(harness.ok(&["secrets", "get", "B", "--inherited"], b""), "own");
    harness.fails(4, &["secrets", "get", "E", "--inherited"]);

    assert_eq!(harness.ok(&["secrets", "export"], b""), "A=own\nB=own\n");
    let all = harness.run(&["secrets", "export", "--inherited"], b"");
    assert_eq!(String::from_utf8(all.out).unwrap(), "A=own\nB=own\nC=env\nD=project\n");
    assert!(all.err.contains("C of shop.prod, D of shop"), "{}", all.err);
    assert_eq!(harness.ok(&["secrets", "export", "D", "--inherited"], b""), "D=project\n");
    harness.fails(4, &["secrets", "export", "D"]);

    // A developer of the service does not see the names of wider scopes' secrets in a list.
    let token = harness
        .ok(&["tokens", "create", "dev", "--role", "developer", "--scope", "shop.prod.api"], b"");
    let mut command = harness.enclii(&["secrets", "list", "--inherited", "--output", "json"]);
    let done =
        finish(command.env_remove("ENCLII_TOKEN_FILE").env("ENCLII_TOKEN", token.trim()), b"");
    let list: serde_json::Value = serde_json::from_slice(&done.out).unwrap();
    assert_eq!(list["secrets"].as_array().unwrap().len(), 2, "{list}");
}

/// Every command says what happened and what to do, whatever is wrong.
#[test]
fn each_mistake_has_its_message() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    let absent = text(&harness.directory.path().join("no-such-file"));
    for (code, words, parts) in [
        (1, vec!["secrets", "import", &absent], vec!["read ", "no-such-file"]),
        (1, vec!["secrets", "set", "--env-file", &absent], vec!["no-such-file"]),
        (1, vec!["secrets", "set", "TLS=@no-such-file"], vec!["no-such-file"]),
        (1, vec!["secrets", "import", "-"], vec!["--format"]),
        (1, vec!["secrets", "import", "-", "--format", "env"], vec!["no secrets"]),
        (1, vec!["audit", "verify", "--file", &absent], vec!["no-such-file"]),
        (2, vec!["secrets", "set", "--rename", "A=B", "C=1"], vec!["--env-file"]),
        (2, vec!["secrets", "import", &absent, "--rename", "A"], vec!["OLD=NEW"]),
        (2, vec!["secrets", "rotate", "A", "B", "--ask"], vec!["exactly one NAME"]),
        (2, vec!["tokens", "create", "x", "--role", "root"], vec!["readonly", "owner"]),
        (2, vec!["tokens", "create", "x", "--role", "admin", "--ttl", "soon"], vec!["12h"]),
        (2, vec!["grants", "add", "ada", "read", "shop"], vec!["user:NAME"]),
        (2, vec!["grants", "add", "user:ada", "see", "shop"], vec!["readonly"]),
        (2, vec!["secrets", "get", "A", "--output", "xml"], vec!["table", "json"]),
        (2, vec!["bundles", "show", "--service", ""], vec!["is not a service"]),
        (4, vec!["tokens", "revoke", "none", "--yes"], vec!["none"]),
        (4, vec!["grants", "remove", "99", "--yes"], vec!["99"]),
        (4, vec!["secrets", "undelete", "NONE"], vec!["NONE"]),
        (6, vec!["secrets", "undelete", "A"], vec!["A"]),
        (4, vec!["secrets", "delete", "NONE", "--yes"], vec!["NONE"]),
        (4, vec!["secrets", "destroy", "A", "--versions", "9", "--yes"], vec!["9"]),
        (2, vec!["run", "--only", "NONE", "--", "true"], vec!["NONE"]),
    ] {
        let printed = harness.fails(code, &words);
        for part in parts {
            assert!(printed.contains(part), "{words:?}: no {part}: {printed}");
        }
    }
    let set = harness.run(&["secrets", "set", "EMPTY=-"], b"");
    assert_eq!(set.code, Some(0), "{}", set.err);
    assert!(
        set.err.contains("the value of EMPTY is empty"),
        "an empty input was stored silently: {}",
        set.err
    );
}
