//! Messages, notes, tags and expiry.

use serde_json::json;

use crate::harness::CliHarness;

#[test]
fn what_is_written_beside_a_value_is_set_shown_and_changed() {
    let harness = CliHarness::start();
    let beside = ["--message", "first", "--tag", "team=web", "--tag", "pci", "--note", "ask\nada"];
    let set = [["secrets", "set", "A=-", "--expires", "90d"].as_slice(), &beside].concat();
    harness.ok(&set, b"one");
    harness.set("B", b"two");
    let shown = harness.ok(&["secrets", "show", "A"], b"");
    for line in
        ["name      A", "message   first", "tags      pci team=web", "notes     ask\n          ada"]
    {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let listed = harness.ok(&["secrets", "list"], b"");
    assert!(listed.contains("EXPIRES") && listed.contains("pci team=web"), "{listed}");
    assert!(!listed.contains("ended"), "{listed}");

    let history = harness.ok(&["secrets", "history", "A"], b"");
    assert!(history.contains("MESSAGE") && history.contains("first"), "{history}");
    let plain = harness.ok(&["secrets", "versions", "B"], b"");
    assert!(!plain.contains("MESSAGE") && !plain.contains("EXPIRES"), "{plain}");

    let words = [
        "secrets",
        "annotate",
        "A",
        "--untag",
        "pci",
        "--no-note",
        "--expires",
        "2020-01-31",
        "-m",
        "ended early",
    ];
    harness.ok(&words, b"");
    let metadata = harness.json(&["secrets", "show", "A"]);
    assert_eq!(metadata["tags"], json!({"team": "web"}));
    assert_eq!(metadata["expires_at"], "2020-01-31T00:00:00Z");
    assert!(metadata.get("notes").is_none(), "{metadata}");
    let listed = harness.ok(&["secrets", "list", "--expires-before", "30d"], b"");
    assert!(listed.contains("2020-01-31T00:00:00Z (ended)"), "{listed}");
    assert!(!listed.contains('B'), "{listed}");
    let read = harness.run(&["secrets", "get", "A"], b"");
    assert!(read.out == b"one" && read.err.contains("ended at its issuer"), "{read:?}");

    // The next version is another credential.
    harness.ok(&["secrets", "rotate", "A", "-m", "a new one"], b"");
    let metadata = harness.json(&["secrets", "show", "A"]);
    assert_eq!(metadata["message"], "a new one");
    assert!(metadata.get("expires_at").is_none(), "{metadata}");
    assert_eq!(metadata["tags"], json!({"team": "web"}));
    harness.ok(&["secrets", "rollback", "A", "--to", "1", "-m", "it broke"], b"");
    let events = harness.system.get("/v1/audit?action=rollback").unwrap();
    let details = events["events"][0]["details"].as_str().unwrap();
    assert!(details.ends_with("message \"it broke\""), "{details}");
}

#[test]
fn mistakes_name_the_way_out() {
    let harness = CliHarness::start();
    harness.set("A", b"hunter2hunter2");
    for (words, says) in [
        (&["annotate", "A"][..], "--untag"),
        (&["annotate", "A", "--message", "why"], "nothing to change"),
        (&["annotate", "A", "--tag", "a b"], "letters, digits"),
        (&["annotate", "A", "--tag", "a", "--untag", "a"], "--tag and in --untag"),
        (&["annotate", "A", "--expires", "soon"], "2027-01-31"),
        (&["annotate", "A", "--note", "a\u{202e}b"], "U+202E"),
        (&["list", "--expires-before", "30d", "--inherited"], "cannot be used with"),
    ] {
        let err = harness.fails(2, &[&["secrets"], words].concat());
        assert!(err.contains(says), "{words:?}: {err}");
    }
    harness.fails(6, &["secrets", "annotate", "A", "--tag", "a", "--if-version", "2"]);
    assert!(harness.fails(4, &["secrets", "annotate", "AA", "--tag", "a"]).contains("mean A?"));
    let refused =
        harness.run(&["secrets", "set", "A=-", "-m", "hunter2hunter2"], b"hunter2hunter2");
    assert!(refused.code == Some(1) && refused.err.contains("not secret"), "{refused:?}");
    assert!(!refused.err.contains("hunter2"), "{refused:?}");
}
