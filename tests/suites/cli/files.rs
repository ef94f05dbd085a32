//! Import and export in every format.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::harness::CliHarness;

#[test]
fn an_import_writes_only_what_has_changed() {
    let harness = CliHarness::start();
    let file = harness.file("first.env", b"A=1\nB='two words'\n# not C=3\n");
    let dry = harness.json(&["secrets", "import", &file, "--dry-run"]);
    assert_eq!(dry, json!({"scope": "shop.prod.api", "changes": {"A": "new", "B": "new"}}));
    harness.fails(4, &["secrets", "get", "A"]);

    let done = harness.json(&["secrets", "import", &file]);
    assert_eq!(done["written"]["versions"], json!({"A": 1, "B": 1}));
    assert_eq!(done["written"]["bundles"][0]["generation"], 1, "a file must become one generation");
    let writes = harness.events("write");

    let again = harness.json(&["secrets", "import", &file]);
    assert_eq!(
        again,
        json!({"scope": "shop.prod.api", "changes": {"A": "unchanged", "B": "unchanged"}})
    );
    assert_eq!(harness.events("write"), writes, "an unchanged secret was written");

    let next = harness.file("next.json", br#"{"A": "1", "B": "2", "C": {"base64": "AP8="}}"#);
    let table = harness.ok(&["secrets", "import", &next], b"");
    assert!(table.contains("2 written, 1 unchanged"), "{table}");
    assert_eq!(harness.run(&["secrets", "get", "C"], b"").out, b"\0\xff");
    assert_eq!(
        harness.json(&["secrets", "import", &next, "--rewrite"])["written"]["versions"]["A"],
        2
    );
}

#[test]
fn every_format_round_trips() {
    let harness = CliHarness::start();
    harness.set("TEXT", b"a 'b' \"c\" $d `e`\n\tline \\n #x\r\n");
    harness.set("EMPTY", b"");
    harness.set("tls.key", b"-----BEGIN X-----\nabc\n-----END X-----\n");
    for form in ["env", "json", "yaml", "k8s-secret"] {
        let text = harness.run(&["secrets", "export", "--format", form], b"").out;
        let to = ["--service", "copy", "--format", form];
        let done = harness
            .run(&[["secrets", "import", "-", "--output", "json"].as_slice(), &to].concat(), &text);
        assert_eq!(done.code, Some(0), "{form}: {}", done.err);
        let back =
            harness.run(&["secrets", "export", "--service", "copy", "--format", form], b"").out;
        let unnamed = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).unwrap().replace("copy-prod", "api-prod")
        };
        assert_eq!(unnamed(&back), unnamed(&text), "{form}");
        for name in ["TEXT", "EMPTY", "tls.key"] {
            let read =
                |service| harness.run(&["secrets", "get", name, "--service", service], b"").out;
            assert_eq!(read("copy"), read("api"), "{name} as {form}");
            harness.ok(&["secrets", "delete", name, "--service", "copy", "--yes"], b"");
        }
    }
    // A shell reads the file.
    harness.ok(&["secrets", "delete", "tls.key", "--yes"], b"");
    let file = harness.file("out.env", &harness.run(&["secrets", "export"], b"").out);
    let shell = std::process::Command::new("bash")
        .args(["-c", ". \"$0\"; printf %s \"$EMPTY|$TEXT\"", &file])
        .output()
        .unwrap();
    assert!(
        shell.stdout.starts_with(b"|a 'b' \"c\" $d `e`"),
        "{}",
        String::from_utf8_lossy(&shell.stdout)
    );
}

#[test]
fn binary_values_need_another_format() {
    let harness = CliHarness::start();
    harness.set("B", b"\xff\0");
    let refused = harness.fails(2, &["secrets", "export"]);
    assert!(refused.contains("B is not text") && refused.contains("--format"), "{refused}");
    assert!(
        harness.ok(&["secrets", "export", "--format", "json"], b"").contains(r#""base64": "/wA=""#)
    );
    assert!(
        harness
            .ok(&["secrets", "export", "--format", "k8s-secret", "--namespace", "shop-prod"], b"")
            .contains("namespace: shop-prod")
    );
}

#[test]
fn only_the_owner_can_read_a_file_and_it_is_replaced_only_with_force() {
    let harness = CliHarness::start();
    harness.set("A", b"1");
    let path = harness.directory.path().join("out.json");
    let out = crate::harness::text(&path);
    let printed = harness.ok(&["secrets", "export", "--out", &out], b"");
    assert!(printed.contains("0600"), "{printed}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read(&path).unwrap(), b"{\n  \"A\": \"1\"\n}\n", "wrong format");
    assert!(harness.fails(1, &["secrets", "export", "--out", &out]).contains("--force"));
    harness.set("A", b"2");
    harness.ok(&["secrets", "export", "--out", &out, "--force"], b"");
    assert_eq!(std::fs::read(&path).unwrap(), b"{\n  \"A\": \"2\"\n}\n");
}

#[test]
fn errors_name_the_position() {
    let harness = CliHarness::start();
    for (name, text, expected) in [
        ("a.env", "A=1\nhunter2\n", "line 2"),
        ("a.json", "{\"PORT\": 5432}", "value of PORT: must be a string, not a number; quote it"),
        ("a.yaml", "A: x\nA: y\n", "repeats a key"),
        ("b.yaml", "A:\n  B: c\n", "value of A"),
        ("empty.env", "# nothing\n", "the file has no secrets"),
        ("unclear", "hello\n", "--format"),
    ] {
        let file = harness.file(name, text.as_bytes());
        let printed = harness.fails(1, &["secrets", "import", &file]);
        assert!(printed.contains(expected) && printed.contains(name), "{printed}");
    }
}
